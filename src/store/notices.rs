//! Notices: what an account's own programs are told about its webhooks. Each is written in the transaction that decided
//! it, if the account has a place for them.

use rusqlite::{OptionalExtension, Row};

use super::{Result, Tx, View, accounts, audit, convert, news::Change};
use crate::domain::{
    account::AccountKey,
    audit::Action,
    delivery::{Attempt, Failure},
    endpoint::{EndpointKey, SuspendedReason, TargetUrl},
    ids::{AlertId, DeliveryId, EndpointId, EventId},
    notice::{Failed, Kind, Notice},
    signature::SigningSecret,
    timestamp::Timestamp,
};

/// Notices of failed deliveries of one webhook in an hour.
pub const PER_HOUR: u64 = 60;
/// Notices of one account that wait: the oldest ones go when there are more.
const WAITING: usize = 1000;
const HOUR_MS: i64 = 3_600_000;

/// The key of a notice's row, and its account.
pub type Which = (i64, AccountKey);

/// A notice to send, and where.
#[derive(Debug)]
pub struct Due {
    /// Its row.
    pub which: Which,
    /// When to send it.
    pub at: Timestamp,
    /// Tries so far.
    pub tries: u32,
    /// Its content.
    pub notice: Notice,
    /// Where to.
    pub url: TargetUrl,
    /// What signs it; `None` if the key file does not open it now.
    pub secret: Option<SigningSecret>,
}

/// Writes a notice about an endpoint. Of failed deliveries of one endpoint at most [`PER_HOUR`] are written in an hour.
pub(super) fn add(
    tx: &Tx<'_>,
    endpoint: EndpointKey,
    kind: Kind,
    failed: Option<(DeliveryId, &Attempt)>,
    reason: Option<SuspendedReason>,
) -> Result<()> {
    let (now, last) = (tx.now.millis(), failed.map(|(_, last)| last));
    let made = tx
        .conn
        .prepare_cached(
            "INSERT INTO notice (id, account, endpoint, kind, created_at, due_at, delivery, failure, status, attempts,
               suspended_reason)
             SELECT ?1, account.key, ?2, ?3, ?4, ?4, ?5, ?6, ?7, ?8, ?9
             FROM endpoint JOIN account ON account.key = endpoint.account
             WHERE endpoint.key = ?2 AND alerts_url IS NOT NULL
               AND (?3 != 'delivery.failed' OR ?10 > (SELECT count(*) FROM notice
                    WHERE notice.endpoint = ?2 AND notice.kind = ?3 AND notice.created_at > ?4 - ?11))",
        )?
        .execute((
            AlertId::mint(tx.now).to_bytes(),
            endpoint,
            kind.name(),
            now,
            failed.map(|(id, _)| id.to_bytes()),
            last.and_then(|last| last.failure).map(Failure::name),
            last.and_then(|last| last.status),
            last.map(|last| last.number),
            reason.map(SuspendedReason::name),
            PER_HOUR,
            HOUR_MS,
        ))?;
    if made == 0 {
        return Ok(());
    }
    tx.conn
        .prepare_cached(
            "DELETE FROM notice WHERE key IN (
               SELECT key FROM notice WHERE account = (SELECT account FROM endpoint WHERE key = ?) AND due_at IS NOT NULL
               ORDER BY key DESC LIMIT -1 OFFSET ?)",
        )?
        .execute((endpoint, WAITING))?;
    tx.announce(Change::Alert);
    Ok(())
}

/// The next notice to send, and when.
pub fn next(view: &View<'_>) -> Result<Option<Due>> {
    let mut rows = view.conn.prepare_cached(
        "SELECT notice.*, account.id AS account_id, alerts_url, alerts_id, alerts_secret, p.id AS endpoint_id, p.profile,
                ifnull(p.given_url, p.url) AS url, e.id AS event_id, e.kind AS event
         FROM notice JOIN account ON account.key = notice.account AND alerts_url IS NOT NULL
         JOIN endpoint p ON p.key = notice.endpoint AND p.profile != ''
         LEFT JOIN delivery d ON d.id = notice.delivery LEFT JOIN event e ON e.key = d.event
         WHERE notice.due_at IS NOT NULL ORDER BY notice.due_at, notice.key LIMIT 1",
    )?;
    Ok(rows.query_row([], |row| due(view, row)).optional()?)
}

