//! Which deliveries somebody means, over all webhooks that they may see.

use crate::domain::{
    delivery::{Failure, State},
    ids::{DeliveryId, EndpointId},
    timestamp::Timestamp,
};

/// Which deliveries: those that fit all that is given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// Of the account of this id.
    pub account: Option<String>,
    /// To this endpoint.
    pub endpoint: Option<EndpointId>,
    /// Of events of this name.
    pub kind: Option<String>,
    /// In this state.
    pub state: Option<State>,
    /// Whose last attempt failed so.
    pub failure: Option<Failure>,
    /// Made at this moment or later.
    pub from: Option<Timestamp>,
    /// Made at this moment or earlier.
    pub to: Option<Timestamp>,
    /// This one alone.
    pub delivery: Option<DeliveryId>,
}
