//! News of each commit, from the writer to the engine.

use super::claim::{Claim, Claimed};
use crate::domain::{endpoint::EndpointKey, timestamp::Timestamp};

/// What a commit changed for those who deliver.
#[derive(Debug)]
pub struct News {
    /// How many commits had news by then.
    pub number: u64,
    /// The moment of the commit.
    pub at: Timestamp,
    /// By how many milliseconds every due time was moved, before all else.
    pub shifted: i64,
    /// What its writes did, in their order: what is due after an endpoint was served comes after that here.
    pub changes: Vec<Change>,
}

/// What one write did.
#[derive(Debug)]
pub enum Change {
    /// Something of this endpoint is due at this moment.
    Due(EndpointKey, Timestamp),
    /// A delivery was claimed as it was made.
    ClaimedAtBirth(Claim),
    /// The last attempt at this endpoint, before the server started, timed out.
    TimedOut(EndpointKey),
    /// An endpoint had its turn.
    Served(Claimed),
    /// Somebody has to be told something.
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
