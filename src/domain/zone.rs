//! The time zone of the people who read alerts.

use jiff::tz::{TimeZone, TimeZoneDatabase};

use crate::{
    domain::{excerpt::excerpt, timestamp::Timestamp},
    error::{Error, Result},
};

/// A time zone.
#[derive(Debug, Clone, Default)]
pub struct Zone(Option<(String, TimeZone)>);

impl Zone {
    /// The zone of this IANA name; `UTC` and the empty text are UTC.
    ///
    /// # Errors
    /// Any other text.
    pub fn named(name: &str) -> Result<Self> {
        if matches!(name, "" | "UTC") {
            return Ok(Self::default());
        }
        let known = TimeZoneDatabase::bundled().get(name);
        let unknown =
            |_| Error::request(format!("'{}' is no time zone: expected one such as Africa/Kampala", excerpt(name)));
        Ok(Self(Some((name.to_owned(), known.map_err(unknown)?))))
    }

    /// A moment for people: `2026-04-20 14:55:00 +03:00 (2026-04-20T11:55:00Z)`; in UTC only the latter.
    pub fn show(&self, at: Timestamp) -> String {
        let local = self.0.as_ref().and_then(|(_, zone)| {
            let at = jiff::Timestamp::from_second(at.unix_seconds()).ok()?.to_zoned(zone.clone());
            Some(at.strftime("%F %T %:z").to_string())
        });
        local.map_or_else(|| at.to_string(), |local| format!("{local} ({at})"))
    }

    /// A sentence that names the zone of the times in a text.
    pub fn said(&self) -> String {
        match &self.0 {
            None => "Times are UTC.".to_owned(),
            Some((name, _)) => format!("Times are those of {name}; in brackets UTC."),
        }
    }
}
