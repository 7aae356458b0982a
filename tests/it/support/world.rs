//! A world for one story: a server in this process on a real file and a real port, and a clock that is moved by hand.

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    thread::{self, JoinHandle},
    time::Duration,
};

use ngoma::{
    app::{self, Outside},
    clock::{Clock, ManualClock},
    config::Config,
    domain::{audit::Actor, timestamp::Timestamp},
    engine::{LookUp, Pulse, alerts::Alerts},
    error::Result,
    store::{Admission, Db},
};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{runtime::Runtime, sync::watch};

use crate::support::{
    leaks,
    receiver::{PATIENCE, Receiver},
};

pub use ngoma::store::tokens::Holder;

pub const COOP: &str = "COOP-MBALE-001";
pub const OTHER_COOP: &str = "COOP-KASESE-002";
pub const CUSTOMER: &str = "CUST-7";
/// 2026-04-20T11:55:00Z.
pub const START: Timestamp = Timestamp::from_millis(1_776_686_100_000);

/// What a story may want otherwise than usual.
pub struct Wish {
    pub config: Config,
    pub look_up: LookUp,
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
    pulse: watch::Receiver<Pulse>,
    alerts: Alerts,
    passes: watch::Receiver<Option<Timestamp>>,
    stop: watch::Sender<bool>,
    ended: mpsc::Receiver<Result<()>>,
}

impl World {
    pub fn new() -> Self {
        Self::with(|_| {})
    }

    /// A world whose settings, or whose names, are not the usual ones. Loopback and http are allowed.
    pub fn with(change: impl FnOnce(&mut Wish)) -> Self {
        leaks::watch();
        let folder = tempfile::tempdir().expect("a folder");
        let mut config = defaults();
        config.server.listen = "127.0.0.1:0".parse().expect("an address");
        config.storage.path = folder.path().join("ngoma.db");
        config.storage.key_file = folder.path().join("ngoma.key");
        config.egress.allow_http = true;
        // Stories ask as often as they like; the one about this limit sets it.
        config.limits.requests_per_minute = 0;
        config.egress.public = false;
        config.egress.allow = vec!["127.0.0.0/8".parse().expect("a block")];
        let mut wish = Wish { config, look_up: no_names() };
        change(&mut wish);
        let clock = Arc::new(ManualClock::new(START));
        let mut world = Self { clock, config: wish.config, look_up: wish.look_up, folder, running: None };
        world.start();
        // What an earlier run left is taken up: nothing of it competes with what follows.
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

    /// Does something with the database first.
    pub fn try_start_after(&mut self, first: impl FnOnce(&Db)) -> Result<()> {
        assert!(self.running.is_none(), "it runs already");
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
        let clock: Arc<dyn Clock> = Arc::<ManualClock>::clone(&self.clock);
        let outside = Outside { clock, look_up: Arc::clone(&self.look_up) };
        let app = runtime.block_on(app::prepare(self.config.clone(), outside))?;
        let (address, db, pulse) = (app.address(), app.db().clone(), app.pulse());
        let (alerts, passes) = (app.alerts().clone(), app.passes());
        first(&db);
        let (stop, stopped) = watch::channel(false);
        let (report, ended) = mpsc::channel();
        runtime.spawn(async move { report.send(app.run(stopped).await) });
        self.running = Some(Running { runtime, address, db, pulse, alerts, passes, stop, ended });
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

    /// Does what the engine hears of, and waits until it has looked for work once more.
    pub fn until_heard(&self, act: impl FnOnce()) {
        let running = self.running();
        let mut pulse = running.pulse.clone();
        pulse.mark_unchanged();
        act();
        let heard = running.runtime.block_on(async { tokio::time::timeout(PATIENCE, pulse.changed()).await });
        heard.expect("the engine hears it").expect("and works on");
    }

    /// Ends the server in the middle of whatever it does: what is in flight is not settled.
    pub fn crash(&mut self) {
        self.kill();
        wait_for_lock(&self.config.storage.path);
    }

    /// The same while this receiver keeps attempts waiting: their connections break, as those of a dead process do.
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

    /// When the last pass for what has grown old began that has ended.
    pub fn passes(&self) -> watch::Receiver<Option<Timestamp>> {
        self.running().passes.clone()
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
        let (told, clock, db) = (running.db.told(), Arc::clone(&self.clock), running.db.clone());
        let rest = async move {
            // What was committed before now has moved the count by now.
            db.write(Actor::Engine, Admission::Wait, |_| Ok(())).await.expect("the writer answers");
            let calm = |pulse: &Pulse| {
                pulse.busy == 0 && pulse.wanted == 0 && pulse.at == clock.now() && pulse.heard == *told.borrow()
            };
            pulse.wait_for(calm).await.map(drop)
        };
        let rest = running.runtime.block_on(async { tokio::time::timeout(PATIENCE, rest).await });
        rest.expect("the engine comes to rest").expect("the engine runs");
    }

    /// Whoever tells alerts.
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

    /// Moves the clock, then waits until what became due was done.
    pub fn advance(&self, by: &str) {
        self.clock.set(self.now() + humantime::parse_duration(by).expect("a duration"));
        self.settle();
    }

    /// Moves the clock and waits for nothing.
    pub fn move_clock(&self, by: Duration) {
        self.clock.set(self.now() + by);
    }

    pub fn client(&self, token: &str) -> Client {
        Client { base: format!("http://{}", self.address()), token: Some(token.to_owned()), agent: agent() }
    }

    pub fn stranger(&self) -> Client {
        Client { token: None, ..self.client("") }
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

/// Knows no name: stories that need one bring their own.
fn no_names() -> LookUp {
    Arc::new(|host, _| Err(io::Error::new(io::ErrorKind::NotFound, format!("no such name: {host}"))))
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder().http_status_as_error(false).proxy(None).timeout_global(Some(PATIENCE)).build().into()
}

/// An API client.
#[derive(Clone)]
pub struct Client {
    base: String,
    token: Option<String>,
    agent: ureq::Agent,
}

/// An answer of the API.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    /// The body of an answer with this status.
    #[track_caller]
    pub fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        if self.text.is_empty() { Value::Null } else { self.json() }
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(given, _)| given.eq_ignore_ascii_case(name)).map_or("", |(_, value)| value)
    }

    /// The code of an AsiliChain error of this status.
    #[track_caller]
    pub fn code(&self, status: u16) -> String {
        let body = self.expect(status);
        let error = &body["error"];
        assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()), "{body}");
        assert!(error["request_id"].as_str().is_some_and(|id| id.starts_with("req_")), "{body}");
        error["code"].as_str().expect("a code").to_owned()
    }

    /// The sentence of an ASG error of this status.
    #[track_caller]
    pub fn sentence(&self, status: u16) -> String {
        let body = self.expect(status);
        assert_eq!(body.as_object().expect("an object").len(), 1, "{body}");
        body["error"].as_str().expect("a sentence").to_owned()
    }
}

