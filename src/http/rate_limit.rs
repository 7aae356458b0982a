//! How often a token may ask: a fixed number of management requests a minute, refilled evenly.

use std::{num::NonZeroU32, sync::OnceLock, time::Duration};

use governor::{
    NotUntil, RateLimiter,
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
pub struct Quota(Option<(u32, Limiter)>);

/// What a request has left of its token's quota.
pub(super) struct Left {
    /// Whether it may go on.
    pub(super) outcome: Result<()>,
    state: Option<State>,
}

#[derive(Debug, Clone, Copy)]
struct State {
    limit: u32,
    remaining: u32,
    reset: Duration,
}

impl Quota {
    /// So many requests a minute for each token; 0 for no limit.
    pub fn per_minute(limit: u32) -> Self {
        Self(NonZeroU32::new(limit).map(|limit| {
            let limiter = RateLimiter::keyed(governor::Quota::per_minute(limit));
            (limit.get(), limiter.with_middleware())
        }))
    }

    /// Takes one request from a token's quota.
    pub(super) fn spend(&self, token: TokenId) -> Left {
        let Some((limit, limiter)) = &self.0 else { return Left { outcome: Ok(()), state: None } };
        let each = Duration::from_secs(60) / *limit;
        match limiter.check_key(&token) {
            Ok(snapshot) => {
                let remaining = snapshot.remaining_burst_capacity();
                let state = State { limit: *limit, remaining, reset: each * (limit - remaining) };
                Left { outcome: Ok(()), state: Some(state) }
            }
            Err(refusal) => {
                let wait = wait_of(&refusal);
                let state = State { limit: *limit, remaining: 0, reset: each * *limit };
                let message = format!("too many requests: wait {} s", wait.as_secs().max(1));
                Left { outcome: Err(Error::TooMany { wait, message }), state: Some(state) }
            }
        }
    }
}

/// Whole seconds, rounded up: what `Retry-After` can say.
fn wait_of(refusal: &NotUntil<QuantaInstant>) -> Duration {
    let wait = refusal.wait_time_from(DefaultClock::default().now());
    Duration::from_secs(wait.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX))
}

/// Carries a request's quota from where its token is checked to its answer.
#[derive(Debug, Default)]
pub(super) struct Spent(OnceLock<State>);

impl Spent {
    pub(super) fn note(&self, left: &Left) {
        if let Some(state) = left.state {
            // A request is checked once.
            let _ = self.0.set(state);
        }
    }

    /// Says on the answer what is left.
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
