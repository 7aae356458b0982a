//! The OpenAPI document, and the types with which all doors read requests and write answers.

mod auth;
pub(crate) mod batch;
mod body;
pub(crate) mod document;
pub(crate) mod error;
mod json_error;
pub(crate) mod operations;
mod recovery;
mod responses;
mod rotation;
mod shared;
mod tag;
mod unknown_members;
mod webhook_stats;

pub(crate) use self::{
    body::{Body, Printed, RawNumber, RawObject, SecretText, objects},
    document::Supplement,
    error::Failure,
    recovery::{Recoverable, Recovered, Recovery, RecoveryCount, RecoveryPage},
    responses::{OnState, Refused, Registered, Shape, WithBody, WithoutBody, WithoutToken},
    rotation::{Rotated, RotatedSecret, SecretRotation},
    shared::{Attempt, DeliveryStatus, ErrorClass, SuspendedReason, wire_enum},
    tag::Tag,
    webhook_stats::WebhookStats,
};
