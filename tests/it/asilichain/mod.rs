//! AsiliChain's page: webhooks, events, deliveries and retries, as its cooperatives use them.

mod deliveries;
mod event_list;
mod events;
mod recoveries;
mod retries;
mod stats;
mod suspend_when;
mod validate;
mod webhooks;
