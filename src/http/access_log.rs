//! The access log: one line for each request, and its count.
//!
//! Events that are accepted and the questions of monitors are logged at debug, as there may be thousands a second.
//! Other answers are logged at info, faults of the server at warn. Refusals at info are limited to a number a second,
//! so that a client in a loop does not fill the disk. Each token has its own limit; requests without a token share one,
//! and faults of the server have another. So no client's loop hides the refusals of others.

use std::{net::IpAddr, num::NonZeroU32, sync::Arc, time::Duration};

use governor::{DefaultDirectRateLimiter, DefaultKeyedRateLimiter, Quota, RateLimiter};
use poem::http::{Method, StatusCode};

use super::context::{Door, Publishing, RequestContext};
use crate::{
    domain::ids::{self, TokenId},
    metrics::Metrics,
};

/// Refusals of a token in a second that are logged at info, and faults that are logged at warn; more are logged at
/// debug.
const REFUSALS: u32 = 10;
/// A longer word of a path may be any text of a client: the log leaves it out.
const LONGEST_WORD: usize = 20;

/// The purpose of a request, as the metrics name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Publish(Publishing),
    Watch,
    Manage,
}

impl Purpose {
    fn of(method: &Method, door: Door) -> Self {
        match door {
            Door::Vendor(_, Some(publishing)) => Self::Publish(publishing),
            Door::Health | Door::Metrics | Door::Page => Self::Watch,
            // Open pages of the dashboard refresh themselves.
            Door::Dashboard if method == Method::GET => Self::Watch,
            Door::Vendor(_, None) | Door::Operator | Door::Dashboard => Self::Manage,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Publish(Publishing::One) => "publish",
            Self::Publish(Publishing::Batch) => "batch",
            Self::Watch => "watch",
            Self::Manage => "manage",
        }
    }
}

/// A request that was answered.
pub(super) struct Entry<'a> {
    pub(super) context: &'a RequestContext,
    pub(super) method: &'a Method,
    /// `https`, if it came by TLS of the server itself.
    pub(super) scheme: Option<&'static str>,
    pub(super) path: &'a str,
    pub(super) status: StatusCode,
    /// The code of its refusal, if it was refused.
    pub(super) error: Option<&'static str>,
    pub(super) took: Duration,
    /// The address of the client.
    pub(super) client: Option<IpAddr>,
}

/// Writes the log and counts requests.
pub(super) struct AccessLog {
    figures: Arc<Metrics>,
    refusals: DefaultKeyedRateLimiter<Option<TokenId>>,
    faults: DefaultDirectRateLimiter,
}

macro_rules! log_at {
    ($level:ident, $entry:expr) => {{
        let entry = $entry;
        let (token, account) = entry.context.caller();
        tracing::$level!(
            request.id = entry.context.id(),
            method = %entry.method,
            url.scheme = entry.scheme,
            path = shown(entry.path),
            status = entry.status.as_u16(),
            error = entry.error,
            duration_ms = millis(entry.took),
            client.address = entry.client.map(tracing::field::display),
            account,
            token.id = token.map(tracing::field::display),
        );
    }};
}

impl AccessLog {
    /// A log that counts here.
    pub(super) fn new(figures: &Arc<Metrics>) -> Self {
        let publishing = [Publishing::One, Publishing::Batch].map(|publishing| Purpose::Publish(publishing).name());
        let others = [Purpose::Watch, Purpose::Manage].map(Purpose::name);
        figures.show_requests(&[publishing, others].concat(), &publishing);
        let most = Quota::per_second(NonZeroU32::new(REFUSALS).unwrap_or(NonZeroU32::MIN));
        let (refusals, faults) = (RateLimiter::keyed(most), RateLimiter::direct(most));
        Self { figures: Arc::clone(figures), refusals, faults }
    }

    /// Counts a request and logs it.
    pub(super) fn write(&self, entry: &Entry<'_>) {
        let (purpose, status) = (Purpose::of(entry.method, entry.context.door()), entry.status);
        self.figures.answered(purpose.name(), class(status));
        if let (Purpose::Publish(_), StatusCode::ACCEPTED) = (purpose, status) {
            self.figures.published(purpose.name(), entry.took);
        }
        let shows = if status.is_server_error() {
            self.faults.check().is_ok()
        } else if status.is_client_error() {
            self.refusals.check_key(&entry.context.caller().0).is_ok()
        } else {
            purpose == Purpose::Manage
        };
        match (shows, status.is_server_error()) {
            (true, true) => log_at!(warn, entry),
            (true, false) => log_at!(info, entry),
            (false, _) => log_at!(debug, entry),
        }
    }
}

/// Milliseconds as a number that a log in JSON shows as one.
fn millis(took: Duration) -> u64 {
    u64::try_from(took.as_millis()).unwrap_or(u64::MAX)
}

fn class(status: StatusCode) -> &'static str {
    match status.as_u16() {
        200..300 => "2xx",
        300..400 => "3xx",
        400..500 => "4xx",
        _ => "5xx",
    }
}

/// A path for the log. Known words and ids stay; other text, which a client may have made up, is left out.
fn shown(path: &str) -> String {
    let is_word =
        |part: &str| part.len() <= LONGEST_WORD && part.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'-' | b'.'));
    let part = |part| if part == "v1" || is_word(part) || ids::is_one(part) { part } else { "..." };
    path.split('/').map(part).collect::<Vec<_>>().join("/")
}
