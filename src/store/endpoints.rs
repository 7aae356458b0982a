//! Endpoints: register, change, suspend, resume, delete, find.

use std::{
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use rusqlite::{OptionalExtension, Row};

use super::{
    Result, Target, Tx, View, audit, cascade, convert, endpoint_settings, keyring::key_of, news::Change, outages,
    own_headers,
};
use crate::{
    domain::{
        about::About,
        account::Account,
        audit::Action,
        endpoint::{
            Endpoint, EndpointKey, EndpointState, EventFilter, Resend, Resumed, SuspendedReason, TargetUrl, masked,
        },
        endpoint_settings::{EndpointSettings, Sending},
        ids::EndpointId,
        signature::SigningSecret,
        timestamp::Timestamp,
        token::Visible,
    },
    error::{Conflict, Error, Missing},
};

/// All of an endpoint, and the id of its account. An erased account has no endpoints.
pub(super) const SELECT: &str = "SELECT endpoint.*, account.id AS account_id
    FROM endpoint JOIN account ON account.key = endpoint.account AND account.profile != ''";

/// Deleted endpoints shown in a list.
const DELETED_SHOWN: usize = 1000;

/// Registers an endpoint, active at once.
///
/// # Errors
/// [`Error::Conflict`] when the account already has `most` endpoints.
pub fn create(
    tx: &Tx<'_>,
    account: &Account,
    url: TargetUrl,
    events: EventFilter,
    secret: &SigningSecret,
    most: u64,
) -> Result<Endpoint> {
    let mut count = tx.conn.prepare_cached("SELECT count(*) FROM endpoint WHERE account = ? AND state != 'deleted'")?;
    if count.query_row([account.key], |row| row.get::<_, u64>(0))? >= most {
        return Err(Error::conflict(
            Conflict::LimitReached,
            format!("this account has {most} webhooks already, as many as one may have: delete one first"),
        ));
    }
    let id = EndpointId::mint(tx.now);
    tx.conn
        .prepare_cached(
            "INSERT INTO endpoint (id, account, profile, url, given_url, events, state, created_at, secret)
             VALUES (?, ?, ?, ?, ?, ?, 'active', ?, ?)",
        )?
        .execute((
            id.to_bytes(),
            account.key,
            &account.profile,
            url.as_str(),
            url.given_otherwise(),
            events.to_string(),
            tx.now.millis(),
            tx.keys.seal(tx.conn, id, secret)?,
        ))?;
    let key = tx.conn.last_insert_rowid();
    audit::of_endpoint(tx, Action::WebhookCreated, key, Some(&url.masked()))?;
    Ok(Endpoint {
        key,
        id,
        account_id: account.id.clone(),
        url,
        about: About::default(),
        settings: EndpointSettings::default(),
        header_names: Vec::new(),
        headers_mark: own_headers::mark(None),
        events,
        state: EndpointState::Active,
        suspended_at: None,
        suspended_reason: None,
        deleted_at: None,
        secret_at: None,
        created_at: tx.now,
    })
}

/// Changes where an endpoint's deliveries go, from the next attempt on.
pub fn set_url(tx: &Tx<'_>, key: EndpointKey, url: &TargetUrl) -> Result<()> {
    let moved = tx
        .conn
        .prepare_cached(
            "UPDATE endpoint SET url = ?1, given_url = ?3 WHERE key = ?2 AND (url != ?1 OR given_url IS NOT ?3)",
        )?
        .execute((url.as_str(), key, url.given_otherwise()))?;
    if moved == 1 {
        tx.conn.prepare_cached("UPDATE endpoint SET rests_until = NULL WHERE key = ?")?.execute([key])?;
        tx.changed(key);
        tx.announce(Change::Restarted(key));
        audit::of_endpoint(tx, Action::WebhookChanged, key, Some(&format!("url {}", url.masked())))?;
    }
    Ok(())
}

/// Changes which events an endpoint wants, from the next publish on.
pub fn set_events(tx: &Tx<'_>, key: EndpointKey, events: &EventFilter) -> Result<()> {
    let events = events.to_string();
    let changed = tx
        .conn
        .prepare_cached("UPDATE endpoint SET events = ?1 WHERE key = ?2 AND events != ?1")?
        .execute((&events, key))?;
    if changed == 1 {
        audit::of_endpoint(tx, Action::WebhookChanged, key, Some(&format!("events {events}")))?;
    }
    Ok(())
}

/// Writes the name and the description of an endpoint that was just registered.
pub fn describe(tx: &Tx<'_>, endpoint: EndpointKey, about: &About) -> Result<()> {
    let sql = "UPDATE endpoint SET name = ?2, description = ?3 WHERE key = ?1";
    tx.conn.prepare_cached(sql)?.execute((endpoint, &about.name, &about.description))?;
    Ok(())
}

/// Changes the name and the description of an endpoint.
pub fn set_about(tx: &Tx<'_>, endpoint: &Endpoint, about: &About) -> Result<()> {
    if endpoint.about == *about {
        return Ok(());
    }
    describe(tx, endpoint.key, about)?;
    let note = if endpoint.about.name == about.name { "description" } else { "name" };
    audit::of_endpoint(tx, Action::WebhookChanged, endpoint.key, Some(note))
}

/// Adds a new key to the key file; later secrets are sealed with it.
///
/// # Errors
/// A key file that cannot be written.
pub fn add_key(tx: &Tx<'_>) -> Result<()> {
    tx.keys.add(tx.conn)?;
    audit::note(tx, Action::KeyRotated, None, tx.keys.mark().as_deref(), None)
}

/// Encrypts the secrets of the next `at_once` endpoints after `from` with the current key. Returns the key of the last
/// one, or `None` when there are no more.
///
/// # Errors
/// A secret that does not open.
pub fn reseal(tx: &Tx<'_>, from: EndpointKey, at_once: usize) -> Result<Option<EndpointKey>> {
    let mut rows = tx.conn.prepare_cached(
        "SELECT key, id, secret, former_secret, own_headers FROM endpoint WHERE key > ? AND secret != x'' ORDER BY key LIMIT ?",
    )?;
    let mut rows = rows.query((from, at_once))?;
    let mut last = None;
    while let Some(row) = rows.next()? {
        let key: EndpointKey = row.get("key")?;
        let id = EndpointId::from_bytes(row.get("id")?);
        let again = |sealed: Vec<u8>| tx.keys.seal(tx.conn, id, &tx.keys.open(tx.conn, id, &sealed)?);
        let secret = again(row.get("secret")?)?;
        let former = row.get::<_, Option<Vec<u8>>>("former_secret")?.map(again).transpose()?;
        tx.conn
            .prepare_cached("UPDATE endpoint SET secret = ?2, former_secret = ?3 WHERE key = ?1")?
            .execute((key, secret, former))?;
        row.get::<_, Option<Vec<u8>>>("own_headers")?
            .map(|former| own_headers::reseal(tx, key, id, former))
            .transpose()?;
        last = Some(key);
    }
    Ok(last)
}

/// Removes the old keys from the key file if no secret needs them; returns whether it did.
///
/// # Errors
/// A key file that cannot be written.
pub fn forget_old_keys(tx: &Tx<'_>) -> Result<bool> {
    // Another rotation may have added a key meanwhile.
    tx.keys.refresh(tx.conn)?;
    let current = tx.keys.current();
    let mut rows = tx.conn.prepare_cached(
        "SELECT secret FROM endpoint WHERE secret != x''
         UNION ALL SELECT former_secret FROM endpoint WHERE former_secret IS NOT NULL
         UNION ALL SELECT sealed FROM answer
         UNION ALL SELECT alerts_secret FROM account WHERE alerts_secret IS NOT NULL",
    )?;
    let mut rows = rows.query([])?;
    while let Some(row) = rows.next()? {
        if key_of(&row.get::<_, Vec<u8>>(0)?) != current {
            return Ok(false);
        }
    }
    let mut rows = tx.conn.prepare_cached("SELECT own_headers FROM endpoint WHERE own_headers IS NOT NULL")?;
    let mut rows = rows.query([])?;
    while let Some(row) = rows.next()? {
        if key_of(own_headers::sealed(&row.get::<_, Vec<u8>>(0)?)) != current {
            return Ok(false);
        }
    }
    tx.keys.keep_current(tx.conn)?;
    Ok(true)
}

/// Suspends an active endpoint and holds its pending deliveries.
pub fn suspend(tx: &Tx<'_>, key: EndpointKey, reason: SuspendedReason) -> Result<()> {
    let suspended = tx
        .conn
        .prepare_cached(
            "UPDATE endpoint SET state = 'suspended', suspended_at = ?2, suspended_reason = ?3
             WHERE key = ?1 AND state = 'active'",
        )?
        .execute((key, tx.now.millis(), reason.name()))?;
    tx.changed(key);
    if suspended == 0 {
        return Ok(());
    }
    audit::of_endpoint(tx, Action::WebhookSuspended, key, Some(reason.name()))?;
    cascade::follow(tx, key)
}

/// Resumes a suspended endpoint. The deliveries it has failed since its last success are resent, or left as they are;
/// then the held ones are due at once. Returns how many of each; `None` if it is not suspended.
pub fn resume(tx: &Tx<'_>, key: EndpointKey, resend: Resend) -> Result<Option<Resumed>> {
    if cascade::state(tx, key)? != EndpointState::Suspended {
        return Ok(None);
    }
    let resent = match resend {
        Resend::Failed => outages::failed(tx.conn, key)?,
        Resend::Nothing => 0,
    };
    let resumed = Resumed { resent, released: cascade::held(tx.conn, key)? };
    tx.conn
        .prepare_cached(
            "UPDATE endpoint SET state = 'active', suspended_at = NULL, suspended_reason = NULL,
               resend = iif(?2, (SELECT max(key) FROM delivery), NULL), resumed_at = ?3, rests_until = NULL
             WHERE key = ?1",
        )?
        .execute((key, resent > 0, tx.now.millis()))?;
    let note = (!resumed.is_nothing()).then(|| resumed.to_string());
    audit::of_endpoint(tx, Action::WebhookResumed, key, note.as_deref())?;
    tx.announce(Change::Restarted(key));
    cascade::follow(tx, key)?;
    Ok(Some(resumed))
}

/// Deletes an endpoint, wipes its secrets and cancels its pending and held deliveries. Its row stays, for the record of
/// its deliveries.
pub fn delete(tx: &Tx<'_>, key: EndpointKey) -> Result<()> {
    let deleted = tx
        .conn
        .prepare_cached(
            "UPDATE endpoint SET state = 'deleted', deleted_at = ?2, suspended_at = NULL, suspended_reason = NULL,
               secret = x'', own_headers = NULL, former_secret = NULL, former_until = NULL, former_leads = 0, resend = NULL
             WHERE key = ?1 AND state != 'deleted'",
        )?
        .execute((key, tx.now.millis()))?;
    if deleted == 0 {
        return Ok(());
    }
    tx.changed(key);
    tx.announce(Change::Sending(key, Sending::default()));
    audit::of_endpoint(tx, Action::WebhookDeleted, key, None)?;
    cascade::follow(tx, key)
}

/// Notes whether the last attempt to an endpoint timed out.
pub fn set_timed_out(tx: &Tx<'_>, key: EndpointKey, timed_out: bool) -> Result<()> {
    tx.conn.prepare_cached("UPDATE endpoint SET timed_out = ? WHERE key = ?")?.execute((timed_out, key))?;
    Ok(())
}

/// Notes that the receiver of an endpoint asked for a rest of this length, and announces its end.
pub fn set_rest(tx: &Tx<'_>, target: &Target, wait: Duration) -> Result<()> {
    // The receiver of a former URL asked for itself.
    let sql = "UPDATE endpoint SET rests_until = max(ifnull(rests_until, 0), ?) WHERE key = ? AND url = ?";
    tx.conn.prepare_cached(sql)?.execute(((tx.now + wait).millis(), target.key, target.url.as_str()))?;
    let mut until = tx.conn.prepare_cached("SELECT rests_until FROM endpoint WHERE key = ?")?;
    let until: Option<Option<i64>> = until.query_row([target.key], |row| row.get(0)).optional()?;
    tx.announce(Change::Rests(target.key, until.flatten().map_or(tx.now, Timestamp::from_millis)));
    Ok(())
}

/// Moves the times in the rows of endpoints by this many milliseconds: ends of overlaps and rests, last results,
/// resumes, deletions.
pub(super) fn shift(tx: &Tx<'_>, by: i64) -> rusqlite::Result<()> {
    let sql = "UPDATE endpoint SET former_until = former_until + ?1, last_success_at = last_success_at + ?1,
                 last_failure_at = last_failure_at + ?1, resumed_at = resumed_at + ?1,
                 rests_until = rests_until + ?1, deleted_at = deleted_at + ?1
               WHERE former_until IS NOT NULL OR last_success_at IS NOT NULL OR last_failure_at IS NOT NULL
                 OR resumed_at IS NOT NULL OR rests_until IS NOT NULL OR deleted_at IS NOT NULL";
    tx.conn.prepare_cached(sql)?.execute([by]).map(drop)
}

/// The target of an endpoint: its present URL and secrets.
pub fn target(tx: &Tx<'_>, key: EndpointKey) -> Result<Target> {
    let mut rows = tx.conn.prepare_cached(
        "SELECT id, account, profile, url, secret, former_secret, former_until, former_leads, outage, turns, rate_limit, ordered,
           own_headers
         FROM endpoint WHERE key = ?",
    )?;
    let mut rows = rows.query([key])?;
    let row = rows.next()?.ok_or(Error::NotFound(Missing::Webhook))?;
    let id = EndpointId::from_bytes(row.get("id")?);
    let mut secrets = vec![tx.keys.open(tx.conn, id, &row.get::<_, Vec<u8>>("secret")?)?];
    let overlaps = convert::moment_if(row, "former_until")?.is_some_and(|until| tx.now < until);
    if let Some(former) = row.get::<_, Option<Vec<u8>>>("former_secret")?.filter(|_| overlaps) {
        let place = if row.get("former_leads")? { 0 } else { 1 };
        secrets.insert(place, tx.keys.open(tx.conn, id, &former)?);
    }
    Ok(Target {
        key,
        id,
        account: row.get("account")?,
        profile: row.get("profile")?,
        url: TargetUrl::from_stored(&row.get::<_, String>("url")?)?,
        secrets,
        sending: endpoint_settings::sending(row)?,
        headers: own_headers::of(tx, id, row.get("own_headers")?)?,
        outage: row.get("outage")?,
        turns: row.get("turns")?,
        read_at: tx.now,
        stale: AtomicBool::new(false),
    })
}

/// The target of an endpoint, shared with its other claims.
///
/// # Errors
/// A secret or a URL that cannot be read.
pub(super) fn shared_target(tx: &Tx<'_>, endpoint: EndpointKey) -> Result<Arc<Target>> {
    if let Some(target) = tx.targets.borrow().held(endpoint, tx.now) {
        return Ok(target);
    }
    let read = Arc::new(target(tx, endpoint)?);
    tx.targets.borrow_mut().note(&read);
    Ok(read)
}

/// The endpoint of this id, deleted ones included.
///
/// # Errors
/// [`Error::NotFound`] if none is visible.
pub fn find(view: &View<'_>, visible: &Visible, id: EndpointId) -> Result<Endpoint> {
    view.conn
        .prepare_cached(&format!(
            "{SELECT} WHERE endpoint.id = ?1 AND (?2 IS NULL OR endpoint.profile = ?2) AND (?3 IS NULL OR account = ?3)"
        ))?
        .query_row((id.to_bytes(), &visible.profile, visible.account), read)
        .optional()?
        .ok_or(Error::NotFound(Missing::Webhook))
}

/// Every visible endpoint that is not deleted, and the newest 1,000 of those that were deleted since this time,
/// in the order they were registered: at most `most` of those after the one with the key `after`.
pub fn list(
    view: &View<'_>,
    visible: &Visible,
    deleted_since: Timestamp,
    (after, most): (EndpointKey, Option<usize>),
) -> Result<Vec<Endpoint>> {
    let of = if visible.account.is_some() { "account = ?2" } else { "?2 IS NULL" };
    // An account may have deleted any number of endpoints.
    let mut rows = view.conn.prepare_cached(&format!(
        "{SELECT} WHERE {of} AND (?1 IS NULL OR endpoint.profile = ?1)
           AND (endpoint.state != 'deleted' OR endpoint.deleted_at >= ?3 AND endpoint.key >= ifnull(
               (SELECT key FROM endpoint WHERE {of} AND state = 'deleted' ORDER BY key DESC LIMIT 1 OFFSET {DELETED_SHOWN} - 1), 0))
           AND endpoint.key > ?4
         ORDER BY endpoint.key LIMIT ifnull(?5, -1)"
    ))?;
    Ok(rows
        .query_map((&visible.profile, visible.account, deleted_since.millis(), after, most), read)?
        .collect::<rusqlite::Result<_>>()?)
}

/// The number of deliveries held for an endpoint.
pub fn held(view: &View<'_>, key: EndpointKey) -> Result<u64> {
    cascade::held(view.conn, key)
}

/// The number of deliveries that an endpoint has failed since its last success and that were not replayed: a resume
/// resends them.
pub fn failed(view: &View<'_>, key: EndpointKey) -> Result<u64> {
    outages::failed(view.conn, key)
}

pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Endpoint> {
    let url: String = row.get("url")?;
    let target = TargetUrl::from_stored(&url).map_err(|_| convert::unreadable(&masked(&url)))?;
    let given: Option<String> = row.get("given_url")?;
    Ok(Endpoint {
        key: row.get("key")?,
        id: EndpointId::from_bytes(row.get("id")?),
        account_id: row.get("account_id")?,
        url: target.as_given(given.as_deref()),
        about: About { name: row.get("name")?, description: row.get("description")? },
        settings: endpoint_settings::read(row)?,
        header_names: own_headers::names(row)?,
        headers_mark: own_headers::mark(row.get::<_, Option<Vec<u8>>>("own_headers")?.as_deref()),
        events: EventFilter::from_stored(&row.get::<_, String>("events")?),
        state: convert::endpoint_state(&row.get::<_, String>("state")?)?,
        suspended_at: convert::moment_if(row, "suspended_at")?,
        suspended_reason: convert::suspended_reason(row.get("suspended_reason")?)?,
        deleted_at: convert::moment_if(row, "deleted_at")?,
        secret_at: convert::moment_if(row, "secret_at")?,
        created_at: convert::moment(row, "created_at")?,
    })
}
