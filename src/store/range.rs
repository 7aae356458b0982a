//! A selection of deliveries within the visible part, as SQL.

use std::ops::RangeInclusive;

use rusqlite::{Connection, OptionalExtension, Row, named_params};

use super::{Result, View, accounts, deliveries, endpoints, moments};
use crate::domain::{
    account::AccountKey,
    delivery::{DeliveryKey, Failure, State},
    endpoint::EndpointKey,
    ids::EndpointId,
    selection::Selection,
    timestamp::Timestamp,
    token::Visible,
};

/// Most webhooks whose histories are merged, which costs one seek each. For more, all deliveries are read in the order
/// in which they were made.
pub(super) const MERGED: usize = 2000;

/// The condition for a delivery of a range: `d` is the delivery, `e` its event, `p` its endpoint, `c` the account, `a`
/// its last attempt. [`Range::query`] binds its parameters.
pub(super) const FITS: &str = "
    (:profile IS NULL OR p.profile = :profile) AND (:account IS NULL OR c.id = :account)
    AND (:endpoint IS NULL OR p.id = :endpoint)
    AND (:url IS NULL OR instr(lower(p.url), :url) OR instr(lower(ifnull(p.given_url, '')), :url)
      OR instr(lower(ifnull(p.name, '')), :url))
    AND (:kind IS NULL OR e.kind = :kind)
    AND (:state IS NULL OR d.state = :state) AND (:failure IS NULL OR a.failure = :failure)
    AND (:from IS NULL OR d.created_at >= :from) AND (:to IS NULL OR d.created_at <= :to)
    AND (:delivery IS NULL OR d.id = :delivery)";

/// A selection within the visible part: the account and the webhook that it names exist there.
#[derive(Debug, Clone)]
pub struct Range {
    /// The only profile that is seen; `None`: all.
    pub profile: Option<String>,
    /// Which deliveries; of the caller's own account, if the caller belongs to one.
    pub selection: Selection,
    /// The endpoints that the selection's URL means, in the order of their keys; a recovery has none.
    pub(super) named: Option<Vec<EndpointKey>>,
}

impl Range {
    /// # Errors
    /// [`Error::NotFound`](crate::error::Error::NotFound) for an account or a webhook that is not visible.
    pub fn new(view: &View<'_>, visible: &Visible, mut selection: Selection) -> Result<Self> {
        if let Some(account) = &selection.account {
            accounts::see(view, visible, account)?;
        } else if let Some(key) = visible.account {
            let mut rows = view.conn.prepare_cached("SELECT id FROM account WHERE key = ?")?;
            selection.account = Some(rows.query_row([key], |row| row.get(0))?);
        }
        if let Some(endpoint) = selection.endpoint {
            endpoints::find(view, visible, endpoint)?;
        }
        let range = Self { profile: visible.profile.as_deref().map(str::to_owned), selection, named: None };
        Ok(Self { named: range.endpoints_by_url(view)?, ..range })
    }