fn due(view: &View<'_>, row: &Row<'_>) -> rusqlite::Result<Due> {
    let failure: Option<String> = row.get("failure")?;
    let failure = failure.map(|text| convert::failure(&text)).transpose()?;
    let delivery: Option<[u8; 16]> = row.get("delivery")?;
    let failed = match (delivery, failure) {
        (Some(id), Some(failure)) => Some(Failed {
            delivery: DeliveryId::from_bytes(id),
            event: row.get::<_, Option<[u8; 16]>>("event_id")?.map(EventId::from_bytes),
            kind: row.get("event")?,
            failure,
            status: row.get("status")?,
            attempts: row.get("attempts")?,
        }),
        _ => None,
    };
    let (text, sealed): (String, Vec<u8>) = (row.get("alerts_url")?, row.get("alerts_secret")?);
    Ok(Due {
        which: (row.get("key")?, row.get("account")?),
        at: convert::moment(row, "due_at")?,
        tries: row.get("tries")?,
        notice: Notice {
            id: AlertId::from_bytes(row.get("id")?),
            kind: convert::notice_kind(&row.get::<_, String>("kind")?)?,
            created_at: convert::moment(row, "created_at")?,
            account: row.get("account_id")?,
            profile: row.get("profile")?,
            endpoint: EndpointId::from_bytes(row.get("endpoint_id")?),
            url: row.get("url")?,
            failed,
            reason: convert::suspended_reason(row.get("suspended_reason")?)?,
        },
        url: TargetUrl::from_stored(&text).map_err(|_| convert::unreadable("alerts_url"))?,
        secret: view.keys.peek(EndpointId::from_bytes(row.get("alerts_id")?), &sealed),
    })
}

/// Notes that a notice was taken, or is given up. Removes older ones that no count needs.
pub fn ended(tx: &Tx<'_>, (key, _): Which) -> Result<()> {
    let sql = "UPDATE notice SET due_at = NULL, tries = tries + 1 WHERE key = ?";
    tx.conn.prepare_cached(sql)?.execute([key])?;
    let sql = "DELETE FROM notice WHERE due_at IS NULL AND created_at <= ?";
    tx.conn.prepare_cached(sql)?.execute([tx.now.millis() - HOUR_MS])?;
    Ok(())
}

/// Notes a failed try: until then, nothing more is sent to this account.
pub fn postpone(tx: &Tx<'_>, (key, account): Which, until: Timestamp) -> Result<()> {
    tx.conn.prepare_cached("UPDATE notice SET tries = tries + 1 WHERE key = ?")?.execute([key])?;
    let sql = "UPDATE notice SET due_at = ?2 WHERE account = ?1 AND due_at IS NOT NULL AND due_at < ?2";
    tx.conn.prepare_cached(sql)?.execute((account, until.millis()))?;
    Ok(())
}

/// Moves the times of notices by this many milliseconds.
pub(super) fn shift(tx: &Tx<'_>, by: i64) -> rusqlite::Result<()> {
    let sql = "UPDATE notice SET due_at = due_at + ?1, created_at = created_at + ?1";
    tx.conn.prepare_cached(sql)?.execute([by]).map(drop)
}

/// Changes where an account's notices go, with a new secret; `None`: nowhere, and those that wait are dropped.
///
/// # Errors
/// [`NotFound`](crate::error::Error::NotFound) if there is no such account.
pub fn set_target(tx: &Tx<'_>, id: &str, target: Option<(&TargetUrl, &SigningSecret)>) -> Result<()> {
    let account = accounts::named(tx, None, id)?;
    let own = EndpointId::mint(tx.now);
    let secret = target.map(|(_, secret)| tx.keys.seal(tx.conn, own, secret)).transpose()?;
    tx.conn
        .prepare_cached("UPDATE account SET alerts_url = ?2, alerts_id = ?3, alerts_secret = ?4 WHERE key = ?1")?
        .execute((account.key, target.map(|(url, _)| url.as_str()), target.map(|_| own.to_bytes()), secret))?;
    let sql = match target {
        Some(_) => "UPDATE notice SET due_at = min(due_at, ?2), tries = 0 WHERE account = ?1 AND due_at IS NOT NULL",
        None => "DELETE FROM notice WHERE account = ?1 AND due_at IS NOT NULL AND created_at <= ?2",
    };
    tx.conn.prepare_cached(sql)?.execute((account.key, tx.now.millis()))?;
    tx.announce(Change::Alert);
    let note = match target {
        Some((url, _)) => format!("notices to {}", url.masked()),
        None => "no notices".to_owned(),
    };
    audit::note(tx, Action::AccountChanged, Some((&account.profile, id)), Some(id), Some(&note))
}

/// Encrypts the secrets of all accounts with the current key.
///
/// # Errors
/// [`Internal`](crate::error::Error::Internal) for a secret that does not open.
pub fn reseal(tx: &Tx<'_>) -> Result<()> {
    let mut rows =
        tx.conn.prepare_cached("SELECT key, alerts_id, alerts_secret FROM account WHERE alerts_secret IS NOT NULL")?;
    let mut rows = rows.query([])?;
    while let Some(row) = rows.next()? {
        let (key, sealed): (AccountKey, Vec<u8>) = (row.get("key")?, row.get("alerts_secret")?);
        let id = EndpointId::from_bytes(row.get("alerts_id")?);
        let sealed = tx.keys.seal(tx.conn, id, &tx.keys.open(tx.conn, id, &sealed)?)?;
        tx.conn.prepare_cached("UPDATE account SET alerts_secret = ?2 WHERE key = ?1")?.execute((key, sealed))?;
    }
    Ok(())
}
