//! The way of an event: published, signed, sent, retried, resumed; receivers, names and certificates that are at fault.

pub mod batch;
pub mod cascade;
pub mod claimed_ahead;
pub mod clock;
pub mod faults;
pub mod json;
pub mod large_bodies;
pub mod libraries;
pub mod look_ups;
pub mod misbehaving;
pub mod names;
pub mod readable;
pub mod resume;
pub mod resume_long;
pub mod sending;
pub mod shares;
pub mod signatures;
pub mod tls;
