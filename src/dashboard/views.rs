//! Webhooks and deliveries as pages show them, with the word and the colour of their state.

use poem::Response;

use super::{
    alike::Alike,
    format::{Moment, bytes, indented, thousands, took},
    frame::Frame,
    state::Parts,
};
use crate::{
    app::{deliveries::Listed, delivery_list::DeliveryEntry, webhooks::Report},
    domain::{
        delivery::{Delivery, Failure, State},
        endpoint::{Endpoint, EndpointState, SuspendedReason},
        own_key::OwnKey,
        stats::Stats,
        timestamp::Timestamp,
    },
    error::Error,
};

/// A word in a colour.
pub(super) struct Badge {
    pub(super) class: &'static str,
    pub(super) word: &'static str,
}

impl Badge {
    pub(super) fn of_endpoint(endpoint: &Endpoint, failing: bool) -> Self {
        let (class, word) = match (endpoint.state, endpoint.suspended_reason) {
            (EndpointState::Active, _) if failing => ("warn", "failing"),
            (EndpointState::Active, _) => ("good", "active"),
            (EndpointState::Suspended, Some(SuspendedReason::Paused)) => ("warn", "paused"),
            (EndpointState::Suspended, _) => ("bad", "suspended"),
            (EndpointState::Deleted, _) => ("", "deleted"),
        };
        Self { class, word }
    }

    pub(super) fn of_delivery(delivery: &Delivery) -> Self {
        Self::of_state(delivery.state, delivery.attempts)
    }

    fn of_state(state: State, attempts: u32) -> Self {
        let (class, word) = match state {
            State::Pending if attempts > 0 => ("warn", "retrying"),
            State::Pending => ("", "waiting"),
            State::Claimed => ("", "in flight"),
            State::Delivered => ("good", "delivered"),
            State::Exhausted => ("bad", "failed"),
            State::Held => ("warn", "held"),
            State::Cancelled => ("", "cancelled"),
        };
        Self { class, word }
    }
}

/// Why an attempt failed, in words for people.
pub(super) const fn meaning(failure: Failure) -> &'static str {
    match failure {
        Failure::Dns => "the host's name could not be looked up",
        Failure::Blocked => "its address is not allowed by the rules of [egress]",
        Failure::Connect => "no connection: nothing listens there, or a firewall is in between",
        Failure::Tls => "the TLS handshake failed: look at its certificate",
        Failure::Timeout => "it took too long to answer",
        Failure::Reset => "the connection broke before an answer came",
        Failure::Protocol => "the answer is not HTTP",
        Failure::Status => "it answered with an error",
        Failure::Interrupted => "this server stopped meanwhile; it costs no try",
        Failure::Damaged => "not sent: its body is damaged on this server's disk",
    }
}

/// A failure in few words: `503`, or its class.
pub(super) fn short(failure: Option<Failure>, status: Option<u16>) -> String {
    match (failure, status) {
        (Some(Failure::Status) | None, Some(status)) => status.to_string(),
        (Some(failure), _) => failure.to_string(),
        (None, None) => String::new(),
    }
}

/// The two parts of a small bar, in its units.
pub(super) struct Spark {
    pub(super) good: u64,
    pub(super) bad: u64,
}

/// The length of a small bar, in its units.
const SPARK: u64 = 100;

/// The success of a day: `98 %`, and a small bar.
pub(super) struct Success {
    pub(super) percent: String,
    pub(super) said: String,
    pub(super) spark: Spark,
}

impl Success {
    /// The success of these attempts; `None` if there were none.
    pub(super) fn of(tally: &Stats) -> Option<Self> {
        let all = tally.delivered + tally.failed;
        let good = (tally.delivered * SPARK).checked_div(all)?;
        // Failures are always visible, however few.
        let good = if tally.failed > 0 { good.min(SPARK - 4) } else { good };
        let percent = (tally.delivered * 100).checked_div(all)?;
        Some(Self {
            percent: format!("{percent} %"),
            said: format!("{} delivered, {} attempts failed", thousands(tally.delivered), thousands(tally.failed)),
            spark: Spark { good, bad: SPARK - good },
        })
    }
}

pub(super) struct WebhookRow {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) description: String,
    pub(super) url: String,
    pub(super) account: String,
    pub(super) vendor: &'static str,
    pub(super) events: Vec<String>,
    pub(super) every_event: bool,
    pub(super) badge: Badge,
    pub(super) since: Option<Moment>,
    pub(super) success: Option<Success>,
    pub(super) p95: String,
    pub(super) waiting: u64,
    pub(super) held: u64,
    /// The number of failed deliveries that a resume sends again.
    pub(super) failed: u64,
    pub(super) last_success: Option<Moment>,
    pub(super) last_error: Option<(Moment, String, &'static str)>,
}

impl WebhookRow {
    /// Its name; its URL, if it has none.
    pub(super) fn label(&self) -> &str {
        if self.name.is_empty() { &self.url } else { &self.name }
    }

