//! The OpenAPI document, and the types with which all doors read requests and write answers.

mod auth;
pub(crate) mod batch;
mod body;
mod bounds;
pub(crate) mod document;
pub(crate) mod error;
mod header;
mod idempotency;
mod if_match;
mod json_error;
mod modern;
pub(crate) mod operations;
pub(crate) mod outgoing;
mod recovery;
pub(crate) mod refusals;
mod response_headers;
mod responses;
mod rotation;
mod settings;
mod shared;
mod tag;
mod unknown_members;
mod webhook_stats;
mod words;

pub(crate) use self::{
    body::{Body, NoBody, Printed, RawNumber, RawObject, SecretText, objects},
    document::Supplement,
    error::Failure,
    idempotency::{Key, Repeat},
    if_match::OnlyIf,
    outgoing::Outgoing,
    recovery::{Recoverable, Recovered, Recovery, RecoveryCount, RecoveryPage},
    refusals::{Refusal, Refusals},
    responses::{Listed, Refused, Registered, Shape, Versioned, next_page},
    rotation::{Rotated, RotatedSecret, SecretRotation},
    settings::{Headers, Metadata, given, removed_by_null, settings, shown_headers, shown_metadata},
    shared::{Attempt, DeliveryStatus, ErrorClass, SuspendedReason, wire_enum},
    tag::Tag,
    webhook_stats::WebhookStats,
    words::{Word, Words},
};
