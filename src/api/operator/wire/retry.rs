//! Retry runs.

use poem_openapi::{Enum, Object};
use serde::{Deserialize, Serialize};

use crate::{
    api::openapi::{ErrorClass, wire_enum},
    app::{Page, Wanted, recovery::Count},
    domain::{
        delivery::State,
        profile::Profiles,
        retry::{Run, RunState},
        selection::Selection,
        timestamp::Timestamp,
    },
    error::Result,
};

/// The status of deliveries that can be replayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Enum)]
#[oai(rename = "RetriableStatus", rename_all = "SCREAMING_SNAKE_CASE")]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum Retriable {
    /// The deliveries were given up after their last attempt.
    Failed,
    /// The deliveries were cancelled.
    Cancelled,
}

impl From<Retriable> for State {
    fn from(status: Retriable) -> Self {
        match status {
            Retriable::Failed => Self::Exhausted,
            Retriable::Cancelled => Self::Cancelled,
        }
    }
}

/// The deliveries to replay: those that match every given field.
#[derive(Debug, Deserialize, Object)]
pub(crate) struct NewRetry {
    /// Only deliveries of this account.
    pub(crate) account_id: Option<String>,
    /// Only deliveries to this webhook.
    pub(crate) webhook_id: Option<String>,
    /// Only deliveries of this event.
    pub(crate) event: Option<String>,
    /// The status of the deliveries: `FAILED` (the default) or `CANCELLED`.
    pub(crate) status: Option<Retriable>,
    /// Only deliveries whose last attempt failed with this error.
    pub(crate) error: Option<ErrorClass>,
    /// Only deliveries made at this time or later: RFC 3339.
    pub(crate) created_from: Option<String>,
    /// Only deliveries made at this time or earlier: RFC 3339.
    pub(crate) created_to: Option<String>,
    /// Whether to count the deliveries only.
    pub(crate) dry_run: Option<bool>,
}

impl NewRetry {
    pub(crate) fn read(self) -> Result<Wanted> {
        let selection = Selection {
            account: self.account_id,
            kind: self.event,
            state: self.status.map(State::from),
            failure: self.error.map(Into::into),
            from: Timestamp::read_if("created_from", self.created_from.as_deref())?,
            to: Timestamp::read_if("created_to", self.created_to.as_deref())?,
            ..Selection::default()
        };
        Ok(Wanted { webhook: self.webhook_id, selection })
    }
}

/// The number of deliveries that a run would replay.
#[derive(Debug, Serialize, Object)]
pub(crate) struct RetryCount {
    /// Deliveries that match.
    pub(crate) matched: u64,
    /// Matching deliveries that a run would skip: their webhook is suspended or deleted.
    pub(crate) skipped: u64,
    /// Whether all were counted. `false`: counting ended after 5 s, and there may be more.
    pub(crate) complete: bool,
}

impl From<Count> for RetryCount {
    fn from(Count { matched, skipped, complete }: Count) -> Self {
        Self { matched, skipped, complete }
    }
}

wire_enum! {
    /// The state of a run.
    RetryState ("SCREAMING_SNAKE_CASE") of RunState {
        /// The run goes on, also after a restart.
        Running => Running,
        /// The run is done.
        Done => Done,
        /// Somebody cancelled the run.
        Cancelled => Cancelled,
    }
}

/// A run that replays every matching delivery.
#[derive(Debug, Serialize, Object)]
pub(crate) struct Retry {
    /// Its id.
    retry_id: String,
    /// Its state.
    state: RetryState,
    /// Deliveries that matched at the start. It grows if the run finds more than were counted in 5 s.
    matched: u64,
    /// Deliveries that were replayed so far.
    replayed: u64,
    /// Deliveries that were skipped so far: their webhook is suspended or deleted, or somebody else has replayed them.
    skipped: u64,
    /// When it was started: RFC 3339, UTC. Later deliveries do not belong to it.
    created_at: String,
    /// When it ended; null while it goes on.
    ended_at: Option<String>,
    /// Who started it: a token's id, or `command line`.
    actor: String,
    /// Only deliveries of this account; null for all.
    account_id: Option<String>,
    /// Only deliveries to this webhook; null for all.
    webhook_id: Option<String>,
    /// Only deliveries of this event; null for all.
    event: Option<String>,
    /// The status of the deliveries; null for a run over one delivery.
    status: Option<Retriable>,
    /// Only deliveries whose last attempt failed with this error; null for all.
    error: Option<ErrorClass>,
    /// Only deliveries made at this time or later; null for all.
    created_from: Option<String>,
    /// Only deliveries made at this time or earlier; null for all.
    created_to: Option<String>,
    /// Only this delivery; null for all.
    delivery_id: Option<String>,
}

impl Retry {
    pub(crate) fn new(run: &Run, profiles: &Profiles) -> Self {
        let wanted = &run.selection;
        Self {
            retry_id: run.id.to_string(),
            state: run.state.into(),
            matched: run.matched,
            replayed: run.replayed,
            skipped: run.skipped,
            created_at: run.created_at.to_string(),
            ended_at: run.ended_at.map(|at| at.to_string()),
            actor: run.actor.clone(),
            account_id: wanted.account.clone(),
            webhook_id: wanted.endpoint.map(|id| profiles.on_wire(run.profile.as_deref().unwrap_or_default(), id)),
            event: wanted.kind.clone(),
            status: wanted.state.map(|state| match state {
                State::Cancelled => Retriable::Cancelled,
                _ => Retriable::Failed,
            }),
            error: wanted.failure.map(ErrorClass::from),
            created_from: wanted.from.map(|at| at.precise()),
            created_to: wanted.to.map(|at| at.precise()),
            delivery_id: wanted.delivery.map(|id| id.to_string()),
        }
    }
}

/// One page of runs, newest first.
#[derive(Debug, Serialize, Object)]
pub(crate) struct RetryPage {
    /// The runs.
    pub(crate) retries: Vec<Retry>,
    /// The `cursor` of the next page; null on the last page.
    pub(crate) next_cursor: Option<String>,
}

impl RetryPage {
    pub(crate) fn new(page: &Page<Run>, profiles: &Profiles) -> Self {
        let retries = page.items.iter().map(|run| Retry::new(run, profiles)).collect();
        Self { retries, next_cursor: page.next.clone() }
    }
}
