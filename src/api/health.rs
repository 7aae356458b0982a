//! For whoever watches the process.

use std::time::Duration;

use poem::web::Data;
use poem_openapi::{ApiResponse, Enum, Object, OpenApi};
use serde::Serialize;

use super::{
    Deps, Errors, Tag,
    body::Body,
    contract::Supplement,
    look::Looks,
    refused::{Refused, WithoutToken},
};
use crate::{
    clock::SharedClock,
    domain::audit::Actor,
    error::{Error, Result},
    metrics::ClockJump,
    store::{self, Admission},
};

/// How long the outcome of a write on trial is shared: it is synced, and anybody may ask for one.
const PAUSE: Duration = Duration::from_secs(1);
/// For how long the server's own writes tell how the database is: a fault counts also if a write succeeded after it, and a
/// write is tried only when there was none.
const FRESH: Duration = Duration::from_secs(5);
/// A write that takes longer is not waited for.
const WRITE_PATIENCE: Duration = Duration::from_secs(5);
/// An engine that has not come round for so long does not work: it does so at every poll, and after every outcome.
const STUCK: Duration = Duration::from_secs(60);
/// For so long a clock that was set is worth a warning.
const RECENT: Duration = Duration::from_secs(3600);

/// Whether the server can do its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Enum)]
#[oai(rename = "HealthStatus", rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub(crate) enum Status {
    Ok,
    Unavailable,
}

/// The state of the server.
#[derive(Debug, Serialize, Object)]
pub(crate) struct Health {
    /// `ok`: the process is alive.
    status: Status,
}

/// How a part of the server is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Enum)]
#[oai(rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub(crate) enum PartStatus {
    /// As it should be.
    Ok,
    /// It works, but somebody should look.
    Warning,
    /// It does not work.
    Unavailable,
}

/// A part of the server.
#[derive(Debug, Clone, Serialize, Object)]
pub(crate) struct Part {
    /// How it is.
    status: PartStatus,
    /// The same in a sentence.
    message: String,
}

/// The parts without which the server cannot work.
#[derive(Debug, Clone, Serialize, Object)]
pub(crate) struct Parts {
    /// It takes writes.
    database: Part,
    /// It looks for what is due, and sends it.
    engine: Part,
    /// It has room.
    disk: Part,
    /// It goes on evenly.
    clock: Part,
    /// It opens the signing secrets that are stored.
    key_file: Part,
}

/// Whether the server can do its work, part by part.
#[derive(Debug, Clone, Serialize, Object)]
pub(crate) struct Readiness {
    /// `ok`, or `unavailable` while a part does not work.
    status: Status,
    /// What works, but needs somebody to look.
    warnings: Vec<String>,
    /// Each part.
    parts: Parts,
}

#[derive(ApiResponse)]
pub(crate) enum Ready {
    /// It takes requests and delivers.
    #[oai(status = 200)]
    Ok(Body<Readiness>),
    /// A part does not work now: `parts` says which, and why.
    #[oai(status = 503)]
    Unavailable(Body<Readiness>),
}

impl Part {
    fn ok(message: impl Into<String>) -> Self {
        Self { status: PartStatus::Ok, message: message.into() }
    }

    fn warning(message: impl Into<String>) -> Self {
        Self { status: PartStatus::Warning, message: message.into() }
    }

    fn unavailable(message: impl Into<String>) -> Self {
        Self { status: PartStatus::Unavailable, message: message.into() }
    }
}

impl Readiness {
    fn of(parts: Parts) -> Self {
        let all = [&parts.database, &parts.engine, &parts.disk, &parts.clock, &parts.key_file];
        let status = match all.iter().any(|part| part.status == PartStatus::Unavailable) {
            true => Status::Unavailable,
            false => Status::Ok,
        };
        let warnings = all.iter().filter(|part| part.status == PartStatus::Warning);
        Self { status, warnings: warnings.map(|part| part.message.clone()).collect(), parts }
    }
}

/// Ends at that uptime.
pub(super) async fn passed(clock: &SharedClock, until: Duration) {
    while let Some(left) = until.checked_sub(clock.uptime()).filter(|left| !left.is_zero()) {
        clock.sleep(clock.now(), left).await;
    }
}

/// How the database is, as far as the server's own writes tell: `None` if there were none of late.
fn database(deps: &Deps, now: Duration) -> Option<Part> {
    if deps.db.lost().is_some() {
        return Some(Part::unavailable(
            "the disk failed, or a file of the database was removed, moved or replaced: nothing is accepted any more, and the \
             server stops; its log says more",
        ));
    }
    let is_fresh = |at: Duration| now.saturating_sub(at) < FRESH;
    let written = deps.db.metrics().written();
    match written.fault.filter(|fault| is_fresh(fault.at)) {
        Some(fault) => Some(Part::unavailable(reason(&fault.why))),
        None if !written.last.is_some_and(is_fresh) => None,
        None if deps.db.is_busy() => Some(Part::warning(
            "the database is busy: half of the places for waiting writes are taken, or more (limits.waiting_writes)",
        )),
        None => Some(Part::ok("the database takes writes")),
    }
}

/// Tries a write.
async fn try_write(deps: Deps) -> Part {
    let until = deps.clock.uptime() + WRITE_PATIENCE;
    tokio::select! {
        written = deps.db.write(Actor::Engine, Admission::Wait, store::probe) => match written {
            Ok(()) => Part::ok("the database takes writes"),
            Err(error) => Part::unavailable(reason(&error)),
        },
        () = passed(&deps.clock, until) => {
            Part::unavailable(format!("the database took no write within {} s", WRITE_PATIENCE.as_secs()))
        }
    }
}

