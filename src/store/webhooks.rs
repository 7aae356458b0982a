//! Endpoints and their health, over all accounts that a caller may see.

use rusqlite::{OptionalExtension, Row};

use super::{
    Result, View, accounts, convert,
    endpoints::{self, SELECT},
    stats::{self, Of},
};
use crate::{
    domain::{
        delivery::Failure,
        endpoint::{Endpoint, EndpointKey, EndpointState},
        ids::EndpointId,
        stats::Stats,
        timestamp::Timestamp,
        token::Visible,
    },
    error::{Error, Missing},
};

const LOOKED_AT: usize = 10_000;

/// An endpoint and its health.
#[derive(Debug, Clone)]
pub struct Report {
    /// The endpoint.
    pub endpoint: Endpoint,
    /// Its profile.
    pub profile: String,
    /// The statistics of the last 24 hours.
    pub day: Stats,
    /// Deliveries that wait for their next attempt.
    pub waiting: u64,
    /// Deliveries held until it is resumed, with those that its suspension has yet to update.
    pub held: u64,
    /// Deliveries that failed since its last success and were not replayed: resuming it sends them again.
    pub failed: u64,
    /// When the last attempt succeeded; at most some ten seconds old.
    pub last_success_at: Option<Timestamp>,
    /// The last failed attempt; at most some ten seconds old.
    pub last_failure: Option<LastFailure>,
}

/// A failed attempt.
#[derive(Debug, Clone, Copy)]
pub struct LastFailure {
    /// When.
    pub at: Timestamp,
    /// Why.
    pub failure: Failure,
    /// The status of the answer, if there was one.
    pub status: Option<u16>,
}

impl Report {
    /// Whether it is active and its last attempt failed.
    pub fn is_failing(&self) -> bool {
        let last = self.last_failure.map(|last| last.at);
        self.endpoint.state == EndpointState::Active && last.is_some() && last >= self.last_success_at
    }
}

/// Which endpoints to list, newest first.
#[derive(Debug, Default)]
pub struct Filter {
    /// Only of the account of this id.
    pub account: Option<String>,
    /// Only those in this state. Without it, deleted ones are left out.
    pub state: Option<EndpointState>,
    /// Only failing ones.
    pub failing: bool,
    /// Only those whose URL, as it was given or in its canonical form, or whose name contains this text, in any letter
    /// case.
    pub url: Option<String>,
    /// Only those registered before this one.
    pub after: Option<EndpointId>,
}

/// One page, and the profile and the id of the last endpoint that was read: `None` at the end.
pub type Page = (Vec<Report>, Option<(String, EndpointId)>);

/// One page, newest first. It reads at most 10,000 endpoints: a page may hold few or none and yet not be the last.
///
/// # Errors
/// [`Error::NotFound`] for an account that is not visible; [`Error::Invalid`] if `after` is no endpoint.
pub fn list(view: &View<'_>, visible: &Visible, filter: &Filter, limit: usize, now: Timestamp) -> Result<Page> {
    let account = match &filter.account {
        Some(account) => Some(accounts::see(view, visible, account)?.key),
        None => visible.account,
    };
    let before = match filter.after {
        None => EndpointKey::MAX,
        Some(id) => {
            let mut rows = view.conn.prepare_cached("SELECT key FROM endpoint WHERE id = ?")?;
            let key = rows.query_row([id.to_bytes()], |row| row.get(0)).optional()?;
            key.ok_or_else(Error::bad_cursor)?
        }
    };
    let sql = match account {
        Some(_) => format!("{SELECT} WHERE endpoint.account = ?1 AND endpoint.key < ?2 ORDER BY endpoint.key DESC"),
        None => format!("{SELECT} WHERE ?1 IS NULL AND endpoint.key < ?2 ORDER BY endpoint.key DESC"),
    };
    let url = filter.url.as_ref().map(|text| text.to_lowercase());
    let mut rows = view.conn.prepare_cached(&sql)?;
    let mut rows = rows.query((account, before))?;
    let (mut found, mut last, mut looked) = (Vec::<Report>::new(), None, 0);
    while let Some(row) = rows.next()? {
        let endpoint = endpoints::read(row)?;
        let profile: String = row.get("profile")?;
        let wanted = match filter.state {
            Some(state) => endpoint.state == state,
            None => endpoint.state != EndpointState::Deleted,
        };
        let seen = visible.profile.as_ref().is_none_or(|seen| *seen == profile);
        let contains = |written: &str, text: &String| written.to_lowercase().contains(text);
        let (target, name) = (&endpoint.url, endpoint.about.name.as_deref().unwrap_or_default());
        let named = url.as_ref().is_none_or(|text| {
            contains(target.as_str(), text) || contains(target.given(), text) || contains(name, text)
        });
        if looked == LOOKED_AT {
            return Ok((found, last));
        }
        (looked, last) = (looked + 1, Some((profile.clone(), endpoint.id)));
        if wanted && seen && named {
            let report = bare(row, endpoint, profile)?;
            if filter.failing && !report.is_failing() {
                continue;
            }
            if found.len() == limit {
                let next = found.last().map(|report| (report.profile.clone(), report.endpoint.id));
                return Ok((found, next));
            }
            found.push(filled(view, report, now)?);
        }
    }
    Ok((found, None))
}

/// One endpoint; it may be deleted.
///
/// # Errors
/// [`Error::NotFound`] if none is visible.
pub fn find(view: &View<'_>, visible: &Visible, id: EndpointId, now: Timestamp) -> Result<Report> {
    let mut rows = view.conn.prepare_cached(&format!(
        "{SELECT} WHERE endpoint.id = ?1 AND (?2 IS NULL OR endpoint.profile = ?2)
           AND (?3 IS NULL OR endpoint.account = ?3)"
    ))?;
    let report = rows
        .query_row((id.to_bytes(), &visible.profile, visible.account), |row| {
            bare(row, endpoints::read(row)?, row.get("profile")?)
        })
        .optional()?
        .ok_or(Error::NotFound(Missing::Webhook))?;
    filled(view, report, now)
}

/// The part of a report that is in the endpoint's row.
fn bare(row: &Row<'_>, endpoint: Endpoint, profile: String) -> rusqlite::Result<Report> {
    let failed_at = convert::moment_if(row, "last_failure_at")?;
    let failure: Option<String> = row.get("last_failure")?;
    let status = row.get("last_failure_status")?;
    let last_failure = match (failed_at, failure) {
        (Some(at), Some(text)) => Some(LastFailure { at, failure: convert::failure(&text)?, status }),
        _ => None,
    };
    Ok(Report {
        endpoint,
        profile,
        day: Stats::default(),
        waiting: 0,
        held: 0,
        failed: 0,
        last_success_at: convert::moment_if(row, "last_success_at")?,
        last_failure,
    })
}

fn filled(view: &View<'_>, report: Report, now: Timestamp) -> Result<Report> {
    let key = report.endpoint.key;
    let waiting = match report.endpoint.state {
        EndpointState::Active => {
            let mut rows =
                view.conn.prepare_cached("SELECT count(*) FROM delivery WHERE endpoint = ? AND state = 'pending'")?;
            rows.query_row([key], |row| row.get(0))?
        }
        EndpointState::Suspended | EndpointState::Deleted => 0,
    };
    let (day, held) = (stats::day(view, Of::Endpoint(key), now)?, endpoints::held(view, key)?);
    Ok(Report { day, waiting, held, failed: endpoints::failed(view, key)?, ..report })
}
