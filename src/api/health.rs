//! For whoever watches the process.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use poem::web::Data;
use poem_openapi::{ApiResponse, Enum, Object, OpenApi};
use serde::Serialize;
use tokio::sync::watch;

use super::{
    Deps, Errors, Tag,
    body::Body,
    contract::Supplement,
    refused::{Refused, WithoutToken},
};
use crate::store;

/// How long what was seen is told to whoever asks: a look is a synced write, and anybody may ask for one.
const PAUSE: Duration = Duration::from_secs(1);

/// Whether the server can do its work.
#[derive(Debug, Clone, Copy, Serialize, Enum)]
#[oai(rename = "HealthStatus", rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub(crate) enum Status {
    Ok,
    Unavailable,
}

/// The state of the server.
#[derive(Debug, Serialize, Object)]
pub(crate) struct Health {
    /// `ok`, or `unavailable` while the database cannot be used.
    status: Status,
}

#[derive(ApiResponse)]
pub(crate) enum Ready {
    /// It takes requests and delivers.
    #[oai(status = 200)]
    Ok(Body<Health>),
    /// It cannot use its database now.
    #[oai(status = 503)]
    Unavailable(Body<Health>),
}

/// The routes, and the last look at the database.
#[derive(Default)]
pub(crate) struct Routes(Mutex<Option<Look>>);

/// A look at the database, shared by all who ask meanwhile and for a while after.
struct Look {
    /// When it began, as the machine's uptime.
    at: Duration,
    /// What it found, once it has.
    found: watch::Receiver<Option<Status>>,
}

impl Routes {
    /// The last look, or a new one. It goes on when whoever asked for it has gone away.
    fn look(&self, deps: &Deps) -> watch::Receiver<Option<Status>> {
        let now = deps.clock.uptime();
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(look) = &*last
            && (look.found.borrow().is_none() || now.saturating_sub(look.at) < PAUSE)
        {
            return look.found.clone();
        }
        let (tell, found) = watch::channel(None);
        let db = deps.db.clone();
        tokio::spawn(async move {
            let written = db.write(store::probe).await;
            tell.send_replace(Some(written.map_or(Status::Unavailable, |()| Status::Ok)));
        });
        *last = Some(Look { at: now, found: found.clone() });
        found
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
    /// Answers 200 when the database can be written, else 503. It looks at most once a second, and all who ask share what
    /// it saw. Needs no token.
    #[oai(path = "/health/ready", method = "get", operation_id = "ready")]
    async fn ready(&self, deps: Data<&Deps>) -> Result<Ready, Refused<Errors, WithoutToken>> {
        Ok(match self.look(&deps).wait_for(Option::is_some).await.map(|found| *found) {
            Ok(Some(Status::Ok)) => Ready::Ok(Body(Health { status: Status::Ok })),
            _ => Ready::Unavailable(Body(Health { status: Status::Unavailable })),
        })
    }
}

/// What the document says of it beside its types.
pub(super) const SUPPLEMENT: Supplement =
    Supplement { tag: "Health", schemas: &[("Health", r#"{"status": "ok"}"#)], parameters: &[], signature: None };
