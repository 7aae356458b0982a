//! AsiliChain's page: webhooks, events, deliveries and retries, as its cooperatives use them.

mod deliveries;
mod events;
mod recoveries;
mod retries;
mod suspend_when;
mod webhooks;