/// What is said of a fault to everybody.
fn reason(error: &Error) -> String {
    match error {
        Error::Unavailable(why) => why.clone(),
        _ => "a write to the database failed: the server's log says why".to_owned(),
    }
}

fn engine(deps: &Deps, now: Duration) -> Part {
    let seconds = |since: Duration| now.saturating_sub(since).as_secs();
    if let Some(fault) = deps.db.metrics().paused() {
        let why = reason(&fault.why);
        return Part::unavailable(format!(
            "deliveries have paused for {} s and go on by themselves: {why}",
            seconds(fault.at)
        ));
    }
    let looked = (deps.looked)();
    if now.saturating_sub(looked) < STUCK {
        return Part::ok("deliveries go out");
    }
    Part::unavailable(format!(
        "nothing was sent or looked for in the last {} s: the server's log may say why; restart it",
        seconds(looked)
    ))
}

async fn key_file(deps: &Deps) -> Part {
    match deps.db.key_fault().await {
        None => Part::ok("the key file opens the signing secrets"),
        Some(_) => Part::unavailable(
            "the key file is missing, cannot be used or is not the one of this database: deliveries go on, but no signing secret \
             can be stored, and a restart would fail; put the right file back (storage.key_file); the server's log says more",
        ),
    }
}

fn disk(free: Option<u64>, low: u64) -> Part {
    let megabytes = |bytes: u64| bytes / 1_000_000;
    match free {
        None => Part::ok("the system does not say how much room is left"),
        Some(free) if free < low => Part::warning(format!(
            "{} MB are left on the disk of the database: make room (it is told below {} MB, watch.low_space_bytes)",
            megabytes(free),
            megabytes(low)
        )),
        Some(free) => Part::ok(format!("{} MB are left on the disk of the database", megabytes(free))),
    }
}

fn clock(step: Option<ClockJump>) -> Part {
    let Some(ClockJump { by, .. }) = step else { return Part::ok("the clock goes evenly") };
    let (seconds, way) = (by.unsigned_abs() as f64 / 1000.0, if by < 0 { "back" } else { "forward" });
    Part::warning(format!(
        "the clock was set {way} by {seconds:.1} s within the last hour: due times were moved along; see that the time is right"
    ))
}

/// The routes, and the last write on trial.
#[derive(Default)]
pub(crate) struct Routes(Looks<Part>);

impl Routes {
    async fn readiness(&self, deps: &Deps) -> Readiness {
        let now = deps.clock.uptime();
        let database = match database(deps, now) {
            Some(part) => part,
            None => {
                let tried = self.0.last(now, PAUSE, || try_write(deps.clone())).await;
                tried.unwrap_or_else(|| Part::unavailable("a write on trial failed: the server's log says why"))
            }
        };
        let step = deps.db.metrics().last_clock_jump().filter(|step| now.saturating_sub(step.at) < RECENT);
        Readiness::of(Parts {
            database,
            engine: engine(deps, deps.clock.uptime()),
            disk: disk(deps.db.free_space(), deps.watch.low_space_bytes),
            clock: clock(step),
            key_file: key_file(deps).await,
        })
    }
}

#[OpenApi(tag = "Tag::Health")]
impl Routes {
    /// Is the process alive?
    ///
    /// Answers as soon as the server runs. Needs no token.
    #[oai(path = "/health/live", method = "get", operation_id = "live")]
    async fn live(&self) -> Result<Body<Health>, Refused<Errors, WithoutToken>> {
        Ok(Body(Health { status: Status::Ok }))
    }

    /// Can it do its work?
    ///
    /// Answers 200 when the database takes writes, deliveries go out and the key file is in its place, else 503; and says so of
    /// each part. The server's own last writes decide; when there was none for 5 seconds it tries one, at most once a second.
    /// Little room on the disk, a clock that was set and many writes that wait are warnings: still 200. Needs no token.
    #[oai(path = "/health/ready", method = "get", operation_id = "ready")]
    async fn ready(&self, deps: Data<&Deps>) -> Result<Ready, Refused<Errors, WithoutToken>> {
        let readiness = self.readiness(&deps).await;
        Ok(match readiness.status {
            Status::Ok => Ready::Ok(Body(readiness)),
            Status::Unavailable => Ready::Unavailable(Body(readiness)),
        })
    }
}

/// What the document says of it beside its types.
pub(super) const SUPPLEMENT: Supplement = Supplement {
    tag: "Health",
    schemas: &[
        ("Health", r#"{"status": "ok"}"#),
        ("Part", r#"{"status": "ok", "message": "the database takes writes"}"#),
        ("Parts", PARTS),
        (
            "Readiness",
            r#"{"status": "ok", "warnings": ["412 MB are left on the disk of the database: make room (it is told below 1000 MB, watch.low_space_bytes)"], "parts": {"database": {"status": "ok", "message": "the database takes writes"}, "engine": {"status": "ok", "message": "deliveries go out"}, "disk": {"status": "warning", "message": "412 MB are left on the disk of the database: make room (it is told below 1000 MB, watch.low_space_bytes)"}, "clock": {"status": "ok", "message": "the clock goes evenly"}, "key_file": {"status": "ok", "message": "the key file opens the signing secrets"}}}"#,
        ),
    ],
    parameters: &[],
    signature: None,
};

const PARTS: &str = r#"{"database": {"status": "ok", "message": "the database takes writes"}, "engine": {"status": "ok", "message": "deliveries go out"}, "disk": {"status": "warning", "message": "412 MB are left on the disk of the database: make room (it is told below 1000 MB, watch.low_space_bytes)"}, "clock": {"status": "ok", "message": "the clock goes evenly"}, "key_file": {"status": "ok", "message": "the key file opens the signing secrets"}}"#;
