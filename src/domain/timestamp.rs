//! A moment, in milliseconds since 1970 UTC, as it is stored and printed.

use std::{fmt, ops, time::Duration};

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    domain::excerpt::excerpt,
    error::{Error, Result},
};

/// Most digits of a fraction of a second: Java reads no more.
const MAX_FRACTION: usize = 9;

/// The farthest offset from UTC, in seconds: Java knows none beyond 18 hours.
const MAX_OFFSET: u32 = 18 * 3600;

/// 0001-01-01T00:00:00Z and 9999-12-31T23:59:59.999Z: Python knows no moment outside.
const MOMENTS: ops::RangeInclusive<i64> = -62_135_596_800_000..=253_402_300_799_999;

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

    /// The moment of an RFC 3339 time that Python, JavaScript, Go and Java all read; `None` if it is none. So `T` and `Z`
    /// are capitals, a minute has 60 seconds, a fraction has 1 to 9 digits, an offset is of at most 18 hours, and the year
    /// is 1 to 9999, in UTC too.
    pub fn parse(text: &str) -> Option<Self> {
        let moment = is_written_well(text).then(|| OffsetDateTime::parse(text, &Rfc3339).ok())??;
        let millis = i64::try_from(moment.unix_timestamp_nanos().div_euclid(1_000_000)).ok()?;
        let known = MOMENTS.contains(&millis) && moment.year() > 0;
        (known && moment.offset().whole_seconds().unsigned_abs() <= MAX_OFFSET).then_some(Self(millis))
    }

    /// The moment of a time that a client sent in the field of this name. What is delivered is the client's own text.
    ///
    /// # Errors
    /// A text that [`Timestamp::parse`] does not take.
    pub fn read(name: &str, text: &str) -> Result<Self> {
        Self::parse(text).ok_or_else(|| {
            Error::request(format!(
                "{name} is no RFC 3339 time: '{}' should look like 2026-04-20T11:55:00Z, or with a fraction of at most \
                 {MAX_FRACTION} digits and an offset like 2026-04-20T14:55:00.250+03:00",
                excerpt(text)
            ))
        })
    }

    /// As [`Timestamp::read`], of a field that may be left out.
    ///
    /// # Errors
    /// As [`Timestamp::read`].
    pub fn read_if(name: &str, text: Option<&str>) -> Result<Option<Self>> {
        text.map(|text| Self::read(name, text)).transpose()
    }
}

/// Whether each character of the text stands where RFC 3339 has it. The parser is more lenient, and knows the calendar.
fn is_written_well(text: &str) -> bool {
    let fits = |text: &str, form: &str| {
        let pairs = || text.bytes().zip(form.bytes());
        text.len() == form.len()
            && pairs().all(|(byte, at)| if at == b'0' { byte.is_ascii_digit() } else { byte == at })
    };
    let Some((moment, rest)) = text.split_at_checked("0000-00-00T00:00:00".len()) else { return false };
    let digits = rest.strip_prefix('.').map(|rest| rest.bytes().take_while(u8::is_ascii_digit).count());
    if digits.is_some_and(|digits| !(1..=MAX_FRACTION).contains(&digits)) {
        return false;
    }
    let offset = &rest[digits.map_or(0, |digits| digits + 1)..];
    fits(moment, "0000-00-00T00:00:00")
        && !moment.ends_with(":60")
        && (offset == "Z" || fits(offset, "+00:00") || fits(offset, "-00:00"))
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
