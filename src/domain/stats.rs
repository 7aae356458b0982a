//! Statistics of attempts: how many succeeded and failed in a minute or an hour, and how long they took.

use std::time::Duration;

use crate::domain::timestamp::Timestamp;

/// Upper bounds of the duration buckets, in milliseconds. The last bucket holds everything longer.
const BOUNDS_MS: [u64; BUCKETS] = [1, 2, 5, 10, 20, 50, 100, 200, 350, 500, 1000, 2000, 5000, 10_500, 30_000, 65_000];
const BUCKETS: usize = 16;

/// The counts of a span of time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Successful attempts: each is a delivered delivery.
    pub delivered: u64,
    /// Failed attempts; a delivery may have several.
    pub failed: u64,
    durations: [u32; BUCKETS],
}

impl Stats {
    /// Bytes of the stored durations.
    pub const BYTES: usize = 4 * BUCKETS;

    /// The statistics of stored values. Durations of another length are ignored.
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

    /// Adds other counts.
    pub fn add(&mut self, other: &Self) {
        self.delivered += other.delivered;
        self.failed += other.failed;
        for (count, more) in self.durations.iter_mut().zip(other.durations) {
            *count = count.saturating_add(more);
        }
    }

    /// The percentage of successes; `None` without attempts.
    pub fn success_percent(&self) -> Option<f64> {
        let all = self.delivered + self.failed;
        (all > 0).then(|| self.delivered as f64 * 100.0 / all as f64)
    }

    /// The time within which 95 of 100 attempts ended, in milliseconds, rounded up to a bucket's bound; `None` without
    /// attempts.
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

/// The length of a span of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Span {
    /// A minute.
    Minute,
    /// An hour.
    Hour,
}

impl Span {
    /// Its length in seconds.
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
