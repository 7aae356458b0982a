//! AsiliChain's page: webhooks, events, deliveries and retries, as its cooperatives use them.

mod deliveries;
mod event_list;
mod events;
mod retries;
mod stats;
mod webhooks;
