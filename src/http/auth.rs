//! Who asks: the caller behind a bearer token, and the rate limit of that token.

use std::sync::Arc;

use poem::Request;

use super::{
    budget::Budgets,
    context::{Door, RequestContext},
    rate_limit::RateLimit,
};
use crate::{
    app::App,
    config::command_for_all,
    domain::token::Caller,
    error::{Error, Result},
};

/// Checks the tokens of requests.
#[derive(Clone)]
pub(crate) struct TokenCheck {
    /// Finds the holder of a token.
    pub(crate) app: App,
    /// Limits the management requests of each token.
    pub(crate) rate_limit: Arc<RateLimit>,
    /// The budgets of memory that requests wait for.
    pub(crate) budgets: Arc<Budgets>,
}

impl TokenCheck {
    /// The caller behind the token of a request.
    ///
    /// # Errors
    /// A token that is unknown, has expired or has asked too often; a read that waited too long.
    pub(crate) async fn caller(&self, request: &Request, token: &str) -> Result<Caller> {
        let unknown = || {
            Error::Unauthorized(format!(
                "this token is unknown or revoked: make one by '{}'",
                command_for_all("token create")
            ))
        };
        let context = RequestContext::of(request)?;
        let caller = self.app.caller_of_token(token)?.ok_or_else(unknown)?;
        context.is_of(&caller);
        let door = context.door();
        // Events are limited by the writer's queue alone, and metrics must not fail while somebody manages.
        if door.publishing().is_none() && door != Door::Metrics {
            let taken = self.rate_limit.take(caller.token);
            context.token_limit().note(&taken);
            taken.outcome?;
        }
        if request.method().is_safe() && door != Door::Metrics {
            context.begin_read(&self.budgets).await?;
            // The token may have been revoked while this waited.
            self.app.check_caller(&caller)?;
        }
        self.app.note_use(&caller);
        Ok(caller)
    }
}
