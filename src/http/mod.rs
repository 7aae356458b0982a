//! The steps that every request passes: connections, limits, the token, the log.
//!
//! This floor knows no vendor, no OpenAPI and no page. It gets them from its caller, as `pipeline::Doors`.

pub(crate) mod access_log;
pub(crate) mod asset;
pub(crate) mod auth;
pub(crate) mod blocking;
pub(crate) mod body;
pub(crate) mod budget;
pub mod client;
pub(crate) mod connection_slots;
pub(crate) mod context;
pub(crate) mod error;
pub(crate) mod file_body;
mod header_limits;
mod idle;
mod linger;
pub(crate) mod pipeline;
pub(crate) mod rate_limit;
pub(crate) mod redirect;
pub(crate) mod server;
pub(crate) mod single_flight;
