//! TLS of the server itself: its certificate, from files of the operator's or from an authority by ACME, renewed while
//! the server runs. The connections themselves are the business of `http`.
//!
//! By ACME it answers the challenge tls-alpn-01: it comes to the port that serves anyway, so port 80 need not be open.

mod account;
mod certificate;
mod client;
mod issue;
mod own_files;
mod presenter;
mod renewal;
mod window;

pub(crate) use self::presenter::CHALLENGE;
pub use self::renewal::Certificates;
