//! The body of `task.settled`, in the order of the vendor's page.

use serde::{Deserialize, Serialize};

use crate::api::body::RawNumber;

/// What a delivery's body holds. The number keeps its own literal, as the page verifies the raw bytes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct TaskSettled {
    pub(super) event: String,
    pub(super) task_id: String,
    pub(super) consensus_label: String,
    pub(super) confidence: RawNumber,
    pub(super) bsv_txid: String,
    pub(super) settled_at: String,
    /// The moment of acceptance.
    pub(super) timestamp: String,
}

/// Finishes a stored body: it is complete already, as nothing in it depends on the webhook.
pub(super) fn finish(_: &str, stored: &str) -> Vec<u8> {
    stored.as_bytes().to_vec()
}
