//! The language of the problem, as pure values and functions: no SQL, no sockets, no clock.

pub mod account;
pub mod delivery;
pub mod endpoint;
pub mod event;
pub mod excerpt;
pub mod ids;
pub mod json;
pub mod profile;
pub mod session;
pub mod signature;
pub mod timestamp;
pub mod token;
