//! The body of every event: `{"webhook_id","event","api_version","created_at","data"}`, in the order of the vendor's
//! page.
//!
//! The body must be a fixed point of `JSON.stringify`, because a receiver verifies the text that it has parsed and
//! printed again.

use serde::Deserialize;

use crate::{
    api::openapi::RawObject,
    domain::{json, profile::Finished},
    error::{Error, Result},
};

/// The stored body, without the webhook's id. `data` is printed by [`json::stringify`].
pub(super) fn stored(event: &str, api_version: &str, created_at: &str, data: &str) -> String {
    format!(
        r#"{{"event":{},"api_version":{},"created_at":{},"data":{data}}}"#,
        json::quote(event),
        json::quote(api_version),
        json::quote(created_at)
    )
}

/// Finishes a stored body for one webhook.
pub(super) fn finish<'a>(webhook: &str, stored: &'a str) -> Finished<'a> {
    let rest = stored.strip_prefix('{').unwrap_or(stored);
    Finished { head: format!(r#"{{"webhook_id":"{webhook}","#), rest }
}

/// The parts of a stored body that answers show.
#[derive(Debug, Deserialize)]
pub(super) struct Stored {
    pub(super) created_at: String,
    pub(super) data: RawObject,
}

impl Stored {
    pub(super) fn read(stored: &str) -> Result<Self> {
        serde_json::from_str(stored).map_err(|flaw| Error::Internal(format!("a stored body: {flaw}")))
    }
}
