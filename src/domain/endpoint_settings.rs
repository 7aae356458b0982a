//! The own settings of a webhook, which its owner chose. Every setting is optional.

use std::{collections::BTreeMap, fmt, time::Duration};

use crate::{
    domain::{metadata::Metadata, own_headers::HeadersChange},
    error::{Error, Result},
};

/// Thousandths of a delivery per second: the lowest and the highest limit.
const LIMITS: std::ops::RangeInclusive<u32> = 100..=1_000_000;

/// The settings of an endpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EndpointSettings {
    /// How its deliveries go out.
    pub sending: Sending,
    /// Texts for programs of its owner.
    pub metadata: Metadata,
}

impl EndpointSettings {
    /// These settings, each replaced by the given one.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a value that cannot be taken; it names the setting.
    pub fn with(self, change: &SettingsChange) -> Result<Self> {
        let rate_limit = match change.rate_limit {
            Given::Nothing => self.sending.rate_limit,
            Given::Null | Given::Value(0.0) => None,
            Given::Value(deliveries) => Some(RateLimit::per_second(deliveries)?),
        };
        let ordered = change.ordered.unwrap_or(self.sending.ordered);
        let metadata = change.metadata.clone().map_or(Ok(self.metadata), Metadata::parse)?;
        Ok(Self { sending: Sending { rate_limit, ordered }, metadata })
    }
}

/// The settings in a request.
#[derive(Debug, Clone, Default)]
pub struct SettingsChange {
    /// Deliveries per second; 0: no limit.
    pub rate_limit: Given<f64>,
    /// Whether they go out one at a time, in the order of acceptance.
    pub ordered: Option<bool>,
    /// All entries of the metadata.
    pub metadata: Option<BTreeMap<String, String>>,
    /// Its headers of its own.
    pub headers: Option<HeadersChange>,
}

/// A setting in a request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Given<T> {
    /// It was left out: it stays as it is.
    #[default]
    Nothing,
    /// It is to be removed.
    Null,
    /// Its new value.
    Value(T),
}

impl<T> From<Option<T>> for Given<T> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Nothing, Self::Value)
    }
}

/// How the deliveries of an endpoint go out. A plain endpoint has neither a limit nor an order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sending {
    /// Most deliveries a second; `None`: as many as its receiver takes.
    pub rate_limit: Option<RateLimit>,
    /// Whether they go out one at a time, in the order of acceptance.
    pub ordered: bool,
}

/// How they go out, for people.
impl fmt::Display for Sending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.ordered {
            "one at a time, in the order of acceptance"
        } else {
            "several at the same time"
        })?;
        match self.rate_limit {
            Some(limit) => write!(f, "; at most {limit} a second"),
            None => Ok(()),
        }
    }
}

impl Sending {
    /// Whether nothing was decided.
    pub fn is_plain(self) -> bool {
        self == Self::default()
    }
}

/// Most deliveries to an endpoint per second, in thousandths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit(u32);

impl RateLimit {
    /// A limit of this many deliveries per second.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a number that is not from 0.1 to 1,000, or has more than three decimals.
    pub fn per_second(deliveries: f64) -> Result<Self> {
        let thousandths = deliveries * 1000.0;
        let whole = thousandths.round();
        if !(f64::from(*LIMITS.start())..=f64::from(*LIMITS.end())).contains(&whole) {
            return Err(Error::request(format!(
                "rate_limit is {deliveries}: expected deliveries per second, from 0.1 to 1000"
            )));
        }
        if (thousandths - whole).abs() > 1e-6 {
            return Err(Error::request(format!("rate_limit is {deliveries}: at most three decimals are taken")));
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is within the limits")]
        Ok(Self(whole as u32))
    }

    /// The limit of a stored number; `None` if no limit is like this.
    pub fn from_thousandths(thousandths: u32) -> Option<Self> {
        LIMITS.contains(&thousandths).then_some(Self(thousandths))
    }

    /// As it is stored.
    pub const fn thousandths(self) -> u32 {
        self.0
    }

    /// As it is shown.
    pub fn as_per_second(self) -> f64 {
        f64::from(self.0) / 1000.0
    }

    /// The time from one delivery to the next.
    pub fn interval(self) -> Duration {
        Duration::from_micros(1_000_000_000 / u64::from(self.0.max(1)))
    }
}

/// Deliveries per second.
impl fmt::Display for RateLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_per_second().fmt(f)
    }
}