    pub(super) fn new(shared: &Parts, frame: &Frame<'_>, report: &Report) -> Result<Self, Error> {
        let endpoint = &report.endpoint;
        let entries = endpoint.events.entries();
        Ok(Self {
            id: shared.written(&report.profile, endpoint.id),
            name: endpoint.about.name.clone().unwrap_or_default(),
            description: endpoint.about.description.clone().unwrap_or_default(),
            url: shown_url(endpoint.url.given()),
            account: endpoint.account_id.clone(),
            vendor: shared.dialect(&report.profile)?.title,
            events: entries.to_vec(),
            every_event: entries.iter().any(|entry| entry == "*"),
            badge: Badge::of_endpoint(endpoint, report.is_failing()),
            since: endpoint.suspended_at.map(|at| frame.when(at)),
            success: Success::of(&report.day),
            p95: report.day.p95_ms().map_or_else(String::new, |ms| took(std::time::Duration::from_millis(ms))),
            waiting: report.waiting,
            held: report.held,
            failed: report.failed,
            last_success: report.last_success_at.map(|at| frame.when(at)),
            last_error: report
                .last_failure
                .map(|last| (frame.when(last.at), short(Some(last.failure), last.status), meaning(last.failure))),
        })
    }
}

pub(super) struct DeliveryRow {
    pub(super) id: String,
    /// The end of its id.
    pub(super) short: String,
    pub(super) event: String,
    pub(super) kind: String,
    pub(super) test: bool,
    pub(super) replay: bool,
    pub(super) badge: Badge,
    pub(super) attempts: u32,
    pub(super) error: String,
    pub(super) meaning: &'static str,
    pub(super) made: Moment,
    pub(super) next: Option<Moment>,
    /// The id of its newest replay, the state of that one, and since when.
    pub(super) newest_replay: Option<(String, &'static str, Moment)>,
    /// Whether it is for a person to replay it.
    pub(super) missed: bool,
}

/// Characters of a short id.
const SHORT: usize = 6;

/// Deliveries, those alike put together: of the same state, with the same error, and replayed to the same end.
pub(super) fn alike(frame: &Frame<'_>, deliveries: &[Delivery]) -> Vec<Alike<DeliveryRow>> {
    let rows = deliveries.iter().map(|delivery| DeliveryRow::new(frame, delivery));
    Alike::runs(rows, |row| {
        let replay = row.newest_replay.as_ref().map(|(_, word, _)| *word);
        (row.badge.word, row.error.clone(), row.test, replay)
    })
}

impl DeliveryRow {
    pub(super) fn new(frame: &Frame<'_>, delivery: &Delivery) -> Self {
        let due = |at: Timestamp| frame.when(at.max(frame.now()));
        let id = delivery.id.to_string();
        Self {
            short: format!("…{}", &id[id.len().saturating_sub(SHORT)..]),
            id,
            event: delivery.event.to_string(),
            kind: delivery.kind.clone(),
            test: delivery.test,
            replay: delivery.replay_of.is_some(),
            badge: Badge::of_delivery(delivery),
            attempts: delivery.attempts,
            error: delivery.last_failure.map(|failure| short(Some(failure), delivery.last_status)).unwrap_or_default(),
            meaning: delivery.last_failure.map_or("", meaning),
            made: frame.when(delivery.created_at),
            next: delivery.due_at.map(due),
            newest_replay: delivery
                .newest_replay
                .map(|replay| (replay.id.to_string(), Badge::of_state(replay.state, 0).word, frame.when(replay.at))),
            missed: delivery.missed && delivery.newest_replay.is_none(),
        }
    }
}

/// A delivery in a list of several webhooks.
pub(super) struct ListedRow {
    pub(super) delivery: DeliveryRow,
    pub(super) webhook: String,
    pub(super) url: String,
    /// The name of the webhook; its URL, if it has none.
    pub(super) name: String,
    pub(super) account: String,
    /// The key of its payload.
    pub(super) own_key: Option<OwnKey>,
}

impl ListedRow {
    pub(super) fn new(shared: &Parts, frame: &Frame<'_>, listed: &Listed) -> Self {
        Self {
            delivery: DeliveryRow::new(frame, &listed.delivery),
            webhook: shared.written(&listed.profile, listed.delivery.endpoint),
            url: shown_url(&listed.url),
            name: listed.name.clone().unwrap_or_else(|| shown_url(&listed.url)),
            account: listed.account_id.clone(),
            own_key: None,
        }
    }

    pub(super) fn of(shared: &Parts, frame: &Frame<'_>, entry: &DeliveryEntry) -> Self {
        let row = Self::new(shared, frame, &entry.listed);
        Self { own_key: entry.own_key.clone(), ..row }
    }
}

/// A URL without its query, which may hold a secret. Only the page of its webhook shows it in full.
pub(super) fn shown_url(url: &str) -> String {
    url.split_once('?').map_or_else(|| url.to_owned(), |(before, _)| format!("{before}?…"))
}

/// Most bytes of a body that a page shows with a line for each part.
const PRETTY: usize = 16 << 10;
/// Most bytes of a body that a page shows as they are; a longer body is loaded by itself.
const RAW: usize = 1 << 10;

/// A body as a page shows it.
pub(super) struct Shown {
    pub(super) pretty: String,
    /// Whether `pretty` was cut.
    pub(super) cut: bool,
    /// The exact bytes, unless there are too many.
    pub(super) raw: Option<String>,
    pub(super) size: String,
    /// The address of the whole body.
    pub(super) href: String,
}

impl Shown {
    pub(super) fn new(body: &str, href: String) -> Self {
        let (pretty, cut) = indented(body, PRETTY);
        let raw = (body.len() <= RAW).then(|| body.to_owned());
        Self { pretty, cut, raw, size: bytes(body.len() as u64), href }
    }
}

/// A body as a file to download.
pub(super) fn file(name: &str, body: String) -> Response {
    Response::builder()
        .content_type("application/json")
        .header("content-disposition", format!("attachment; filename=\"{name}.json\""))
        .body(body)
}
