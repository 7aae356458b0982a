//! A moment, in milliseconds since 1970 UTC, as it is stored and printed.

use std::{fmt, ops, time::Duration};

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::error::{Error, Result};

/// Longest text of a time that is taken, in bytes. Nanoseconds and an offset need 35; nobody measures more finely.
pub const MAX_TIME: usize = 64;

/// The first moment after the year 9999.
const YEAR_10000: i64 = 253_402_300_800_000;

/// A moment: milliseconds since 1970-01-01T00:00:00Z.
///
/// Printed as both vendors' pages print times: RFC 3339, UTC, whole seconds (`2026-04-24T10:00:00Z`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The moment so many milliseconds after 1970.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// The moment itself, if it is one that dates can be written of: RFC 3339 and HTTP have four digits for the year, and
    /// nothing before 1970 is sent.
    ///
    /// # Errors
    /// A moment before 1970 or after 9999: the clock that showed it is wrong.
    pub fn checked(self) -> Result<Self> {
        let wrong = "the clock of this machine is before 1970 or after 9999: set it, then start again";
        (0..YEAR_10000).contains(&self.0).then_some(self).ok_or_else(|| Error::Internal(wrong.to_owned()))
    }

    /// Milliseconds since 1970.
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since 1970, as `webhook-timestamp` carries them.
    pub const fn unix_seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// The time passed since an earlier moment; zero if `earlier` is not earlier.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// RFC 3339 with milliseconds, for the fine grain of attempts: `2026-04-24T10:00:00.250Z`.
    pub fn precise(self) -> String {
        let whole = self.to_string();
        format!("{}.{:03}Z", whole.trim_end_matches('Z'), self.0.rem_euclid(1000))
    }

    /// The moment of an RFC 3339 time of at most 64 bytes, with any offset; `None` if it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let moment = (text.len() <= MAX_TIME).then(|| OffsetDateTime::parse(text, &Rfc3339).ok())??;
        i64::try_from(moment.unix_timestamp_nanos().div_euclid(1_000_000)).ok().map(Self)
    }

    /// Whether the text is an RFC 3339 time of at most 64 bytes, with any offset. The producer's own text is what is sent.
    pub fn is_rfc3339(text: &str) -> bool {
        Self::parse(text).is_some()
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = OffsetDateTime::from_unix_timestamp(self.unix_seconds())
            .ok()
            .and_then(|moment| moment.format(&Rfc3339).ok());
        f.write_str(text.as_deref().unwrap_or("9999-12-31T23:59:59Z"))
    }
}

impl ops::Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, wait: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(wait.as_millis()).unwrap_or(i64::MAX)))
    }
}

impl ops::Sub<Duration> for Timestamp {
    type Output = Self;

    fn sub(self, wait: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(wait.as_millis()).unwrap_or(i64::MAX)))
    }
}
