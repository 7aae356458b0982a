//! ASG Gateway's dialect: `/v1/webhooks`, `task.settled`, `X-ASG-Signature`.
//! Source of every rule: the vendor's page "Webhooks" and its "Retry policy".

mod draft;
mod envelope;
mod errors;
mod examples;
mod handlers;
mod profile;
mod recoveries;
mod wire;

pub use self::profile::{NAME, profile};
pub(super) use self::{
    errors::shape, examples::SUPPLEMENT, handlers::Routes, profile::dialect, recoveries::Routes as RecoveryRoutes,
    wire::Payloads,
};