impl Client {
    /// A client of the server at `http://...`.
    pub fn at(base: &str, token: &str) -> Self {
        Self { base: base.to_owned(), token: Some(token.to_owned()), agent: agent() }
    }

    pub fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], None)
    }

    pub fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, &[], None)
    }

    pub fn post(&self, path: &str, body: Value) -> Answer {
        self.post_text(path, &body.to_string())
    }

    pub fn patch(&self, path: &str, body: Value) -> Answer {
        self.send("PATCH", path, &[("content-type", "application/json")], Some(body.to_string().as_bytes()))
    }

    pub fn post_text(&self, path: &str, body: &str) -> Answer {
        self.send("POST", path, &[("content-type", "application/json")], Some(body.as_bytes()))
    }

    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&[u8]>) -> Answer {
        self.try_send(method, path, headers, body).expect("the server answers")
    }

    /// The same of a server that may go away.
    pub fn try_send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&[u8]>,
    ) -> Result<Answer, ureq::Error> {
        let mut request = ureq::http::Request::builder().method(method).uri(format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = match body {
            Some(body) => self.agent.run(request.body(body).expect("a request")),
            None => self.agent.run(request.body(()).expect("a request")),
        };
        let mut response = response?;
        let headers = response.headers().iter();
        let headers =
            headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap_or("").to_owned())).collect();
        let text = response.body_mut().read_to_string()?;
        leaks::exchange(path, body, response.status().as_u16(), &text);
        Ok(Answer { status: response.status().as_u16(), headers, text })
    }

    // The words of the two pages.

    /// Registers an AsiliChain webhook and gives its id.
    pub fn webhook(&self, url: &str, events: &[&str], secret: &str) -> String {
        let body = serde_json::json!({ "url": url, "events": events, "cooperative_id": COOP, "secret": secret });
        self.post("/webhooks", body).expect(201)["webhook_id"].as_str().expect("an id").to_owned()
    }

    /// Publishes an AsiliChain event and gives the answer's body.
    #[track_caller]
    pub fn publish(&self, event: &str, data: Value) -> Value {
        let body = serde_json::json!({ "event": event, "cooperative_id": COOP, "data": data });
        self.post("/events", body).expect(202)
    }

    /// The deliveries of a webhook, newest first.
    pub fn deliveries(&self, webhook: &str) -> Vec<Value> {
        let page = self.get(&format!("/webhooks/{webhook}/deliveries?limit=100")).expect(200);
        page["deliveries"].as_array().expect("a list").clone()
    }

    /// One delivery with its attempts.
    pub fn delivery(&self, webhook: &str, delivery: &str) -> Value {
        self.get(&format!("/webhooks/{webhook}/deliveries/{delivery}")).expect(200)
    }

    /// The status of a webhook.
    pub fn status(&self, webhook: &str) -> String {
        self.get(&format!("/webhooks/{webhook}")).expect(200)["status"].as_str().expect("a status").to_owned()
    }
}

/// Runs several at once.
pub fn together<T: Send + 'static>(work: Vec<Box<dyn FnOnce() -> T + Send>>) -> Vec<T> {
    let threads: Vec<JoinHandle<T>> = work.into_iter().map(thread::spawn).collect();
    threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
}
