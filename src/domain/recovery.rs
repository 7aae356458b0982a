//! Recoveries: each replays every matching delivery once, at a limited pace.

use crate::domain::{ids::RecoveryId, selection::Selection, timestamp::Timestamp};

/// The key of a recovery's row.
pub type RecoveryKey = i64;

/// The state of a recovery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecoveryState {
    /// Running; it continues after a restart.
    Running,
    /// Finished: everything that matched was replayed or skipped. Replays may still be under way.
    Done,
    /// Cancelled by somebody; the replays made by then go out.
    Cancelled,
}

impl RecoveryState {
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

/// A recovery.
#[derive(Debug, Clone)]
pub struct Recovery {
    /// The key of its row.
    pub key: RecoveryKey,
    /// The public id.
    pub id: RecoveryId,
    /// When it was requested. Later deliveries do not belong to it.
    pub created_at: Timestamp,
    /// Who requested it, as in the audit.
    pub actor: String,
    /// Which deliveries. Without a state: those in any final state.
    pub selection: Selection,
    /// The profile of its deliveries, if its requester sees only one.
    pub profile: Option<String>,
    /// Its state.
    pub state: RecoveryState,
    /// How many deliveries matched when it was requested.
    pub matched: u64,
    /// How many were replayed so far.
    pub replayed: u64,
    /// How many were skipped: their webhook is suspended or deleted.
    pub skipped: u64,
    /// How many of its replays were delivered.
    pub delivered: u64,
    /// How many of its replays were given up.
    pub failed: u64,
    /// How many of its replays wait, are under way or are held.
    pub waiting: u64,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}
