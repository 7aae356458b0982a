//! Retry runs: every delivery that matches, replayed once, at a pace.

use crate::domain::{ids::RetryId, selection::Selection, timestamp::Timestamp};

/// The key of a run's row.
pub type RunKey = i64;

/// Where a run is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunState {
    /// It goes on, also after a restart.
    Running,
    /// It has come to its end.
    Done,
    /// Somebody ended it; what it has replayed by then goes out.
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

/// A run, as it stands.
#[derive(Debug, Clone)]
pub struct Run {
    /// The key of its row.
    pub key: RunKey,
    /// The public id.
    pub id: RetryId,
    /// When it was asked for: later deliveries are none of its.
    pub created_at: Timestamp,
    /// Who asked for it, as the audit names them.
    pub actor: String,
    /// Which deliveries.
    pub selection: Selection,
    /// The profile of its deliveries, if whoever asked sees only one.
    pub profile: Option<String>,
    /// Where it is in its life.
    pub state: RunState,
    /// How many there were to replay when it was asked for.
    pub matched: u64,
    /// How many were replayed by now.
    pub replayed: u64,
    /// How many were passed by: their webhook is suspended or deleted.
    pub skipped: u64,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}
