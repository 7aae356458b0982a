//! Counts the results of attempts in memory. They are written every ten seconds, in a transaction that the engine makes
//! anyway.

use std::{collections::HashMap, sync::Arc, time::Duration};

use super::in_flight::EndedClaim;
use crate::{
    domain::{
        delivery::{Failure, Outcome},
        endpoint::EndpointKey,
        stats::{Span, Stats},
        timestamp::Timestamp,
    },
    store::{queue::Attempted, stats::MinuteStats},
};

/// How often they are written.
const EVERY: Duration = Duration::from_secs(10);
/// Most minutes of endpoints in one transaction: more are written in several.
const AT_ONCE: usize = 500;

/// Counts that are not written yet.
#[derive(Debug, Default)]
pub(super) struct StatsBuffer {
    counts: HashMap<(EndpointKey, Timestamp), MinuteStats>,
    /// Being written: kept until they are on disk.
    leaving: Option<Arc<Vec<MinuteStats>>>,
    written_at: Option<Timestamp>,
}

impl StatsBuffer {
    /// Counts an attempt that ended now. Faults of this server and tests do not count.
    pub(super) fn count(&mut self, ended: &EndedClaim, now: Timestamp) {
        let Some(Attempted { duration, outcome, .. }) = &ended.attempted else { return };
        let failure = outcome.failure();
        if failure.is_some_and(Failure::is_ours) || ended.claim.test {
            return;
        }
        let (endpoint, minute) = (ended.claim.target.key, Span::Minute.start_of(now));
        let count = self.counts.entry((endpoint, minute)).or_insert_with(|| MinuteStats {
            endpoint,
            minute,
            stats: Stats::default(),
            last_success_at: None,
            last_failure: None,
        });
        count.stats.count(failure.is_none(), *duration);
        match failure {
            None => count.last_success_at = Some(now),
            Some(failure) => count.last_failure = Some((now, failure, status_of(outcome))),
        }
    }

    /// The counts to write now, if it is time, or if `all` are to be written.
    pub(super) fn due(&mut self, now: Timestamp, all: bool) -> Option<Arc<Vec<MinuteStats>>> {
        let last = *self.written_at.get_or_insert(now);
        // A clock that was set back must not delay it.
        let time = now.since(last) >= EVERY || now < last || (all && !self.counts.is_empty());
        if self.leaving.is_none() && time {
            let mut places: Vec<_> = self.counts.keys().copied().collect();
            // The minutes of an endpoint in order: the last result must be written last.
            places.sort_unstable_by_key(|&(endpoint, minute)| (minute, endpoint));
            places.truncate(AT_ONCE);
            self.leaving = Some(Arc::new(places.iter().filter_map(|place| self.counts.remove(place)).collect()));
        }
        self.leaving.clone()
    }

    /// Notes that the due counts are on disk.
    pub(super) fn written(&mut self, now: Timestamp) {
        if self.leaving.take().is_some() && self.counts.len() < AT_ONCE {
            self.written_at = Some(now);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.counts.is_empty() && self.leaving.is_none()
    }
}

fn status_of(outcome: &Outcome) -> Option<u16> {
    outcome.answer().map(|answer| answer.status)
}
