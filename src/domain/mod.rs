//! The language of the problem, as pure values and functions: no SQL, no sockets, no clock.

pub mod account;
pub mod alert;
pub mod audit;
pub mod delivery;
pub mod endpoint;
pub mod event;
pub mod excerpt;
pub mod grant;
pub mod ids;
pub mod json;
pub mod post;
pub mod profile;
pub mod retry;
pub mod selection;
pub mod session;
pub mod signature;
pub mod tally;
pub mod telling;
pub mod text;
pub mod timestamp;
pub mod token;
