//! The line that each request leaves in the log, and what is counted of it.
//!
//! Publishing that goes well and questions of those who watch are told at debug: there may be thousands a second. The rest is
//! told at info, faults of ours at warn; but of refusals only so many a second, so that no client in a loop fills a disk.
//! Each token has its own share of them, those without a token one together, and faults of ours another: nobody's loop hides
//! what others are refused.

use std::{net::IpAddr, num::NonZeroU32, sync::Arc, time::Duration};

use governor::{DefaultDirectRateLimiter, DefaultKeyedRateLimiter, Quota, RateLimiter};
use poem::http::{Method, StatusCode};

use super::{exchange::Exchange, publishing::Form, ui};
use crate::{
    domain::ids::{self, TokenId},
    figures::Figures,
};

/// Refusals of a token in a second that are told at info, and faults of ours that are told at warn; the others are told at
/// debug.
const REFUSALS: u32 = 10;
/// A longer word of a path may be anything.
const LONGEST_WORD: usize = 20;

/// What a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Publish(Form),
    Watch,
    Manage,
}

impl Purpose {
    fn of(method: &Method, path: &str, form: Option<Form>) -> Self {
        match form {
            Some(form) => Self::Publish(form),
            None if path.starts_with("/health/") => Self::Watch,
            None if matches!(path, "/" | "/docs" | "/openapi.json" | "/metrics") => Self::Watch,
            None if path == "/guide" || path.starts_with("/guide/") => Self::Watch,
            // Its pages refresh themselves.
            None if ui::is_at(path) && method == Method::GET => Self::Watch,
            None => Self::Manage,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Publish(Form::One) => "publish",
            Self::Publish(Form::Batch) => "batch",
            Self::Watch => "watch",
            Self::Manage => "manage",
        }
    }
}

/// A request that was answered.
pub(super) struct Line<'a> {
    pub(super) request_id: &'a str,
    pub(super) method: &'a Method,
    pub(super) path: &'a str,
    pub(super) form: Option<Form>,
    pub(super) status: StatusCode,
    /// Why it was refused, as its answer says.
    pub(super) error: Option<&'static str>,
    pub(super) took: Duration,
    /// The address that it comes from.
    pub(super) client: Option<IpAddr>,
    pub(super) exchange: &'a Exchange,
}

/// Where lines go.
pub(super) struct Lines {
    figures: Arc<Figures>,
    refusals: DefaultKeyedRateLimiter<Option<TokenId>>,
    faults: DefaultDirectRateLimiter,
}

macro_rules! tell {
    ($level:ident, $line:expr) => {{
        let line = $line;
        let (token, account) = line.exchange.caller();
        tracing::$level!(
            request.id = line.request_id,
            method = %line.method,
            path = shown(line.path),
            status = line.status.as_u16(),
            error = line.error,
            duration_ms = millis(line.took),
            client.address = line.client.map(tracing::field::display),
            account,
            token.id = token.map(tracing::field::display),
        );
    }};
}

impl Lines {
    pub(super) fn new(figures: &Arc<Figures>) -> Self {
        let forms = [Form::One, Form::Batch].map(|form| Purpose::Publish(form).name());
        let others = [Purpose::Watch, Purpose::Manage].map(Purpose::name);
        figures.show_requests(&[forms, others].concat(), &forms);
        let most = Quota::per_second(NonZeroU32::new(REFUSALS).unwrap_or(NonZeroU32::MIN));
        let (refusals, faults) = (RateLimiter::keyed(most), RateLimiter::direct(most));
        Self { figures: Arc::clone(figures), refusals, faults }
    }

    /// Counts a request and tells of it.
    pub(super) fn write(&self, line: &Line<'_>) {
        let (purpose, status) = (Purpose::of(line.method, line.path, line.form), line.status);
        self.figures.answered(purpose.name(), class(status));
        if let (Purpose::Publish(_), StatusCode::ACCEPTED) = (purpose, status) {
            self.figures.published(purpose.name(), line.took);
        }
        let told = if status.is_server_error() {
            self.faults.check().is_ok()
        } else if status.is_client_error() {
            self.refusals.check_key(&line.exchange.caller().0).is_ok()
        } else {
            purpose == Purpose::Manage
        };
        match (told, status.is_server_error()) {
            (true, true) => tell!(warn, line),
            (true, false) => tell!(info, line),
            (false, _) => tell!(debug, line),
        }
    }
}

/// As a number that a log in JSON shows as one.
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

/// A path without what a client may have written into it: words and ids of ours stay.
fn shown(path: &str) -> String {
    let is_word =
        |part: &str| part.len() <= LONGEST_WORD && part.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'-' | b'.'));
    let part = |part| if part == "v1" || is_word(part) || ids::is_one(part) { part } else { "..." };
    path.split('/').map(part).collect::<Vec<_>>().join("/")
}
