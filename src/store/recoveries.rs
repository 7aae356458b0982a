//! Recoveries: each replays every matching delivery once.
//!
//! Each replay is its own record of progress: a replayed delivery is skipped. So a recovery may start again at any time,
//! and does after a restart. Of two recoveries over the same deliveries, the second replays only what failed again.

use rusqlite::{Connection, OptionalExtension, Row, named_params};

use super::{Result, Tx, View, accounts, audit, candidates::Candidates, convert, search::Range};
use crate::{
    domain::{
        account::AccountKey,
        audit::Action,
        delivery::{Failure, State},
        ids::{DeliveryId, EndpointId, RecoveryId, TokenId},
        recovery::{Recovery, RecoveryKey, RecoveryState},
        selection::Selection,
        timestamp::Timestamp,
        token::Visible,
    },
    error::{Conflict, Error, Missing},
};

/// Most running recoveries of one token, or of the command line.
const RUNNING: usize = 10;

/// A recovery, with the number of its replays that have not ended.
const SELECT: &str = "SELECT recovery.*,
      (SELECT count(*) FROM delivery INDEXED BY delivery_of_recovery
       WHERE recovery = recovery.key AND state IN ('pending', 'claimed', 'held')) AS waiting
    FROM recovery";

/// Starts a recovery over these candidates. `matched` is their counted number; the recovery corrects it when it finds more.
///
/// # Errors
/// [`Error::Conflict`] while ten recoveries of the same actor go on; [`Error::NotFound`] if the account is gone.
pub fn start(tx: &Tx<'_>, candidates: &Candidates, matched: u64) -> Result<Recovery> {
    let mut rows = tx.conn.prepare_cached("SELECT count(*) FROM recovery WHERE state = 'running' AND actor = ?")?;
    let running: usize = rows.query_row([tx.actor().to_string()], |row| row.get(0))?;
    if running >= RUNNING {
        return Err(Error::conflict(
            Conflict::LimitReached,
            format!("{RUNNING} of your recoveries are going on: wait until one has ended, or cancel one"),
        ));
    }
    let id = RecoveryId::mint(tx.now);
    let Range { profile, selection, .. } = &candidates.range;
    selection.account.as_deref().map(|account| accounts::named(tx, profile.as_deref(), account)).transpose()?;
    tx.conn
        .prepare_cached(
            "INSERT INTO recovery (id, created_at, actor, state, upto, profile, account, endpoint, url, kind, wanted,
                                   failure, made_from, made_to, delivery, matched)
             VALUES (?, ?, ?, 'running', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )?
        .execute((
            id.to_bytes(),
            tx.now.millis(),
            tx.actor().to_string(),
            candidates.upto,
            profile,
            &selection.account,
            selection.endpoint.map(|id| id.to_bytes()),
            &selection.url,
            &selection.kind,
            selection.state.map(State::name),
            selection.failure.map(Failure::name),
            selection.from.map(Timestamp::millis),
            selection.to.map(Timestamp::millis),
            selection.delivery.map(|id| id.to_bytes()),
            matched,
        ))?;
    note(tx, Action::RecoveryStarted, &find(tx, &all(), id)?)?;
    find(tx, &all(), id)
}

fn all() -> Visible {
    Visible::EVERYTHING
}

/// Writes an audit entry in the account that the recovery names, or whose webhook or delivery it names.
fn note(tx: &Tx<'_>, action: Action, recovery: &Recovery) -> Result<()> {
    let Selection { account, endpoint, delivery, .. } = &recovery.selection;
    let (subject, note) = (
        recovery.id.to_string(),
        match delivery {
            Some(delivery) => delivery.to_string(),
            None => format!("{} matched", recovery.matched),
        },
    );
    let mut rows = tx.conn.prepare_cached(
        "SELECT id FROM account WHERE id = ?1 UNION ALL
         SELECT account.id FROM endpoint JOIN account ON account.key = account WHERE endpoint.id = ?2 UNION ALL
         SELECT account.id FROM delivery JOIN endpoint ON endpoint.key = endpoint JOIN account ON account.key = account
           WHERE delivery.id = ?3
         LIMIT 1",
    )?;
    let ids = (account, endpoint.map(|id| id.to_bytes()), delivery.map(|id| id.to_bytes()));
    let whose: Option<String> = rows.query_row(ids, |row| row.get(0)).optional()?;
    match whose {
        Some(account) => audit::of_account(tx, action, &account, &subject, Some(&note)),
        None => audit::note(tx, action, None, Some(&subject), Some(&note)),
    }
}

/// Starts a recovery again: deliveries that it skips a second time are not counted twice.
pub fn begin_anew(tx: &Tx<'_>, recovery: RecoveryKey) -> Result<()> {
    tx.conn
        .prepare_cached("UPDATE recovery SET skipped = 0 WHERE key = ? AND state = 'running'")?
        .execute([recovery])?;
    Ok(())
}

/// Cancels a recovery; an ended recovery stays as it is.
///
/// # Errors
/// [`Error::NotFound`] if none is visible; [`Error::Forbidden`] if somebody outside of them asked for
/// it.
pub fn cancel(tx: &Tx<'_>, visible: &Visible, id: RecoveryId) -> Result<Recovery> {
    let recovery = find(tx, visible, id)?;
    if !is_own(&recovery) {
        let refusal = "somebody else has started this recovery: they cancel it, or an operator";
        return Err(Error::Forbidden(refusal.to_owned()));
    }
    if recovery.state == RecoveryState::Running {
        tx.conn
            .prepare_cached("UPDATE recovery SET state = 'cancelled', ended_at = ?2 WHERE key = ?1")?
            .execute((recovery.key, tx.now.millis()))?;
        note(tx, Action::RecoveryCancelled, &recovery)?;
    }
    find(tx, visible, id)
}

