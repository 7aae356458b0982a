//! The settings of an endpoint, in its row.

use rusqlite::Row;

use super::{Result, Tx, audit, convert, news::Change};
use crate::domain::{
    audit::Action,
    endpoint::{Endpoint, EndpointKey},
    endpoint_settings::{EndpointSettings, RateLimit, Sending},
    metadata::Metadata,
};

/// Writes the settings of an endpoint that was just registered.
pub fn write(tx: &Tx<'_>, endpoint: EndpointKey, settings: &EndpointSettings) -> Result<()> {
    let Sending { rate_limit, ordered } = settings.sending;
    tx.conn
        .prepare_cached("UPDATE endpoint SET rate_limit = ?2, ordered = ?3, metadata = ?4 WHERE key = ?1")?
        .execute((endpoint, rate_limit.map(RateLimit::thousandths), ordered, settings.metadata.stored()))?;
    tx.announce(Change::Sending(endpoint, settings.sending));
    Ok(())
}

/// Changes the settings of an endpoint, from the next attempt on.
pub fn set(tx: &Tx<'_>, endpoint: &Endpoint, settings: &EndpointSettings) -> Result<()> {
    let former = &endpoint.settings;
    if former == settings {
        return Ok(());
    }
    write(tx, endpoint.key, settings)?;
    // Claims that have not begun are given back. Deliveries that the former settings delayed may be due.
    tx.changed(endpoint.key);
    tx.due(endpoint.key, tx.now);
    let rate_limit =
        (former.sending.rate_limit != settings.sending.rate_limit).then(|| match settings.sending.rate_limit {
            Some(limit) => format!("rate_limit {limit}"),
            None => "rate_limit none".to_owned(),
        });
    let ordered =
        (former.sending.ordered != settings.sending.ordered).then(|| format!("ordered {}", settings.sending.ordered));
    let metadata = (former.metadata != settings.metadata).then(|| "metadata".to_owned());
    for note in [rate_limit, ordered, metadata].into_iter().flatten() {
        audit::of_endpoint(tx, Action::WebhookChanged, endpoint.key, Some(&note))?;
    }
    Ok(())
}

/// Announces how the deliveries of each endpoint go out that is not plain.
pub(super) fn announce(tx: &Tx<'_>) -> Result<()> {
    let mut rows = tx.conn.prepare(
        "SELECT key, rate_limit, ordered FROM endpoint WHERE (rate_limit IS NOT NULL OR ordered) AND state != 'deleted'",
    )?;
    let mut rows = rows.query([])?;
    while let Some(row) = rows.next()? {
        tx.announce(Change::Sending(row.get("key")?, sending(row)?));
    }
    Ok(())
}

/// The settings in a row of an endpoint.
pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<EndpointSettings> {
    let metadata: Option<String> = row.get("metadata")?;
    let read = |text: String| Metadata::from_stored(&text).ok_or_else(|| convert::unreadable(&text));
    Ok(EndpointSettings { sending: sending(row)?, metadata: metadata.map(read).transpose()?.unwrap_or_default() })
}

/// How the deliveries of the endpoint in this row go out.
pub(super) fn sending(row: &Row<'_>) -> rusqlite::Result<Sending> {
    let rate_limit = row.get::<_, Option<u32>>("rate_limit")?;
    let limit =
        |stored: u32| RateLimit::from_thousandths(stored).ok_or_else(|| convert::unreadable(&stored.to_string()));
    Ok(Sending { rate_limit: rate_limit.map(limit).transpose()?, ordered: row.get("ordered")? })
}
