//! A task of the server that panics ends the server: none is missing in silence.

use std::{backtrace::Backtrace, future::Future, pin::Pin, sync::Arc, time::Duration};

use ngoma::{
    clock::{Clock, SystemClock},
    domain::timestamp::Timestamp,
    error::Result,
    server::{self, Outside},
};
use tokio::sync::watch;

use crate::support::{receiver::PATIENCE, world::World};

/// A clock that has a part of the server, by its file, panic when it goes to sleep.
#[derive(Debug)]
struct Trap(&'static str);

impl Clock for Trap {
    fn now(&self) -> Timestamp {
        SystemClock.now()
    }

    fn uptime(&self) -> Duration {
        SystemClock.uptime()
    }

    fn sleep(&self, since: Timestamp, wait: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        let caller = Backtrace::force_capture().to_string();
        assert!(!caller.contains(self.0), "a trap");
        Box::pin(async move { SystemClock.sleep(since, wait.min(Duration::from_millis(10))).await })
    }
}

#[test]
fn a_part_that_panics_ends_the_server_with_an_error() {
    for part in ["engine/alerts.rs", "engine/retention.rs", "engine/recoveries.rs", "engine/rounds.rs"] {
        let mut world = World::new();
        world.stop();
        let clock = Arc::new(Trap(part));
        let outside = Outside { clock, ..Outside::default() };
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("one");
        let ended: Result<()> = runtime.block_on(async {
            let server = server::prepare(world.config.clone(), outside).await.expect("it starts");
            let (_stop, stopped) = watch::channel(false);
            tokio::time::timeout(PATIENCE, server.run(stopped))
                .await
                .unwrap_or_else(|_| panic!("{part} is missed by nobody"))
        });
        assert!(ended.expect_err(part).to_string().contains("panicked"), "{part}");
        runtime.shutdown_timeout(PATIENCE);
    }
}
