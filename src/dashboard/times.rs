//! The filter by time of a list: its two fields, and links to times that are asked for often.

use std::time::Duration;

use super::{
    format::{field, midnight},
    query_string::QueryString,
};
use crate::{domain::timestamp::Timestamp, error::Result};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// The two fields, and the queries of the links.
pub(super) struct Times {
    pub(super) from: String,
    pub(super) to: String,
    pub(super) hour: String,
    pub(super) today: String,
    pub(super) yesterday: String,
}

impl Times {
    /// The fields of this time. `query` makes the query of the list for another time, and keeps its other filters.
    pub(super) fn new(
        (from, to): (Option<Timestamp>, Option<Timestamp>),
        now: Timestamp,
        query: impl Fn(&str, &str) -> String,
    ) -> Self {
        let today = midnight(now);
        let link = |from: Timestamp, to: Option<Timestamp>| {
            query(&from.to_string(), &to.map(|to| to.to_string()).unwrap_or_default())
        };
        Self {
            from: from.map(field).unwrap_or_default(),
            to: to.map(field).unwrap_or_default(),
            hour: link(now - HOUR, None),
            today: link(today, None),
            yesterday: link(today - DAY, Some(today)),
        }
    }
}

/// A date and a time in a browser's form, taken as UTC; or an RFC 3339 time, as a page with a script sends it.
pub(super) fn moment(text: &str, label: &str) -> Result<Option<Timestamp>> {
    let Some(text) = QueryString::text(text) else { return Ok(None) };
    let wordings = [format!("{text}Z"), format!("{text}:00Z"), format!("{text}T00:00:00Z")];
    let found = wordings.iter().find_map(|wording| Timestamp::parse(wording));
    found.map_or_else(|| Timestamp::read(label, text), Ok).map(Some)
}
