//! News of each commit, from the writer to the engine.

use super::claim::{Claim, Claimed};
use crate::domain::{endpoint::EndpointKey, endpoint_settings::Sending, timestamp::Timestamp};

/// The changes of one commit that matter to the engine.
#[derive(Debug)]
pub struct News {
    /// The number of this commit among those with news.
    pub number: u64,
    /// The moment of the commit.
    pub at: Timestamp,
    /// By how many milliseconds all due times were moved, before the other changes.
    pub shifted: i64,
    /// The changes, in the order in which they were made. The order matters: a delivery that became due after its
    /// endpoint was served is listed after that.
    pub changes: Vec<Change>,
}

/// A change.
#[derive(Debug)]
pub enum Change {
    /// A delivery of this endpoint is due at this moment.
    Due(EndpointKey, Timestamp),
    /// A delivery was claimed in the transaction that made it.
    ClaimedAtBirth(Claim),
    /// The last attempt to this endpoint before the server started timed out.
    TimedOut(EndpointKey),
    /// The receiver of this endpoint asked for no delivery before this moment.
    Rests(EndpointKey, Timestamp),
    /// The deliveries of this endpoint go out in this way from now on.
    Sending(EndpointKey, Sending),
    /// The endpoint was resumed, or has another URL.
    Restarted(EndpointKey),
    /// Due deliveries of an endpoint were claimed.
    Served(Claimed),
    /// An alert was written.
    Alert,
}

impl News {
    pub(super) fn new(at: Timestamp) -> Self {
        Self { number: 0, at, shifted: 0, changes: Vec::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.shifted == 0 && self.changes.is_empty()
    }
}
