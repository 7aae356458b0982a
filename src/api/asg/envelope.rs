//! The body of `task.settled`, in the order of the vendor's page.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::{api::openapi::RawNumber, domain::profile::Finished};

/// The body of a delivery. The number keeps its own literal, because receivers verify the raw bytes.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct TaskSettled<'a> {
    pub(super) event: Cow<'a, str>,
    pub(super) task_id: Cow<'a, str>,
    pub(super) consensus_label: Cow<'a, str>,
    pub(super) confidence: RawNumber,
    pub(super) bsv_txid: Cow<'a, str>,
    pub(super) settled_at: Cow<'a, str>,
    /// The moment of acceptance.
    pub(super) timestamp: Cow<'a, str>,
}

/// Finishes a stored body. Nothing in it depends on the webhook, so it is complete already.
pub(super) fn finish<'a>(_: &str, stored: &'a str) -> Finished<'a> {
    Finished { head: String::new(), rest: stored }
}
