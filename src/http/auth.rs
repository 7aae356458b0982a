//! Who asks: the caller behind a bearer token, and the rate limit of that token.

use std::sync::Arc;

use poem::Request;

use super::{
    budget::Budgets,
    context::{Door, Publishing, RequestContext},
    rate_limit::RateLimit,
};
use crate::{
    clock::SharedClock,
    domain::token::{BearerToken, Caller, Scope},
    error::{Error, Result},
    store::{
        Admission, Db,
        tokens::{self, LAST_USED_GRAIN},
    },
};

/// Checks the tokens of requests.
#[derive(Clone)]
pub(crate) struct TokenCheck {
    /// Where tokens are stored.
    pub(crate) db: Db,
    /// The time.
    pub(crate) clock: SharedClock,
    /// Limits the management requests of each token.
    pub(crate) rate_limit: Arc<RateLimit>,
    /// What requests that read wait for.
    pub(crate) budgets: Arc<Budgets>,
}

impl TokenCheck {
    /// The caller behind the token of a request. The token is looked up at every request: a revoked one is refused at
    /// once, whichever process revoked it.
    ///
    /// # Errors
    /// A token that is unknown, lacks the scope for a batch, or has asked too often; a read that waited too long.
    pub(crate) async fn caller(&self, request: &Request, token: &str) -> Result<Caller> {
        let unknown =
            || Error::Unauthorized("this token is unknown or revoked: make one by 'ngoma token create'".to_owned());
        let missing = || Error::Internal("a request without its context".to_owned());
        let context = request.data::<RequestContext>().ok_or_else(missing)?;
        let token = BearerToken::parse(token).ok_or_else(unknown)?;
        let caller = self.db.glance(|view| tokens::caller(view, &token))?.ok_or_else(unknown)?;
        context.is_of(&caller);
        let door = context.door();
        if let Door::Vendor(vendor, Some(Publishing::Batch)) = door {
            // Before the body is read.
            caller.walls(vendor, Scope::Events)?;
        }
        // Events are limited by the writer's queue alone, and metrics must not fail while somebody manages.
        if door.publishing().is_none() && door != Door::Metrics {
            let taken = self.rate_limit.take(caller.token);
            context.token_limit().note(&taken);
            taken.outcome?;
        }
        if request.method().is_safe() && door != Door::Metrics {
            context.begin_read(&self.budgets).await?;
            // The token may have been revoked while this waited.
            self.db.check(caller.grant())?;
        }
        self.note_use(&caller);
        Ok(caller)
    }

    /// Notes when the token was last used. Nobody waits for this note, and a full queue may drop it.
    fn note_use(&self, caller: &Caller) {
        let now = self.clock.now();
        if caller.last_used_at.is_none_or(|used| now.since(used) >= LAST_USED_GRAIN) {
            let (id, grant, db) = (caller.token, caller.grant(), self.db.clone());
            tokio::spawn(async move { db.write(grant, Admission::Try, move |tx| tokens::used(tx, id)).await });
        }
    }
}
