//! Retry runs: each replays every matching delivery once, at a limited pace.

use crate::domain::{ids::RetryId, selection::Selection, timestamp::Timestamp};

/// The key of a run's row.
pub type RunKey = i64;

/// The state of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunState {
    /// Running; it continues after a restart.
    Running,
    /// Finished.
    Done,
    /// Cancelled by somebody; the replays made by then go out.
    Cancelled,
}

impl RunState {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::Running, Self::Done, Self::Cancelled];

    /// As it is stored.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Cancelled => "cancelled",
        }
    }
}

/// A retry run.
#[derive(Debug, Clone)]
pub struct Run {
    /// The key of its row.
    pub key: RunKey,
    /// The public id.
    pub id: RetryId,
    /// When it was requested. Later deliveries do not belong to it.
    pub created_at: Timestamp,
    /// Who requested it, as in the audit.
    pub actor: String,
    /// Which deliveries.
    pub selection: Selection,
    /// The profile of its deliveries, if its requester sees only one.
    pub profile: Option<String>,
    /// Its state.
    pub state: RunState,
    /// How many deliveries matched when it was requested.
    pub matched: u64,
    /// How many were replayed so far.
    pub replayed: u64,
    /// How many were skipped: their webhook is suspended or deleted.
    pub skipped: u64,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}
