//! AsiliChain's dialect: `/webhooks`, 15 events, `X-AsiliChain-Signature`.
//! Source of every rule: the vendor's page "Webhooks Overview".

mod catalogue;
mod delivery_wire;
mod draft;
mod envelope;
mod errors;
mod event_wire;
mod events;
mod examples;
mod fit;
mod payload;
mod payload_fields;
mod payload_schemas;
mod profile;
mod recoveries;
mod warnings;
mod webhooks;
mod wire;

pub use self::profile::{NAME, profile};
pub(super) use self::{
    errors::{Errors, shape},
    events::Routes as EventRoutes,
    examples::SUPPLEMENT,
    payload::Payloads,
    profile::dialect,
    recoveries::Routes as RecoveryRoutes,
    webhooks::Routes as WebhookRoutes,
};
