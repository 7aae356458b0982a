//! Tallies: how many attempts ended well and how many failed in a minute or an hour, and how long they took.

use std::time::Duration;

use crate::domain::timestamp::Timestamp;

/// The bounds of the buckets of durations, in milliseconds; what took longer is counted in the last.
const BOUNDS_MS: [u64; BUCKETS] = [1, 2, 5, 10, 20, 50, 100, 200, 350, 500, 1000, 2000, 5000, 10_500, 30_000, 65_000];
const BUCKETS: usize = 16;

/// What was counted in some span of time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Attempts that ended well: each is a delivery that arrived.
    pub delivered: u64,
    /// Attempts that failed; a delivery may have several.
    pub failed: u64,
    durations: [u32; BUCKETS],
}

impl Stats {
    /// Bytes of its durations, as they are stored.
    pub const BYTES: usize = 4 * BUCKETS;

    /// What was stored. Durations of another length are none.
    pub fn from_stored(delivered: u64, failed: u64, durations: &[u8]) -> Self {
        let mut stats = Self { delivered, failed, ..Self::default() };
        for (count, bytes) in stats.durations.iter_mut().zip(durations.as_chunks().0) {
            *count = u32::from_le_bytes(*bytes);
        }
        stats
    }

    /// The durations, as they are stored.
    pub fn durations(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        for (bytes, count) in bytes.as_chunks_mut().0.iter_mut().zip(self.durations) {
            *bytes = count.to_le_bytes();
        }
        bytes
    }

    /// Counts one attempt.
    pub fn count(&mut self, well: bool, duration: Duration) {
        *(if well { &mut self.delivered } else { &mut self.failed }) += 1;
        let took = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let bucket = BOUNDS_MS.partition_point(|bound| *bound < took).min(BUCKETS - 1);
        self.durations[bucket] = self.durations[bucket].saturating_add(1);
    }

    /// Adds what another has counted.
    pub fn add(&mut self, other: &Self) {
        self.delivered += other.delivered;
        self.failed += other.failed;
        for (count, more) in self.durations.iter_mut().zip(other.durations) {
            *count = count.saturating_add(more);
        }
    }

    /// Of a hundred attempts, how many ended well; `None` without any.
    pub fn success_percent(&self) -> Option<f64> {
        let all = self.delivered + self.failed;
        (all > 0).then(|| self.delivered as f64 * 100.0 / all as f64)
    }

    /// 95 of 100 attempts took at most so many milliseconds, to the next bound of a bucket; `None` without any.
    pub fn p95_ms(&self) -> Option<u64> {
        let all: u64 = self.durations.iter().map(|count| u64::from(*count)).sum();
        let mut within = 0;
        let fast = self.durations.iter().position(|count| {
            within += u64::from(*count);
            within * 100 >= all * 95
        });
        fast.filter(|_| all > 0).map(|bucket| BOUNDS_MS[bucket])
    }
}

/// A span of time in which is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Span {
    /// A minute.
    Minute,
    /// An hour.
    Hour,
}

impl Span {
    /// Its length.
    pub const fn seconds(self) -> i64 {
        match self {
            Self::Minute => 60,
            Self::Hour => 3600,
        }
    }

    /// The start of the span that holds this moment.
    pub const fn start_of(self, moment: Timestamp) -> Timestamp {
        let length = 1000 * self.seconds();
        Timestamp::from_millis(moment.millis().div_euclid(length) * length)
    }
}
