//! The rate limit of each token: a number of management requests a minute, refilled evenly.

use std::{num::NonZeroU32, sync::OnceLock, time::Duration};

use governor::{
    NotUntil, Quota, RateLimiter,
    clock::{Clock, DefaultClock, QuantaInstant},
    middleware::StateInformationMiddleware,
    state::keyed::DashMapStateStore,
};
use poem::{Response, http::HeaderValue};

use crate::{
    domain::ids::TokenId,
    error::{Error, Result},
};

type Limiter = RateLimiter<TokenId, DashMapStateStore<TokenId>, DefaultClock, StateInformationMiddleware>;

/// Counts the requests of each token.
#[derive(Debug)]
pub(crate) struct RateLimit(Option<(u32, Limiter)>);

/// The result of taking one request from a token's limit.
pub(crate) struct Taken {
    /// Whether the request may go on.
    pub(crate) outcome: Result<()>,
    state: Option<State>,
}

#[derive(Debug, Clone, Copy)]
struct State {
    limit: u32,
    remaining: u32,
    reset: Duration,
}

impl RateLimit {
    /// A limit of this many requests a minute for each token; 0 for no limit.
    pub(crate) fn per_minute(limit: u32) -> Self {
        Self(NonZeroU32::new(limit).map(|limit| {
            let limiter = RateLimiter::keyed(Quota::per_minute(limit));
            (limit.get(), limiter.with_middleware())
        }))
    }

    /// Takes one request from a token's limit.
    pub(crate) fn take(&self, token: TokenId) -> Taken {
        let Some((limit, limiter)) = &self.0 else { return Taken { outcome: Ok(()), state: None } };
        let each = Duration::from_secs(60) / *limit;
        match limiter.check_key(&token) {
            Ok(snapshot) => {
                let remaining = snapshot.remaining_burst_capacity();
                let state = State { limit: *limit, remaining, reset: each * (limit - remaining) };
                Taken { outcome: Ok(()), state: Some(state) }
            }
            Err(refusal) => {
                let wait = wait_of(&refusal);
                let state = State { limit: *limit, remaining: 0, reset: each * *limit };
                let message = format!("too many requests: wait {} s", wait.as_secs().max(1));
                Taken { outcome: Err(Error::TooMany { wait, message }), state: Some(state) }
            }
        }
    }
}

/// Whole seconds, rounded up, as `Retry-After` counts them.
fn wait_of(refusal: &NotUntil<QuantaInstant>) -> Duration {
    let wait = refusal.wait_time_from(DefaultClock::default().now());
    Duration::from_secs(wait.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX))
}

/// Carries the state of a token's limit from the check of the token to the answer.
#[derive(Debug, Default)]
pub(crate) struct TokenLimit(OnceLock<State>);

impl TokenLimit {
    /// Notes the state after a request was taken.
    pub(super) fn note(&self, taken: &Taken) {
        if let Some(state) = taken.state {
            // A request is checked once.
            let _ = self.0.set(state);
        }
    }

    /// Adds the headers that show the rest of the limit to the answer.
    pub(super) fn show(&self, mut response: Response) -> Response {
        if let Some(state) = self.0.get() {
            let reset = u32::try_from(state.reset.as_secs()).unwrap_or(u32::MAX);
            let shown = [
                ("x-ratelimit-limit", state.limit),
                ("x-ratelimit-remaining", state.remaining),
                ("x-ratelimit-reset", reset),
            ];
            for (name, value) in shown {
                response.headers_mut().insert(name, HeaderValue::from(value));
            }
        }
        response
    }
}
