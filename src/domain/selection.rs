//! A selection of deliveries, over all webhooks that a caller may see.

use crate::domain::{
    delivery::{Failure, State},
    ids::{DeliveryId, EndpointId},
    timestamp::Timestamp,
};

/// A selection: the deliveries that match everything that is set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// Of the account of this id.
    pub account: Option<String>,
    /// To this endpoint.
    pub endpoint: Option<EndpointId>,
    /// To endpoints whose URL or name contains this text, in any letter case.
    pub url: Option<String>,
    /// Of events of this name.
    pub kind: Option<String>,
    /// In this state.
    pub state: Option<State>,
    /// Whose last attempt failed in this way.
    pub failure: Option<Failure>,
    /// Made at this moment or later.
    pub from: Option<Timestamp>,
    /// Made at this moment or earlier.
    pub to: Option<Timestamp>,
    /// Only this delivery.
    pub delivery: Option<DeliveryId>,
}
