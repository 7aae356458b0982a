//! The headers of an attempt's POST.

use crate::domain::{
    ids::{DeliveryId, EventId},
    profile::Profile,
    timestamp::Timestamp,
};

/// The name that the server gives itself.
pub const USER_AGENT: &str = concat!("ngoma/", env!("CARGO_PKG_VERSION"));

/// A receiver may answer in any form. Some gateways refuse a request that does not say so.
pub const ACCEPT: &str = "*/*";

/// The values of an attempt's headers.
#[derive(Debug)]
pub struct AttemptHeaders<'a> {
    /// The profile of the endpoint.
    pub profile: &'a Profile,
    /// The event: its id is the same on every attempt and replay.
    pub event: EventId,
    /// The delivery.
    pub delivery: DeliveryId,
    /// The number of the attempt.
    pub attempt: u32,
    /// When the attempt begins.
    pub at: Timestamp,
    /// Whether it carries sample data.
    pub test: bool,
    /// The vendor's signature of the body; none if there is no secret.
    pub signature: Option<String>,
    /// The signatures of Standard Webhooks.
    pub standard: String,
    /// The headers that the owner of the endpoint adds.
    pub own: Vec<(&'a str, &'a str)>,
}

impl<'a> AttemptHeaders<'a> {
    /// Name and value of each, in the letter case in which they are sent. The sender adds `accept`, `host`,
    /// `user-agent` and `content-length`.
    pub fn list(self) -> Vec<(&'a str, String)> {
        let mut headers = vec![
            ("content-type", "application/json".to_owned()),
            ("webhook-signature", self.standard),
            ("webhook-timestamp", self.at.unix_seconds().to_string()),
            ("webhook-id", self.event.to_string()),
            ("ngoma-delivery", self.delivery.to_string()),
            ("ngoma-attempt", self.attempt.to_string()),
        ];
        headers.extend(self.signature.map(|signature| (self.profile.signature_header, signature)));
        headers.extend(self.own.into_iter().map(|(name, value)| (name, value.to_owned())));
        if self.test {
            headers.push(("ngoma-test", "true".to_owned()));
        }
        headers
    }
}
