//! Claims: the right to attempt deliveries, and how many new deliveries a publish may claim.

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

/// The right to make one attempt of a delivery. No one else may attempt it until the claim is settled or given back.
#[derive(Debug)]
pub struct Claim {
    /// The key of the delivery's row.
    pub key: DeliveryKey,
    /// The public id of the delivery.
    pub delivery: DeliveryId,
    /// The number of this attempt.
    pub attempt: u32,
    /// The number of this try in its schedule.
    pub tries: u32,
    /// The event's public id.
    pub event: EventId,
    /// The event's name.
    pub kind: String,
    /// Whether it carries sample data.
    pub test: bool,
    /// The stored body; the envelope completes it.
    pub body: Result<Body, Damaged>,
    /// Where to send it.
    pub target: Arc<Target>,
}

impl Claim {
    /// What identifies the claim: no other claim has this delivery and this attempt number.
    pub fn owner(&self) -> (DeliveryKey, u32) {
        (self.key, self.attempt)
    }

    /// Bytes of the stored body; 0 if it is damaged.
    pub fn size(&self) -> usize {
        self.body.as_ref().map_or(0, |body| body.len())
    }
}

/// How much to claim for one endpoint.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    /// The endpoint.
    pub endpoint: EndpointKey,
    /// The number of deliveries.
    pub claims: usize,
    /// The limit for all large bodies in memory, in bytes; 0: claim no large body.
    pub large_bytes: usize,
    /// Of an ordered endpoint: every delivery with a smaller key has ended; 0 if that is not known.
    pub from: DeliveryKey,
}

/// The claims of one endpoint.
#[derive(Debug)]
pub struct Claimed {
    /// The endpoint.
    pub endpoint: EndpointKey,
    /// The claims, the longest due first.
    pub claims: Vec<Claim>,
    /// When the endpoint's next pending delivery is due.
    pub next: Option<Timestamp>,
    /// The size of the next body in bytes, if it stayed pending because it would exceed the limit for large bodies.
    pub too_large: Option<usize>,
    /// Of an ordered endpoint: every delivery with a smaller key has ended; 0 if that is not known.
    pub from: DeliveryKey,
}

impl Claimed {
    /// No claims, and nothing due before `next`.
    pub fn nothing(endpoint: EndpointKey, next: Option<Timestamp>) -> Self {
        Self { endpoint, claims: Vec::new(), next, too_large: None, from: 0 }
    }
}

/// How many new deliveries a publish may claim in the transaction that makes them, because they can be sent at once.
/// The engine grants the budget and publishing uses it up. The part that an undone transaction used is granted again
/// when the lane changes next.
#[derive(Debug, Default)]
pub struct ClaimBudget {
    granted: Mutex<Granted>,
    /// The bodies of all claims.
    bodies: Bodies,
}

#[derive(Debug, Default)]
struct Granted {
    in_all: usize,
    each: HashMap<EndpointKey, usize>,
}

impl ClaimBudget {
    /// Sets the total, and the number for each of these endpoints. Other endpoints keep theirs.
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

    /// The bodies of all claims.
    pub fn bodies(&self) -> &Bodies {
        &self.bodies
    }

    /// How many claims are granted now: in all, and to each endpoint.
    pub fn left(&self) -> (usize, HashMap<EndpointKey, usize>) {
        let granted = self.granted();
        (granted.in_all, granted.each.clone())
    }

    /// Sets every number to zero.
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
