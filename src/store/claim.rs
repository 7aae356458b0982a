//! What is claimed, and what may be.

use std::sync::Arc;

use super::{Body, Target};
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
