//! AsiliChain's page: webhooks, events, deliveries and retries, as its cooperatives use them.

mod deliveries;
mod events;
mod retries;
mod webhooks;