/// Removes the recoveries over an account that is being erased, in any state.
pub(super) fn forget(tx: &Tx<'_>, account: AccountKey, id: &str) -> Result<()> {
    tx.conn
        .prepare_cached(
            "DELETE FROM recovery WHERE account = ?2 OR endpoint IN (SELECT id FROM endpoint WHERE account = ?1)
               OR EXISTS (SELECT 1 FROM delivery d JOIN endpoint p ON p.key = d.endpoint
                          WHERE d.id = recovery.delivery AND p.account = ?1)",
        )?
        .execute((account, id))?;
    Ok(())
}

/// The running recoveries, oldest first.
pub fn running(view: &View<'_>) -> Result<Vec<(RecoveryKey, Candidates)>> {
    let mut rows = view.conn.prepare_cached(&format!("{SELECT} WHERE state = 'running' ORDER BY key"))?;
    let rows = rows.query_map([], |row| {
        let recovery = read(row)?;
        let range = Range { profile: recovery.profile, selection: recovery.selection, named: None };
        Ok((recovery.key, Candidates { range, upto: row.get("upto")? }))
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

const WITHIN: &str = "(:profile IS NULL OR profile = :profile)
    AND (:account IS NULL OR account = (SELECT id FROM account WHERE key = :account))";

/// One page of recoveries, newest first, before the one of this id.
///
/// # Errors
/// [`Error::Invalid`] if none of this id is visible.
pub fn list(view: &View<'_>, visible: &Visible, before: Option<RecoveryId>, limit: usize) -> Result<Vec<Recovery>> {
    let before = before.map_or(Ok(RecoveryKey::MAX), |id| find(view, visible, id).map(|recovery| recovery.key));
    let before = before.map_err(Error::of_cursor)?;
    let sql = format!("{SELECT} WHERE key < :before AND {WITHIN} ORDER BY key DESC LIMIT :limit");
    let mut rows = view.conn.prepare_cached(&sql)?;
    let rows = rows.query_map(
        named_params! { ":before": before, ":profile": visible.profile, ":account": visible.account, ":limit": limit },
        read,
    )?;
    let recoveries: Vec<Recovery> = rows.collect::<rusqlite::Result<_>>()?;
    recoveries.into_iter().map(|recovery| seen(view.conn, visible, recovery)).collect()
}

/// The name that a recovery shows instead of a person outside the reader's view.
const OUTSIDE: &str = "somebody else";

/// Whether a visible person asked for this recovery, which was found within the visible part.
pub fn is_own(recovery: &Recovery) -> bool {
    recovery.actor != OUTSIDE
}

/// A recovery as shown within the visible part: a person who is not visible and asked for it is not named.
fn seen(conn: &Connection, visible: &Visible, recovery: Recovery) -> Result<Recovery> {
    if *visible == all() {
        return Ok(recovery);
    }
    let mut rows = conn.prepare_cached(
        "SELECT 1 FROM token WHERE id = ?1 AND (?2 IS NULL OR account = ?2) AND (?3 IS NULL OR profile = ?3)",
    )?;
    let token = TokenId::parse(&recovery.actor).map(|id| id.to_bytes());
    let is_within = rows.exists((token, visible.account, &visible.profile))?;
    Ok(if is_within { recovery } else { Recovery { actor: OUTSIDE.to_owned(), ..recovery } })
}

/// One recovery.
///
/// # Errors
/// [`Error::NotFound`] if none is visible.
pub fn find(view: &View<'_>, visible: &Visible, id: RecoveryId) -> Result<Recovery> {
    view.conn
        .prepare_cached(&format!("{SELECT} WHERE id = :id AND {WITHIN}"))?
        .query_row(
            named_params! { ":id": id.to_bytes(), ":profile": visible.profile, ":account": visible.account },
            read,
        )
        .optional()?
        .ok_or(Error::NotFound(Missing::Recovery))
        .and_then(|recovery| seen(view.conn, visible, recovery))
}

fn read(row: &Row<'_>) -> rusqlite::Result<Recovery> {
    let state: String = row.get("state")?;
    let text = |column: &str| row.get::<_, Option<String>>(column);
    Ok(Recovery {
        key: row.get("key")?,
        id: RecoveryId::from_bytes(row.get("id")?),
        created_at: convert::moment(row, "created_at")?,
        actor: row.get("actor")?,
        selection: Selection {
            account: row.get("account")?,
            endpoint: row.get::<_, Option<[u8; 16]>>("endpoint")?.map(EndpointId::from_bytes),
            url: row.get("url")?,
            kind: row.get("kind")?,
            state: text("wanted")?.map(|state| convert::state(&state)).transpose()?,
            failure: text("failure")?.map(|failure| convert::failure(&failure)).transpose()?,
            from: convert::moment_if(row, "made_from")?,
            to: convert::moment_if(row, "made_to")?,
            delivery: row.get::<_, Option<[u8; 16]>>("delivery")?.map(DeliveryId::from_bytes),
        },
        profile: row.get("profile")?,
        state: convert::recovery_state(&state)?,
        matched: row.get("matched")?,
        replayed: row.get("replayed")?,
        skipped: row.get("skipped")?,
        delivered: row.get("delivered")?,
        failed: row.get("failed")?,
        waiting: row.get("waiting")?,
        ended_at: convert::moment_if(row, "ended_at")?,
    })
}
