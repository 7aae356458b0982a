//! Recoveries, as the doors show them: the count of a dry run, and a recovery with what became of its replays.

use poem_openapi::{ApiResponse, Enum, Object, types::Type};
use serde::{Deserialize, Serialize};

use super::{
    body::{Body, Printed},
    shared::{ErrorClass, wire_enum},
};
use crate::{
    app::{Page, recoveries::Count},
    domain::{
        delivery::State,
        profile::Profiles,
        recovery::{self, RecoveryState as Progress},
    },
};

/// The status of the deliveries to replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Enum)]
#[oai(rename = "RecoverableStatus", rename_all = "SCREAMING_SNAKE_CASE")]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum Recoverable {
    /// The deliveries were given up after their last attempt.
    Failed,
    /// The deliveries arrived. Their receivers get them again.
    Delivered,
    /// The deliveries were cancelled.
    Cancelled,
    /// Each of these.
    #[oai(rename = "any")]
    #[serde(rename = "any")]
    Any,
}

impl Recoverable {
    /// The state of the deliveries; `None`: any of those that have ended. Without a status: those that failed.
    pub(crate) fn state(status: Option<Self>) -> Option<State> {
        match status.unwrap_or(Self::Failed) {
            Self::Failed => Some(State::Exhausted),
            Self::Delivered => Some(State::Delivered),
            Self::Cancelled => Some(State::Cancelled),
            Self::Any => None,
        }
    }
}

impl From<Option<State>> for Recoverable {
    fn from(state: Option<State>) -> Self {
        match state {
            None => Self::Any,
            Some(State::Delivered) => Self::Delivered,
            Some(State::Cancelled) => Self::Cancelled,
            Some(State::Exhausted | State::Pending | State::Claimed | State::Held) => Self::Failed,
        }
    }
}

/// The number of deliveries that a recovery would replay.
#[derive(Debug, Serialize, Object)]
pub(crate) struct RecoveryCount {
    /// Deliveries that match.
    pub(crate) matched: u64,
    /// Matching deliveries that a recovery would skip: their webhook is suspended or deleted.
    pub(crate) skipped: u64,
    /// Whether all were counted. `false`: counting ended after 5 s, and there may be more.
    pub(crate) complete: bool,
}

impl From<Count> for RecoveryCount {
    fn from(Count { matched, skipped, complete }: Count) -> Self {
        Self { matched, skipped, complete }
    }
}

wire_enum! {
    /// The state of a recovery.
    RecoveryState ("SCREAMING_SNAKE_CASE") of Progress {
        /// It goes on, also after a restart.
        Running => Running,
        /// All that matched was replayed or skipped. Replays may still wait.
        Done => Done,
        /// Somebody cancelled it. Replays made before go out.
        Cancelled => Cancelled,
    }
}

/// A recovery: it replays every matching delivery once.
#[derive(Debug, Serialize, Object)]
pub(crate) struct Recovery {
    /// Its id.
    pub(crate) recovery_id: String,
    /// Its state.
    pub(crate) state: RecoveryState,
    /// Deliveries that matched at the start. It grows if the recovery finds more than were counted in 5 s.
    pub(crate) matched: u64,
    /// Deliveries that were replayed so far.
    pub(crate) replayed: u64,
    /// Deliveries that were skipped so far: their webhook is suspended or deleted, or somebody else has replayed them.
    pub(crate) skipped: u64,
    /// Replays that were delivered.
    pub(crate) delivered: u64,
    /// Replays that were given up after their last attempt.
    pub(crate) failed: u64,
    /// Replays that wait for an attempt, are under way or are held. Those that are missing in the sum were cancelled.
    pub(crate) waiting: u64,
    /// When it was started: RFC 3339, UTC. Later deliveries do not belong to it.
    pub(crate) created_at: String,
    /// When it ended; null while it goes on.
    pub(crate) ended_at: Option<String>,
    /// Who started it: a token's id, `command line`, or `somebody else` for a person outside the account.
    pub(crate) actor: String,
    /// Only deliveries to this webhook; null for all.
    pub(crate) webhook_id: Option<String>,
    /// Only deliveries of this event; null for all.
    pub(crate) event: Option<String>,
    /// The status of the deliveries; null for a recovery of one delivery.
    pub(crate) status: Option<Recoverable>,
    /// Only deliveries whose last attempt failed with this error; null for all.
    pub(crate) error: Option<ErrorClass>,
    /// Only deliveries made at this time or later; null for all.
    pub(crate) since: Option<String>,
    /// Only deliveries made at this time or earlier; null for all.
    pub(crate) until: Option<String>,
}

impl Recovery {
    pub(crate) fn new(recovery: &recovery::Recovery, profiles: &Profiles) -> Self {
        let (wanted, profile) = (&recovery.selection, recovery.profile.as_deref().unwrap_or_default());
        Self {
            recovery_id: recovery.id.to_string(),
            state: recovery.state.into(),
            matched: recovery.matched,
            replayed: recovery.replayed,
            skipped: recovery.skipped,
            delivered: recovery.delivered,
            failed: recovery.failed,
            waiting: recovery.waiting,
            created_at: recovery.created_at.to_string(),
            ended_at: recovery.ended_at.map(|at| at.to_string()),
            actor: recovery.actor.clone(),
            webhook_id: wanted.endpoint.map(|id| profiles.on_wire(profile, id)),
            event: wanted.kind.clone(),
            status: wanted.delivery.is_none().then(|| wanted.state.into()),
            error: wanted.failure.map(ErrorClass::from),
            since: wanted.from.map(|at| at.precise()),
            until: wanted.to.map(|at| at.precise()),
        }
    }
}

/// One page of recoveries, newest first.
#[derive(Debug, Serialize, Object)]
pub(crate) struct RecoveryPage {
    /// The recoveries.
    pub(crate) recoveries: Vec<Recovery>,
    /// The `cursor` of the next page; null on the last page.
    pub(crate) next_cursor: Option<String>,
}

impl RecoveryPage {
    pub(crate) fn new(page: &Page<recovery::Recovery>, profiles: &Profiles) -> Self {
        let recoveries = page.items.iter().map(|recovery| Recovery::new(recovery, profiles)).collect();
        Self { recoveries, next_cursor: page.next.clone() }
    }
}

/// The answer to a recovery, or to its dry run.
#[derive(ApiResponse)]
pub(crate) enum Recovered<T: Type + Serialize> {
    /// The number of matching deliveries, with `dry_run`. Nothing is replayed.
    #[oai(status = 200)]
    Counted(Body<RecoveryCount>),
    /// The recovery has started.
    #[oai(status = 202)]
    Begun(Printed<T>),
}
