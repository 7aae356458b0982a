//! The pace of an endpoint with a rate limit: when how many of its deliveries may be claimed.
//!
//! Each claim moves the next one on by the time that the limit asks for between two. A few may be claimed at once where
//! the limit is so high that the engine could not claim each at its own moment. After a rest nothing is made up for.

use std::time::Duration;

use crate::domain::{endpoint_settings::RateLimit, timestamp::Timestamp};

/// No more are claimed at once than the limit allows in this time, or one.
const AT_ONCE: Duration = Duration::from_millis(20);

/// See the head of this file. Times are microseconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    interval: i64,
    /// How long before its moment a claim may be made.
    early: i64,
    /// The moment of the next claim.
    next: i64,
}

impl Pace {
    /// The pace of this limit. The first claim may be made at once.
    pub(super) fn new(limit: RateLimit) -> Self {
        let micros = |time: Duration| i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
        let interval = micros(limit.interval()).max(1);
        Self { interval, early: (micros(AT_ONCE) - interval).max(0), next: 0 }
    }

    /// This pace with another limit. Its counts stay.
    pub(super) fn changed(self, limit: RateLimit) -> Self {
        let new = Self::new(limit);
        // As if the last claim had been made at this pace: a low limit may have put the next one far away.
        Self { next: self.next - self.interval + new.interval, ..new }
    }

    /// How many may be claimed now.
    pub(super) fn free(&self, now: Timestamp) -> usize {
        let now = micros_of(now);
        usize::try_from((now + self.early + self.interval - self.next.max(now)) / self.interval).unwrap_or(0)
    }

    /// This many were claimed.
    pub(super) fn take(&mut self, claims: usize, now: Timestamp) {
        let claims = i64::try_from(claims).unwrap_or(i64::MAX);
        self.next = self.next.max(micros_of(now)).saturating_add(self.interval.saturating_mul(claims));
    }

    /// When the next one may be claimed.
    pub(super) fn ready_at(&self) -> Timestamp {
        Timestamp::from_millis(
            (self.next - self.early).div_euclid(1000) + i64::from((self.next - self.early).rem_euclid(1000) > 0),
        )
    }

    /// The clock was set by this many milliseconds.
    pub(super) fn shift(&mut self, by: i64) {
        self.next = self.next.saturating_add(by.saturating_mul(1000));
    }
}

fn micros_of(at: Timestamp) -> i64 {
    at.millis().saturating_mul(1000)
}
