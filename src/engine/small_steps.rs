//! Work on many rows in steps so small that publishing hardly notices.

use std::time::Duration;

use crate::{
    clock::{self, Stopwatch},
    domain::audit::Actor,
    error::Result,
    store::{Admission, Db, Tx},
};

/// After each step the writer is left alone for this many times the step's duration.
pub(super) const REST: u32 = 4;
/// As `REST`, while somebody waits for the end.
pub(super) const SHORT_REST: u32 = 1;
/// The shortest and the longest rest: a step may have taken long because the process was stopped in it.
const LEAST_REST: Duration = Duration::from_millis(2);
const MOST_REST: Duration = Duration::from_millis(500);

/// One transaction, and then a rest for publishers.
pub(super) async fn write_and_rest<T: Send + 'static>(
    db: &Db,
    rest: u32,
    run: impl FnOnce(&Tx<'_>) -> Result<T> + Send + 'static,
) -> Result<T> {
    let watch = Stopwatch::start();
    let done = db.write(Actor::Engine, Admission::Wait, run).await?;
    clock::pause((watch.elapsed() * rest).clamp(LEAST_REST, MOST_REST)).await;
    Ok(done)
}
