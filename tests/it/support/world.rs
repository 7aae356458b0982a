//! A world for one story: a server in this process on a real file and a real port, and a clock that is moved by hand.

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    thread::{self, JoinHandle},
    time::Duration,
};

pub use ngoma::store::tokens::Holder;
use ngoma::{
    clock::{Clock, ManualClock},
    config::Config,
    domain::{audit::Actor, timestamp::Timestamp},
    engine::{EngineStatus, LookUp, alerts::Alerts},
    error::Result,
    server::{self, Outside},
    store::{Admission, Db},
};
use tempfile::TempDir;
use tokio::{runtime::Runtime, sync::watch};

use crate::support::{
    client::Client,
    leaks,
    receiver::{PATIENCE, Receiver},
};

pub const COOP: &str = "COOP-MBALE-001";
pub const OTHER_COOP: &str = "COOP-KASESE-002";
pub const CUSTOMER: &str = "CUST-7";
/// 2026-04-20T11:55:00Z.
pub const START: Timestamp = Timestamp::from_millis(1_776_686_100_000);

/// Settings and names that a story may change before the start.
pub struct Wish {
    pub config: Config,
    pub look_up: LookUp,
    /// The time of the start.
    pub now: Timestamp,
}

pub struct World {
    pub clock: Arc<ManualClock>,
    pub config: Config,
    look_up: LookUp,
    folder: TempDir,
    running: Option<Running>,
}

struct Running {
    runtime: Runtime,
    address: SocketAddr,
    db: Db,
    pulse: watch::Receiver<EngineStatus>,
    alerts: Alerts,
    passes: watch::Receiver<Option<Timestamp>>,
    backups: watch::Receiver<Option<Timestamp>>,
    stop: watch::Sender<bool>,
    ended: mpsc::Receiver<Result<()>>,
}

impl World {
    pub fn new() -> Self {
        Self::with(|_| {})
    }

    /// A world with other settings or names than usual. Loopback and http are allowed.
    pub fn with(change: impl FnOnce(&mut Wish)) -> Self {
        leaks::watch();
        let folder = tempfile::tempdir().expect("a folder");
        let mut config = defaults();
        config.server.listen = "127.0.0.1:0".parse().expect("an address");
        config.storage.path = folder.path().join("ngoma.db");
        config.storage.key_file = folder.path().join("ngoma.key");
        config.egress.allow_http = true;
        // Requests are not limited; the story of this limit sets it.
        config.limits.requests_per_minute = 0;
        config.egress.public = false;
        // Alerts go at once; stories of messages about several webhooks set this.
        config.alerts.gather = Duration::ZERO;
        // Stories of backups set this.
        config.backup.every = Duration::ZERO;
        config.egress.allow = vec!["127.0.0.0/8".parse().expect("a block")];
        let mut wish = Wish { config, look_up: no_names(), now: START };
        change(&mut wish);
        let clock = Arc::new(ManualClock::new(wish.now));
        let mut world = Self { clock, config: wish.config, look_up: wish.look_up, folder, running: None };
        world.start();
        // The engine has taken up an earlier run's deliveries before the story goes on.
        world.in_flight();
        _ = world.block_on(world.passes().wait_for(Option::is_some)).expect("a first pass for what is old");
        world.account("asilichain", COOP, Some("ops@coop.example"));
        world.account("asilichain", OTHER_COOP, None);
        world.account("asg", CUSTOMER, None);
        world
    }

    /// Starts the server on the file as it is.
    pub fn start(&mut self) {
        self.try_start().expect("the server starts");
    }

    pub fn try_start(&mut self) -> Result<()> {
        self.try_start_after(|_| {})
    }

    /// Starts the server, after this change to its database.
    pub fn try_start_after(&mut self, first: impl FnOnce(&Db)) -> Result<()> {
        assert!(self.running.is_none(), "it runs already");
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
        let clock: Arc<dyn Clock> = Arc::<ManualClock>::clone(&self.clock);
        let outside = Outside { clock, look_up: Arc::clone(&self.look_up) };
        let server = runtime.block_on(server::prepare(self.config.clone(), outside))?;
        let (address, db, pulse) = (server.address(), server.db().clone(), server.status());
        let (alerts, passes, backups) = (server.alerts().clone(), server.passes(), server.backups());
        first(&db);
        let (stop, stopped) = watch::channel(false);
        let (report, ended) = mpsc::channel();
        runtime.spawn(async move { report.send(server.run(stopped).await) });
        self.running = Some(Running { runtime, address, db, pulse, alerts, passes, backups, stop, ended });
        Ok(())
    }

    /// Stops the server as SIGTERM does, and waits until it has.
    pub fn stop(&mut self) {
        let running = self.running.take().expect("it runs");
        running.stop.send_replace(true);
        running.ended.recv_timeout(PATIENCE).expect("it stops").expect("and well");
        drop((running.db, running.pulse, running.alerts));
        running.runtime.shutdown_timeout(PATIENCE);
        wait_for_lock(&self.config.storage.path);
    }