    /// The endpoints whose URL or name contains the text of the selection; `None` if it has none, or if they are too many.
    fn endpoints_by_url(&self, view: &View<'_>) -> Result<Option<Vec<EndpointKey>>> {
        let Some(url) = &self.selection.url else { return Ok(None) };
        let mut rows = view.conn.prepare_cached(
            "SELECT p.key FROM endpoint p JOIN account c ON c.key = p.account
             WHERE p.profile != '' AND (?1 IS NULL OR p.profile = ?1) AND (?2 IS NULL OR c.id = ?2)
             AND (instr(lower(p.url), ?3) OR instr(lower(ifnull(p.given_url, '')), ?3)
               OR instr(lower(ifnull(p.name, '')), ?3)) ORDER BY p.key LIMIT ?4",
        )?;
        let wanted = (&self.profile, &self.selection.account, url.to_ascii_lowercase(), MERGED + 1);
        let found: Vec<_> = rows.query_map(wanted, |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
        Ok((found.len() <= MERGED).then_some(found))
    }

    /// Only the deliveries to this webhook; `None` if there are none within the range.
    pub(super) fn to_webhook(&self, conn: &Connection, profile: &str, endpoint: EndpointId) -> Result<Option<Self>> {
        let mut rows = conn.prepare_cached(
            "SELECT 1 FROM endpoint p JOIN account c ON c.key = p.account
             WHERE p.id = ?1 AND p.profile = ?2 AND (?3 IS NULL OR p.profile = ?3) AND (?4 IS NULL OR c.id = ?4)",
        )?;
        let is_seen = rows.exists((endpoint.to_bytes(), profile, &self.profile, &self.selection.account))?;
        let is_wanted = self.selection.endpoint.is_none_or(|wanted| wanted == endpoint);
        let selection = Selection { endpoint: Some(endpoint), ..self.selection.clone() };
        Ok((is_seen && is_wanted).then(|| Self { selection, ..self.clone() }))
    }

    /// The account, if it is of one only.
    pub(super) fn account(&self, conn: &Connection) -> Result<Option<AccountKey>> {
        let Some(id) = &self.selection.account else { return Ok(None) };
        let mut rows = conn.prepare_cached("SELECT key FROM account WHERE id = ?")?;
        Ok(rows.query_row([id], |row| row.get(0)).optional()?)
    }

    /// The endpoints in question, deleted ones included; `None` if they are more than `most`, or all.
    pub(super) fn endpoints(&self, conn: &Connection, most: usize) -> Result<Option<Vec<EndpointKey>>> {
        let Selection { account, endpoint, delivery, state, .. } = &self.selection;
        if let Some(named) = &self.named {
            return Ok(Some(named.clone()));
        }
        let keys = |sql: &str, id: &dyn rusqlite::ToSql| -> Result<Vec<EndpointKey>> {
            let mut rows = conn.prepare_cached(sql)?;
            Ok(rows.query_map((id, most + 1), |row| row.get(0))?.collect::<rusqlite::Result<_>>()?)
        };
        let found = if let Some(delivery) = delivery {
            keys("SELECT endpoint FROM delivery WHERE id = ? LIMIT ?", &delivery.to_bytes())?
        } else if let Some(endpoint) = endpoint {
            keys("SELECT key FROM endpoint WHERE id = ? LIMIT ?", &endpoint.to_bytes())?
        } else if let Some(account) = account {
            let sql =
                "SELECT endpoint.key FROM account JOIN endpoint ON account = account.key WHERE account.id = ? LIMIT ?";
            keys(sql, account)?
        } else if let Some(index) = state.and_then(deliveries::index_by_endpoint) {
            with_any(conn, index, state.map_or("", State::name), most)?
        } else {
            return Ok(None);
        };
        Ok((found.len() <= most).then_some(found))
    }

    /// The keys of the deliveries made in the selection's time, and of a few others.
    pub(super) fn keys(&self, conn: &Connection) -> Result<RangeInclusive<DeliveryKey>> {
        moments::keys(conn, "delivery", (self.selection.from, self.selection.to))
    }

    /// Whether deliveries to this endpoint may be in the range, by its name.
    pub(super) fn is_named(&self, endpoint: EndpointKey) -> bool {
        self.named.as_ref().is_none_or(|named| named.binary_search(&endpoint).is_ok())
    }

    /// Runs a query for the delivery of this key, whose condition is [`FITS`]; gives its row as `read` reads it.
    pub(super) fn query<T>(
        &self,
        conn: &Connection,
        sql: &str,
        key: DeliveryKey,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>> {
        let mut rows = conn.prepare_cached(sql)?;
        let Selection { account, kind, .. } = &self.selection;
        let found = rows.query_row(
            named_params! {
                ":key": key, ":profile": self.profile, ":account": account, ":kind": kind,
                ":endpoint": self.selection.endpoint.map(|id| id.to_bytes()),
                ":url": self.selection.url.as_ref().map(|text| text.to_ascii_lowercase()),
                ":state": self.selection.state.map(State::name),
                ":failure": self.selection.failure.map(Failure::name),
                ":from": self.selection.from.map(Timestamp::millis),
                ":to": self.selection.to.map(Timestamp::millis),
                ":delivery": self.selection.delivery.map(|id| id.to_bytes()),
            },
            read,
        );
        Ok(found.optional()?)
    }
}

/// At most `most` and one endpoints that have a delivery in the state of this index: skips from one endpoint to the
/// next.
fn with_any(conn: &Connection, index: &str, state: &str, most: usize) -> Result<Vec<EndpointKey>> {
    let mut rows = conn.prepare_cached(&format!(
        "SELECT endpoint FROM delivery INDEXED BY {index} WHERE state = '{state}' AND endpoint > ? ORDER BY endpoint LIMIT 1"
    ))?;
    let mut found: Vec<EndpointKey> = Vec::new();
    while found.len() <= most {
        let after = found.last().copied().unwrap_or(EndpointKey::MIN);
        match rows.query_row([after], |row| row.get(0)).optional()? {
            Some(next) => found.push(next),
            None => break,
        }
    }
    Ok(found)
}
