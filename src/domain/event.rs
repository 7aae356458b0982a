//! Events, which platforms publish. Each is stored once, for all its deliveries.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::{
    config::command_for_all,
    domain::{
        account::AccountKey,
        endpoint::TargetUrl,
        ids::{DeliveryId, EndpointId, EventId},
        timestamp::Timestamp,
    },
    error::{Error, Result},
};

/// The error of a damaged body: a fault of the disk, or a person, has changed it since it was published. It is never
/// sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Damaged;

impl From<Damaged> for Error {
    fn from(_: Damaged) -> Self {
        Self::Unreadable(format!("the stored body of an event is damaged: '{}' names it", command_for_all("check")))
    }
}

/// The stored body of an event, for its profile's envelope to complete.
pub type StoredBody = Result<Arc<str>, Damaged>;

/// The key of an event's row.
pub type EventKey = i64;

/// Longest idempotency key, in bytes (the limit of Stripe; IETF draft 07 of the Idempotency-Key header has none).
pub const MAX_IDEMPOTENCY_KEY: usize = 255;

/// An event about to be published.
#[derive(Debug)]
pub struct NewEvent {
    /// Its account.
    pub account: AccountKey,
    /// Its name in the catalogue.
    pub kind: String,
    /// The body, which its profile's envelope completes for each endpoint.
    pub body: Arc<str>,
    /// The key that identifies a repeated publish.
    pub idempotency_key: Option<IdempotencyKey>,
}

/// A key that identifies a repeated publish within the account, with the digest of the request that it came with.
#[derive(Debug, Clone)]
pub struct IdempotencyKey {
    /// The producer's own text.
    pub text: String,
    /// SHA-256 of all parts of the request that matter.
    pub digest: [u8; 32],
}

impl IdempotencyKey {
    /// Checks a key and computes the digest of its request's parts.
    ///
    /// # Errors
    /// A key that is empty or longer than 255 bytes.
    pub fn new(text: &str, parts: &[&str]) -> Result<Self> {
        if text.is_empty() || text.len() > MAX_IDEMPOTENCY_KEY {
            return Err(Error::request(format!("the idempotency key must have 1 to {MAX_IDEMPOTENCY_KEY} bytes")));
        }
        let mut digest = Sha256::new();
        for part in parts {
            digest.update((part.len() as u64).to_le_bytes());
            digest.update(part);
        }
        Ok(Self { text: text.to_owned(), digest: digest.finalize().into() })
    }

    /// The key of one event in a batch that has this key. A key of one line cannot equal it.
    #[must_use]
    pub fn nth(&self, place: usize) -> Self {
        Self { text: format!("{}\n{place}", self.text), digest: self.digest }
    }
}

/// Which endpoints get an event.
#[derive(Debug, Clone)]
pub enum Audience {
    /// Every endpoint of the account that wants events of this kind.
    Subscribers,
    /// The account's newest active endpoint with exactly this target.
    Target(TargetUrl),
}

/// The result of a publish.
#[derive(Debug)]
pub enum Published {
    /// Stored, now or by an earlier request with the same key and body.
    Accepted(Accepted),
    /// The key came before, with another body.
    Reused,
    /// The audience names a target that is no active endpoint of the account.
    NoSuchTarget,
}

/// An accepted event and its deliveries.
#[derive(Debug, Clone)]
pub struct Accepted {
    /// Its public id.
    pub id: EventId,
    /// The body, not yet completed by the envelope.
    pub body: Arc<str>,
    /// Each delivery and the endpoint it goes to.
    pub deliveries: Vec<(DeliveryId, EndpointId)>,
}

/// A stored event, without its body, which may be large.
#[derive(Debug, Clone)]
pub struct Event {
    /// The key of its row.
    pub key: EventKey,
    /// The public id.
    pub id: EventId,
    /// Its account.
    pub account: AccountKey,
    /// The public id of its account.
    pub account_id: String,
    /// The profile of its account.
    pub profile: String,
    /// When it was accepted.
    pub accepted_at: Timestamp,
    /// Whether it is sample data on somebody's request.
    pub test: bool,
    /// Its name in the catalogue.
    pub kind: String,
    /// The one URL its producer named, if it did.
    pub target: Option<String>,
    /// The idempotency key that it was published with; of an event of a batch, with its place: [`IdempotencyKey::nth`].
    pub idempotency_key: Option<String>,
}

impl Event {
    /// The producer's own key: of an event that was published in a batch with a key, the batch's.
    pub fn given_key(&self) -> Option<&str> {
        self.idempotency_key.as_deref()?.split('\n').next()
    }
}
