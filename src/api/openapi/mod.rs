//! The OpenAPI document, and the types with which all doors read requests and write answers.

mod auth;
pub(crate) mod batch;
mod body;
pub(crate) mod document;
pub(crate) mod error;
mod idempotency;
mod json_error;
pub(crate) mod operations;
mod recovery;
mod responses;
mod rotation;
mod settings;
mod shared;
mod tag;
mod unknown_members;
mod webhook_stats;

pub(crate) use self::{
    body::{Body, Printed, RawNumber, RawObject, SecretText, objects},
    document::Supplement,
    error::Failure,
    idempotency::{Key, Repeat},
    recovery::{Recoverable, Recovered, Recovery, RecoveryCount, RecoveryPage},
    responses::{
        ChangesWithBody, ChangesWithoutBody, Listed, OnState, OnceOnState, Refused, Registered, Shape, Versioned,
        WithBody, WithoutBody, WithoutToken, next_page,
    },
    rotation::{Rotated, RotatedSecret, SecretRotation},
    settings::{settings, shown_headers, shown_metadata},
    shared::{Attempt, DeliveryStatus, ErrorClass, SuspendedReason, wire_enum},
    tag::Tag,
    webhook_stats::WebhookStats,
};
