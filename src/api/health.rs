//! The health checks, for monitors.

use std::{marker::PhantomData, time::Duration};

use poem::web::Data;
use poem_openapi::{ApiResponse, Enum, Object, OpenApi};
use serde::Serialize;

use super::openapi::{Body, Refused, Shape, Supplement, Tag, refusals::Head};
use crate::{
    app::{App, health},
    error::Result,
    http::single_flight::SingleFlight,
};

/// How long the outcome of a trial write is shared: anybody may ask for one, and each waits for the disk.
const PAUSE: Duration = Duration::from_secs(1);

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

/// The health of a part of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Enum)]
#[oai(rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub(crate) enum PartStatus {
    /// The part works.
    Ok,
    /// The part works, but a person should look at it.
    Warning,
    /// The part does not work.
    Unavailable,
}

/// A part of the server.
#[derive(Debug, Clone, Serialize, Object)]
pub(crate) struct Part {
    /// The health of the part.
    status: PartStatus,
    /// The health in a sentence.
    message: String,
}

/// The parts without which the server cannot work.
#[derive(Debug, Clone, Serialize, Object)]
pub(crate) struct Parts {
    /// The database takes writes.
    database: Part,
    /// The engine finds due deliveries and sends them.
    engine: Part,
    /// The disk has room.
    disk: Part,
    /// The clock goes on evenly.
    clock: Part,
    /// The key file opens the stored signing secrets.
    key_file: Part,
    /// The last backup is young enough.
    backup: Part,
    /// The server's own certificate is fresh, if it speaks TLS by itself.
    certificate: Part,
}

/// Whether the server can do its work, part by part.
#[derive(Debug, Clone, Serialize, Object)]
pub(crate) struct Readiness {
    /// `ok`, or `unavailable` while a part does not work.
    status: Status,
    /// Parts that work, but that a person should look at: a sentence for each.
    warnings: Vec<String>,
    /// Each part.
    parts: Parts,
}

#[derive(ApiResponse)]
pub(crate) enum Ready {
    /// The server takes requests and delivers.
    #[oai(status = 200)]
    Ok(Body<Readiness>),
    /// A part does not work now: `parts` says which part, and why.
    #[oai(status = 503)]
    Unavailable(Body<Readiness>),
}

impl From<health::Part> for Part {
    fn from(part: health::Part) -> Self {
        let (status, message) = match part {
            health::Part::Ok(message) => (PartStatus::Ok, message),
            health::Part::Warning(message) => (PartStatus::Warning, message),
            health::Part::Unavailable(message) => (PartStatus::Unavailable, message),
        };
        Self { status, message }
    }
}

impl Readiness {
    fn of(health: health::Health) -> Self {
        let status = if health.works() { Status::Ok } else { Status::Unavailable };
        let parts = Parts {
            database: health.database.into(),
            engine: health.engine.into(),
            disk: health.disk.into(),
            clock: health.clock.into(),
            key_file: health.key_file.into(),
            backup: health.backup.into(),
            certificate: health.certificate.into(),
        };
        let Parts { database, engine, disk, clock, key_file, backup, certificate } = &parts;
        let all = [database, engine, disk, clock, key_file, backup, certificate];
        let warnings = all.iter().filter(|part| part.status == PartStatus::Warning);
        Self { status, warnings: warnings.map(|part| part.message.clone()).collect(), parts }
    }
}

/// The routes, and the last trial write. `E` is the shape of their errors.
pub(crate) struct Routes<E>(SingleFlight<health::Part>, PhantomData<E>);

impl<E> Default for Routes<E> {
    fn default() -> Self {
        Self(SingleFlight::default(), PhantomData)
    }
}

impl<E: Shape> Routes<E> {
    async fn readiness(&self, app: &App) -> Readiness {
        let database = match app.database_health() {
            Some(part) => part,
            None => {
                let tester = app.clone();
                let trial = || async move { tester.try_write().await };
                let failed =
                    || health::Part::Unavailable("a write on trial failed: the server's log says why".to_owned());
                self.0.recent(app.clock().uptime(), PAUSE, trial).await.unwrap_or_else(failed)
            }
        };
        Readiness::of(app.health(database).await)
    }
}

#[OpenApi(tag = "Tag::Health")]
impl<E: Shape> Routes<E> {
    /// Check that the process is alive
    ///
    /// Answers as soon as the process runs. It changes nothing. Needs no token.
    #[oai(path = "/health/live", method = "get", operation_id = "live")]
    async fn live(&self) -> Result<Body<Health>, Refused<E, Head>> {
        Ok(Body(Health { status: Status::Ok }))
    }

    /// Check that the server can do its work
    ///
    /// Answers 200 when the database takes writes, deliveries go out, the key file is in its place and the server's own
    /// certificate, if it has one, has not expired; otherwise 503. It changes nothing. The answer has the health of each
    /// part. The server's own last writes decide; if there was none for 5 seconds, the server tries one, at most once a
    /// second. Little room on the disk, a clock that was set, a backup that is late, a certificate that ends soon or was
    /// not renewed, and many writes that wait are warnings: the answer is still 200. Needs no token.
    #[oai(path = "/health/ready", method = "get", operation_id = "ready")]
    async fn ready(&self, app: Data<&App>) -> Result<Ready, Refused<E, Head>> {
        let readiness = self.readiness(&app).await;
        Ok(match readiness.status {
            Status::Ok => Ready::Ok(Body(readiness)),
            Status::Unavailable => Ready::Unavailable(Body(readiness)),
        })
    }
}

/// The part of the document that the types cannot say.
pub(crate) const SUPPLEMENT: Supplement = Supplement {
    tag: "Health",
    schemas: &[
        ("Health", r#"{"status": "ok"}"#),
        ("Part", r#"{"status": "ok", "message": "the database takes writes"}"#),
        (
            "Parts",
            r#"{"database": {"status": "ok", "message": "the database takes writes"}, "engine": {"status": "ok", "message": "deliveries go out"}, "disk": {"status": "warning", "message": "412 MB are left on the disk of the database: free some space (the warning comes below 1000 MB, watch.low_space_bytes)"}, "clock": {"status": "ok", "message": "the clock goes evenly"}, "key_file": {"status": "ok", "message": "the key file opens the signing secrets"}, "backup": {"status": "ok", "message": "the last backup is 5 h old"}, "certificate": {"status": "ok", "message": "the certificate holds until 2026-07-12T06:30:00Z"}}"#,
        ),
        (
            "Readiness",
            r#"{"status": "ok", "warnings": ["412 MB are left on the disk of the database: free some space (the warning comes below 1000 MB, watch.low_space_bytes)"], "parts": "@Parts"}"#,
        ),
    ],
    parameters: &[],
    made: Vec::new,
    outgoing: &[],
};
