//! An event on its way: published, signed, sent, retried and resumed; receivers, names and certificates that fail.

mod addresses;
mod answers;
mod batch;
mod cascade;
mod clock;
mod json;
mod large_bodies;
mod libraries;
mod look_ups;
mod misbehaving;
mod names;
mod prefetched;
mod readable;
mod reasons;
mod recipes;
mod rest;
mod resume;
mod resume_long;
mod secret_rotation;
mod sending;
mod shares;
mod signatures;
mod tls;
mod tls_kinds;