    /// Asks the server to stop, and waits until its engine has heard it; [`World::stop`] then waits for the end.
    pub fn ask_to_stop(&self) {
        self.until_heard(|| _ = self.running().stop.send_replace(true));
    }

    /// Does something that the engine notices, and waits for the next round.
    pub fn until_heard(&self, act: impl FnOnce()) {
        let running = self.running();
        let mut pulse = running.pulse.clone();
        pulse.mark_unchanged();
        act();
        let heard = running.runtime.block_on(async { tokio::time::timeout(PATIENCE, pulse.changed()).await });
        heard.expect("the engine hears it").expect("and works on");
    }

    /// Ends the server in the middle of its work: attempts in flight are not settled.
    pub fn crash(&mut self) {
        self.kill();
        wait_for_lock(&self.config.storage.path);
    }

    /// A crash while this receiver keeps attempts waiting: their connections break, as those of a dead process do.
    pub fn crash_during(&mut self, receiver: &Receiver) {
        self.kill();
        receiver.hang_up();
        wait_for_lock(&self.config.storage.path);
    }

    fn kill(&mut self) {
        let running = self.running.take().expect("it runs");
        drop((running.db, running.pulse, running.alerts));
        // When this returns, no task is left that could settle anything.
        running.runtime.shutdown_timeout(PATIENCE);
    }

    pub fn restart(&mut self) {
        self.stop();
        self.start();
    }

    fn running(&self) -> &Running {
        self.running.as_ref().expect("the server runs")
    }

    pub fn db(&self) -> &Db {
        &self.running().db
    }

    /// When the last finished pass of retention began.
    pub fn passes(&self) -> watch::Receiver<Option<Timestamp>> {
        self.running().passes.clone()
    }

    /// When the last backup began that the server tried to make by itself, and that has ended.
    pub fn backups(&self) -> watch::Receiver<Option<Timestamp>> {
        self.running().backups.clone()
    }

    pub fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.running().runtime.block_on(future)
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn database(&self) -> PathBuf {
        self.config.storage.path.clone()
    }

    pub fn address(&self) -> SocketAddr {
        self.running().address
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Waits until nothing is due and nothing is under way.
    pub fn settle(&self) {
        let running = self.running();
        let mut pulse = running.pulse.clone();
        let (told, clock, db) = (running.db.news_count(), Arc::clone(&self.clock), running.db.clone());
        let rest = async move {
            // Commits before now have moved the count by now.
            db.write(Actor::Engine, Admission::Wait, |_| Ok(())).await.expect("the writer answers");
            let calm = |pulse: &EngineStatus| {
                pulse.busy == 0 && pulse.wanted == 0 && pulse.at == clock.now() && pulse.heard == *told.borrow()
            };
            pulse.wait_for(calm).await.map(drop)
        };
        let rest = running.runtime.block_on(async { tokio::time::timeout(PATIENCE, rest).await });
        rest.expect("the engine comes to rest").expect("the engine runs");
    }

    /// The sender of alerts.
    pub fn alerts(&self) -> &Alerts {
        &self.running().alerts
    }

    /// Attempts under way, once the engine has looked for work at this moment.
    pub fn in_flight(&self) -> usize {
        let running = self.running();
        let (mut pulse, now) = (running.pulse.clone(), self.now());
        let looked = async { tokio::time::timeout(PATIENCE, pulse.wait_for(|pulse| pulse.at == now)).await };
        running.runtime.block_on(async { looked.await.expect("the engine looks").expect("the engine runs").busy })
    }

    /// Moves the clock, then waits until nothing is due and nothing is under way.
    pub fn advance(&self, by: &str) {
        self.clock.set(self.now() + humantime::parse_duration(by).expect("a duration"));
        self.settle();
    }

    /// Moves the clock and waits for nothing.
    pub fn move_clock(&self, by: Duration) {
        self.clock.set(self.now() + by);
    }

    pub fn client(&self, token: &str) -> Client {
        Client::at(&format!("http://{}", self.address()), token)
    }

    pub fn stranger(&self) -> Client {
        self.client("").without_token()
    }
}

/// Waits until no server of this process holds the file: the lock goes when its writer has ended.
pub fn wait_for_lock(database: &Path) {
    let Ok(file) = std::fs::File::open(database) else { return };
    file.lock().expect("the lock");
    // Not by closing it alone: a process that is being started may hold it open too.
    file.unlock().expect("its own lock");
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            running.runtime.shutdown_background();
        }
    }
}

pub fn defaults() -> Config {
    // The file beside the project must not matter: defaults only.
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("config.toml");
    std::fs::write(&file, "").expect("an empty file");
    Config::load(Some(&file)).expect("the defaults are valid")
}

/// No name exists; stories that need one bring their own look-up.
fn no_names() -> LookUp {
    Arc::new(|host, _| Err(io::Error::new(io::ErrorKind::NotFound, format!("no such name: {host}"))))
}

/// Runs several functions at once, each on a thread.
pub fn together<T: Send + 'static>(work: Vec<Box<dyn FnOnce() -> T + Send>>) -> Vec<T> {
    let threads: Vec<JoinHandle<T>> = work.into_iter().map(thread::spawn).collect();
    threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
}
