//! The facts about a request while it is answered: its id, its door, its token, and its part of the budgets.

use std::sync::{
    Arc, Mutex, MutexGuard, OnceLock, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use poem::Request;

use super::{
    budget::{Budgets, Part},
    rate_limit::TokenLimit,
};
use crate::{
    domain::{
        ids::TokenId,
        token::{Caller, Reach},
    },
    error::{Error, Result},
};

/// Which part of the server answers a request. It is found once, from the method and the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    /// The API of a vendor, by the name of its profile; and how the request publishes, if it does.
    Vendor(&'static str, Option<Publishing>),
    /// The operator's API.
    Operator,
    /// The dashboard.
    Dashboard,
    /// A page that never changes while the server runs.
    Page,
    /// The health checks.
    Health,
    /// The metrics.
    Metrics,
}

/// How a request publishes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Publishing {
    /// One event.
    One,
    /// Many events at once.
    Batch,
}

impl Door {
    /// How the request publishes, if it does.
    pub(crate) const fn publishing(self) -> Option<Publishing> {
        match self {
            Self::Vendor(_, publishing) => publishing,
            _ => None,
        }
    }

    /// The vendor whose routes they are, if they are a vendor's.
    pub(crate) const fn vendor(self) -> Option<&'static str> {
        match self {
            Self::Vendor(vendor, _) => Some(vendor),
            _ => None,
        }
    }

    /// Whether a monitor asks. It must get its answer while other clients ask too much.
    pub(crate) const fn is_monitoring(self) -> bool {
        matches!(self, Self::Health | Self::Metrics)
    }
}

/// Attached to an answer when the body of its request was not read to its end: the client may still be sending.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BodyUnread;

/// The facts about a request. They are attached to the request; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct RequestContext(Arc<Known>);

#[derive(Debug)]
struct Known {
    id: String,
    door: Door,
    caller: OnceLock<(TokenId, Option<String>)>,
    token_limit: TokenLimit,
    held: Mutex<Held>,
    body_is_read: AtomicBool,
    body_digest: OnceLock<[u8; 32]>,
}

/// The part of the budgets that the request holds.
#[derive(Debug, Default)]
struct Held {
    body: Option<Part>,
    read: Option<Part>,
}

impl RequestContext {
    /// The context of a new request.
    pub(crate) fn new(id: String, door: Door) -> Self {
        let (caller, token_limit, held) = (OnceLock::new(), TokenLimit::default(), Mutex::default());
        let (body_is_read, body_digest) = (AtomicBool::new(false), OnceLock::new());
        Self(Arc::new(Known { id, door, caller, token_limit, held, body_is_read, body_digest }))
    }

    /// The context of a request.
    ///
    /// # Errors
    /// [`Error::Internal`] for a request that did not come through the pipeline.
    pub(crate) fn of(request: &Request) -> Result<&Self> {
        request.data().ok_or_else(|| Error::Internal("a request without its context".to_owned()))
    }

    /// The id of the request, as its answer and the log show it.
    pub(crate) fn id(&self) -> &str {
        &self.0.id
    }

    /// The door that the request comes to.
    pub(crate) fn door(&self) -> Door {
        self.0.door
    }

    /// Notes who asks.
    pub(crate) fn is_of(&self, caller: &Caller) {
        let account = match &caller.reach {
            Reach::Account { id, .. } => Some(id.clone()),
            Reach::Platform(_) | Reach::Everything => None,
        };
        // A token is looked up once.
        let _ = self.0.caller.set((caller.token, account));
    }

    /// The token of the request, and the account of the token, as far as there is one.
    pub(crate) fn caller(&self) -> (Option<TokenId>, Option<&str>) {
        let caller = self.0.caller.get();
        (caller.map(|(token, _)| *token), caller.and_then(|(_, account)| account.as_deref()))
    }

    /// Who the budgets are taken by: the account, or a token that belongs to no account.
    pub(crate) fn holder(&self) -> Option<String> {
        let (token, account) = self.0.caller.get()?;
        Some(account.clone().unwrap_or_else(|| token.to_string()))
    }

    /// The rest of the token's rate limit.
    pub(crate) fn token_limit(&self) -> &TokenLimit {
        &self.0.token_limit
    }

    /// Notes that the body was read to its end.
    pub(crate) fn read_body(&self) {
        self.0.body_is_read.store(true, Ordering::Relaxed);
    }

    /// Whether the body was read to its end.
    pub(crate) fn body_is_read(&self) -> bool {
        self.0.body_is_read.load(Ordering::Relaxed)
    }

    /// Notes the SHA-256 of the body.
    pub(crate) fn note_body(&self, digest: [u8; 32]) {
        // A body is read once.
        let _ = self.0.body_digest.set(digest);
    }

    /// The SHA-256 of the body, if it was noted.
    pub(crate) fn body_digest(&self) -> Option<[u8; 32]> {
        self.0.body_digest.get().copied()
    }

    /// Adds a part of the budget to the part that the body holds.
    pub(crate) fn count_body(&self, part: Part) {
        match &mut self.held().body {
            Some(held) => held.merge(part),
            held => *held = Some(part),
        }
    }

    /// Takes over the part of the budget that the body holds.
    pub(crate) fn take_body(&self) -> Option<Part> {
        self.held().body.take()
    }

    /// Waits for a place among the reads of this account. Without this limit, many answers that are made at once and
    /// cannot be sent would fill the memory.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if that takes longer than `client_timeout`.
    pub(crate) async fn begin_read(&self, budgets: &Budgets) -> Result<()> {
        let Some(holder) = self.holder() else { return Ok(()) };
        let part = budgets.reads.take(&holder, 1, budgets.client_timeout).await.ok_or_else(answers_unread)?;
        self.held().read = Some(part);
        Ok(())
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Earlier answers take all memory that this account may have for answers.
pub(super) fn answers_unread() -> Error {
    let message =
        "the earlier answers to this token have not been read yet (limits.answer_bytes): read them, then ask again";
    Error::Unavailable(message.to_owned())
}
