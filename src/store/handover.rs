//! What passes between the writer and the engine: news of each commit one way, room for new claims the other.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::{
    bodies::Bodies,
    claim::{Claim, Claimed},
};
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
    Made(Claim),
    /// The last attempt at this endpoint, before the server started, timed out.
    Suspect(EndpointKey),
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

/// How many new deliveries may be claimed in the transaction that makes them, because they would be sent at once. The
/// engine grants it, publishing uses it up; what an undone transaction took is granted again when the lane next changes.
#[derive(Debug, Default)]
pub struct Room {
    granted: Mutex<Granted>,
    /// The bodies of what is claimed.
    bodies: Bodies,
}

#[derive(Debug, Default)]
struct Granted {
    in_all: usize,
    each: HashMap<EndpointKey, usize>,
}

impl Room {
    /// Grants so many in all, and to each of these endpoints so many; what others have stays.
    pub fn grant(&self, in_all: usize, each: impl IntoIterator<Item = (EndpointKey, usize)>) {
        let mut granted = self.granted();
        granted.in_all = in_all;
        for (endpoint, claims) in each {
            if claims > 0 {
                granted.each.insert(endpoint, claims);
            } else {
                granted.each.remove(&endpoint);
            }
        }
    }

    /// The bodies of what is claimed.
    pub fn bodies(&self) -> &Bodies {
        &self.bodies
    }

    /// Grants nothing any more.
    pub fn close(&self) {
        *self.granted() = Granted::default();
    }

    pub(super) fn take(&self, endpoint: EndpointKey) -> bool {
        let mut granted = self.granted();
        if granted.in_all == 0 {
            return false;
        }
        match granted.each.get_mut(&endpoint) {
            Some(left) if *left > 0 => {
                *left -= 1;
                granted.in_all -= 1;
                true
            }
            _ => false,
        }
    }

    fn granted(&self) -> MutexGuard<'_, Granted> {
        self.granted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
