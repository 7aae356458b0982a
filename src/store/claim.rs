//! What is claimed, and what may be.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{Bodies, Body, Target};
use crate::domain::{
    delivery::DeliveryKey,
    endpoint::EndpointKey,
    event::Damaged,
    ids::{DeliveryId, EventId},
    timestamp::Timestamp,
};

/// A delivery that this server alone may attempt, until it is settled or given back.
#[derive(Debug)]
pub struct Claim {
    /// The key of the delivery's row.
    pub key: DeliveryKey,
    /// The public id of the delivery.
    pub delivery: DeliveryId,
    /// The number of this attempt.
    pub attempt: u32,
    /// Tries of this schedule, this one included.
    pub tries: u32,
    /// The event's public id.
    pub event: EventId,
    /// The event's name.
    pub kind: String,
    /// Whether it is sample data.
    pub test: bool,
    /// The stored body, for the envelope to finish.
    pub body: Result<Body, Damaged>,
    /// Where it goes.
    pub target: Arc<Target>,
}

impl Claim {
    /// Who owns it: nobody else has this number of an attempt at this delivery.
    pub fn owner(&self) -> (DeliveryKey, u32) {
        (self.key, self.attempt)
    }

    /// Bytes of the stored body; 0 if it is damaged.
    pub fn size(&self) -> usize {
        self.body.as_ref().map_or(0, |body| body.len())
    }
}

/// What may be claimed of one endpoint.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    /// The endpoint.
    pub endpoint: EndpointKey,
    /// How many deliveries.
    pub claims: usize,
    /// To how many bytes the large bodies in memory may come; 0: no large body is claimed.
    pub large_bytes: usize,
}

/// What was claimed of one endpoint.
#[derive(Debug)]
pub struct Claimed {
    /// The endpoint.
    pub endpoint: EndpointKey,
    /// Its deliveries, those due longest first.
    pub claims: Vec<Claim>,
    /// When the first of those left pending is due.
    pub next: Option<Timestamp>,
    /// The bytes of the next body, if it was left pending because large bodies fill the memory they may take.
    pub too_large: Option<usize>,
}

impl Claimed {
    /// Nothing, and nothing more before `next`.
    pub fn nothing(endpoint: EndpointKey, next: Option<Timestamp>) -> Self {
        Self { endpoint, claims: Vec::new(), next, too_large: None }
    }
}

/// How many new deliveries may be claimed in the transaction that makes them, because they would be sent at once. The
/// engine grants it, publishing uses it up; what an undone transaction took is granted again when the lane next changes.
#[derive(Debug, Default)]
pub struct ClaimBudget {
    granted: Mutex<Granted>,
    /// The bodies of what is claimed.
    bodies: Bodies,
}

#[derive(Debug, Default)]
struct Granted {
    in_all: usize,
    each: HashMap<EndpointKey, usize>,
}

impl ClaimBudget {
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

    /// How many claims are granted now: in all, and to each endpoint.
    pub fn left(&self) -> (usize, HashMap<EndpointKey, usize>) {
        let granted = self.granted();
        (granted.in_all, granted.each.clone())
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
