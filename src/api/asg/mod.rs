//! ASG Gateway's dialect: `/v1/webhooks`, `task.settled`, `X-ASG-Signature`.
//! Source of every rule: the vendor's page "Webhooks" and its "Retry policy".

mod deliveries;
mod delivery_wire;
mod draft;
mod envelope;
mod errors;
mod examples;
mod profile;
mod recoveries;
mod tasks;
mod webhook_wire;
mod webhooks;
mod wire;

pub use self::profile::{NAME, profile};
pub(super) use self::{
    deliveries::Routes as DeliveryRoutes, errors::shape, examples::SUPPLEMENT, profile::dialect,
    recoveries::Routes as RecoveryRoutes, tasks::Routes as TaskRoutes, webhooks::Routes as WebhookRoutes,
    wire::Payloads,
};
