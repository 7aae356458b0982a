//! For whoever watches the process.

use poem::web::Data;
use poem_openapi::{ApiResponse, Enum, Object, OpenApi};
use serde::Serialize;

use super::{Deps, Tag, body::Body, contract::Supplement};
use crate::store;

/// Whether the server can do its work.
#[derive(Debug, Clone, Copy, Serialize, Enum)]
#[oai(rename_all = "snake_case")]
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

pub(crate) struct Routes;

#[OpenApi(tag = "Tag::Health")]
impl Routes {
    /// Is the process alive?
    ///
    /// Answers as soon as the server runs. Needs no token.
    #[oai(path = "/health/live", method = "get", operation_id = "live")]
    async fn live(&self) -> Body<Health> {
        Body(Health { status: Status::Ok })
    }

    /// Can it do its work?
    ///
    /// Answers 200 when the database can be read and written, else 503. Needs no token.
    #[oai(path = "/health/ready", method = "get", operation_id = "ready")]
    async fn ready(&self, deps: Data<&Deps>) -> Ready {
        match deps.db.write(store::probe).await {
            Ok(()) => Ready::Ok(Body(Health { status: Status::Ok })),
            Err(_) => Ready::Unavailable(Body(Health { status: Status::Unavailable })),
        }
    }
}

/// What the document says of it beside its types.
pub(super) const SUPPLEMENT: Supplement =
    Supplement { tag: "Health", schemas: &[("Health", r#"{"status": "ok"}"#)], parameters: &[], signature: None };
