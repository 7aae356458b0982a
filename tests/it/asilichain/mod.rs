//! AsiliChain's page: events and webhooks as its cooperatives use them.

pub mod events;
pub mod webhooks;
