//! The language of the problem, as pure values and functions: no SQL, no sockets, no clock.

pub mod account;
pub mod alert;
pub mod alert_message;
pub mod attempt_headers;
pub mod audit;
pub mod delivery;
pub mod endpoint;
pub mod event;
pub mod excerpt;
pub mod failure_details;
pub mod grant;
pub mod ids;
pub mod json;
pub mod profile;
pub mod recovery;
pub mod scope;
pub mod selection;
pub mod session;
pub mod signature;
pub mod stats;
mod target_text;
pub mod text;
pub mod timestamp;
pub mod token;
