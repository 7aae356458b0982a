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
    figures::Step,
    store::{self, Admission},
};

/// How long what was seen is told to whoever asks: a look is a synced write, and anybody may ask for one.
const PAUSE: Duration = Duration::from_secs(1);
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
        let all = [&parts.database, &parts.engine, &parts.disk, &parts.clock];
        let status = match all.iter().any(|part| part.status == PartStatus::Unavailable) {
            true => Status::Unavailable,
            false => Status::Ok,
        };
        let warnings = all.iter().filter(|part| part.status == PartStatus::Warning);
        Self { status, warnings: warnings.map(|part| part.message.clone()).collect(), parts }
    }

    /// Looks at every part; at the database by writing to it.
    async fn look(deps: Deps) -> Self {
        let (busy, until) = (deps.db.is_busy(), deps.clock.uptime() + WRITE_PATIENCE);
        let written = tokio::select! {
            written = deps.db.write(Actor::Engine, Admission::Wait, store::probe) => Some(written),
            () = passed(&deps.clock, until) => None,
        };
        let now = deps.clock.uptime();
        Self::of(Parts {
            database: database(written, busy),
            engine: engine(now.saturating_sub((deps.looked)())),
            disk: disk(deps.db.free_space(), deps.watch.low_space_bytes),
            clock: clock(deps.db.figures().last_step().filter(|step| now.saturating_sub(step.at) < RECENT)),
        })
    }
}

/// Ends at that uptime.
pub(super) async fn passed(clock: &SharedClock, until: Duration) {
    while let Some(left) = until.checked_sub(clock.uptime()).filter(|left| !left.is_zero()) {
        clock.sleep(clock.now(), left).await;
    }
}

fn database(written: Option<Result<()>>, busy: bool) -> Part {
    match written {
        None => Part::unavailable(format!("the database took no write within {} s", WRITE_PATIENCE.as_secs())),
        Some(Ok(())) if busy => Part::warning(
            "the database is busy: half of the places for waiting writes are taken, or more (limits.waiting_writes)",
        ),
        Some(Ok(())) => Part::ok("the database takes writes"),
        Some(Err(Error::Unavailable(why))) => Part::unavailable(why),
        Some(Err(_)) => Part::unavailable("the database cannot be written: the server's log says why"),
    }
}

fn engine(rested: Duration) -> Part {
    if rested < STUCK {
        return Part::ok("deliveries go out");
    }
    let seconds = rested.as_secs();
    Part::unavailable(format!(
        "nothing was sent or looked for in the last {seconds} s: the server's log may say why; restart it"
    ))
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

fn clock(step: Option<Step>) -> Part {
    let Some(Step { by, .. }) = step else { return Part::ok("the clock goes evenly") };
    let (seconds, way) = (by.unsigned_abs() as f64 / 1000.0, if by < 0 { "back" } else { "forward" });
    Part::warning(format!(
        "the clock was set {way} by {seconds:.1} s within the last hour: due times were moved along; see that the time is right"
    ))
}

/// The routes, and the last look at all parts.
#[derive(Default)]
pub(crate) struct Routes(Looks<Readiness>);

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
    /// Answers 200 when the database can be written and the engine works, else 503; and says so of each part. Little room on
    /// the disk, a clock that was set and many writes that wait are warnings: still 200. It looks at most once a second, and all who ask share what
    /// it saw. Needs no token.
    #[oai(path = "/health/ready", method = "get", operation_id = "ready")]
    async fn ready(&self, deps: Data<&Deps>) -> Result<Ready, Refused<Errors, WithoutToken>> {
        let look = || Readiness::look(deps.clone());
        Ok(match self.0.last(deps.clock.uptime(), PAUSE, look).await {
            Some(ready) if ready.status == Status::Ok => Ready::Ok(Body(ready)),
            Some(not) => Ready::Unavailable(Body(not)),
            None => {
                let unknown = || Part::unavailable("looking at it failed: the server's log says why");
                let parts = Parts { database: unknown(), engine: unknown(), disk: unknown(), clock: unknown() };
                Ready::Unavailable(Body(Readiness::of(parts)))
            }
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
            r#"{"status": "ok", "warnings": ["412 MB are left on the disk of the database: make room (it is told below 1000 MB, watch.low_space_bytes)"], "parts": {"database": {"status": "ok", "message": "the database takes writes"}, "engine": {"status": "ok", "message": "deliveries go out"}, "disk": {"status": "warning", "message": "412 MB are left on the disk of the database: make room (it is told below 1000 MB, watch.low_space_bytes)"}, "clock": {"status": "ok", "message": "the clock goes evenly"}}}"#,
        ),
    ],
    parameters: &[],
    signature: None,
};

const PARTS: &str = r#"{"database": {"status": "ok", "message": "the database takes writes"}, "engine": {"status": "ok", "message": "deliveries go out"}, "disk": {"status": "warning", "message": "412 MB are left on the disk of the database: make room (it is told below 1000 MB, watch.low_space_bytes)"}, "clock": {"status": "ok", "message": "the clock goes evenly"}}"#;
