//! Retry runs: each replays every matching delivery once.
//!
//! Each replay is its own record of progress: a replayed delivery is skipped. So a run may start again at any time, and
//! does after a restart. Of two runs over the same deliveries, the second replays only what failed again.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Row, named_params};

use super::{
    Db, Result, Tx, View, accounts, audit, cascade, convert,
    deliveries::{self, JOINS},
    queue,
    search::{FITS, Range},
};
use crate::{
    clock::Stopwatch,
    domain::{
        account::AccountKey,
        audit::{Action, Actor},
        delivery::{DeliveryKey, Failure, State},
        endpoint::{EndpointKey, EndpointState},
        event::EventKey,
        ids::{DeliveryId, EndpointId, RetryId, TokenId},
        retry::{Run, RunKey, RunState},
        selection::Selection,
        timestamp::Timestamp,
        token::AccessScope,
    },
    error::{Conflict, Error, Missing},
};

/// Deliveries read at once.
const LOOKED_AT: usize = 1000;
/// Most unfinished deliveries of one endpoint while a run adds replays.
const WAITING: usize = 100;
/// Most running runs of one token, or of the command line.
const RUNNING: usize = 10;

/// The deliveries that a run may replay: a range, up to the newest delivery at some moment.
#[derive(Debug, Clone)]
pub struct Candidates {
    range: Range,
    upto: DeliveryKey,
}

impl Candidates {
    /// The failed deliveries of a selection, or the cancelled ones if it asks for them, up to now. Of a delivery and
    /// its replay only the replay counts; test deliveries are never retried.
    ///
    /// # Errors
    /// [`Error::NotFound`] for an account or a webhook that is not within the scope; [`Error::Invalid`] for a state
    /// that nothing is retried from.
    pub fn new(view: &View<'_>, scope: &AccessScope, selection: Selection) -> Result<Self> {
        let state = selection.state.or(Some(State::Exhausted).filter(|_| selection.delivery.is_none()));
        if !matches!(state, None | Some(State::Exhausted | State::Cancelled)) {
            return Err(Error::request("only what failed or was cancelled can be retried"));
        }
        let range = Range::new(view, scope, Selection { state, ..selection })?;
        let upto = newest(view.conn)?.min(*range.keys(view.conn)?.end());
        Ok(Self { range, upto })
    }

    /// The endpoints in question, each with the key after which there may be candidates.
    pub fn endpoints(&self, view: &View<'_>) -> Result<Vec<(EndpointKey, DeliveryKey)>> {
        let endpoints = match self.range.endpoints(view.conn, i32::MAX as usize)? {
            Some(endpoints) => endpoints,
            None => {
                let mut rows = view.conn.prepare_cached("SELECT key FROM endpoint WHERE ?1 IS NULL OR profile = ?1")?;
                rows.query_map([&self.range.profile], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?
            }
        };
        let after = self.range.keys(view.conn)?.start().saturating_sub(1);
        Ok(endpoints.into_iter().map(|endpoint| (endpoint, after)).collect())
    }
}

fn newest(conn: &Connection) -> Result<DeliveryKey> {
    let mut rows = conn.prepare_cached("SELECT ifnull(max(key), 0) FROM delivery")?;
    Ok(rows.query_row([], |row| row.get(0))?)
}

/// The candidates among some of an endpoint's deliveries.
#[derive(Debug)]
pub struct Look {
    /// The endpoint.
    pub endpoint: EndpointKey,
    /// Whether its deliveries can be replayed: whether it is active.
    pub active: bool,
    /// The matching deliveries, oldest first.
    pub keys: Vec<DeliveryKey>,
    /// The last key that was read.
    pub after: DeliveryKey,
    /// Whether the endpoint has no more.
    pub ended: bool,
}

/// Finds at most `most` further candidates of this endpoint, after the key `after`.
pub fn look(
    view: &View<'_>,
    candidates: &Candidates,
    endpoint: EndpointKey,
    after: DeliveryKey,
    most: usize,
) -> Result<Look> {
    let state = cascade::state_in(view.conn, endpoint)?;
    let active = state == EndpointState::Active;
    if let Some(id) = candidates.range.selection.delivery {
        let keys = deliveries::key_of(view.conn, endpoint, id)?.into_iter().collect();
        return Ok(Look { endpoint, active, keys, after, ended: true });
    }
    let exhausted = candidates.range.selection.state == Some(State::Exhausted);
    let mut rows = view.conn.prepare_cached(match exhausted {
        true => {
            "SELECT key FROM delivery INDEXED BY delivery_exhausted
             WHERE endpoint = ? AND key > ? AND key <= ? AND state = 'exhausted' ORDER BY key LIMIT ?"
        }
        false => {
            "SELECT key FROM delivery INDEXED BY delivery_of_endpoint
             WHERE endpoint = ? AND key > ? AND key <= ? ORDER BY key LIMIT ?"
        }
    })?;
    let keys = rows.query_map((endpoint, after, candidates.upto, LOOKED_AT), |row| row.get(0))?;
    let keys: Vec<DeliveryKey> = keys.collect::<rusqlite::Result<_>>()?;
    let mut look = Look { endpoint, active, keys: Vec::new(), after, ended: keys.len() < LOOKED_AT };
    for key in keys {
        if look.keys.len() == most {
            look.ended = false;
            break;
        }
        look.after = key;
        if is_due(view.conn, &candidates.range, key)? {
            look.keys.push(key);
        }
    }
    Ok(look)
}

/// Whether this delivery is in the range and was not replayed. A delivery that is named alone may have been replayed.
fn is_due(conn: &Connection, range: &Range, key: DeliveryKey) -> Result<bool> {
    let sql = format!(
        "SELECT 1 FROM delivery d {JOINS} JOIN account c ON c.key = p.account
         WHERE d.key = :key AND {FITS} AND (:delivery IS NOT NULL OR e.test = 0 AND d.replayed = 0)"
    );
    Ok(range.query(conn, &sql, key, |_| Ok(()))?.is_some())
}

/// Free replay slots: 100 minus pending and in-flight deliveries. Deliveries under way may fail and wait again; those
/// that wait for their next try count too, so that a receiver that fails at once does not get everything once.
pub fn free_replays(view: &View<'_>, endpoint: EndpointKey) -> Result<usize> {
    let mut rows = view.conn.prepare_cached(
        "SELECT (SELECT count(*) FROM (SELECT 1 FROM delivery WHERE endpoint = ?1 AND state = 'pending' LIMIT ?2))
              + (SELECT count(*) FROM delivery INDEXED BY delivery_claimed WHERE endpoint = ?1 AND state = 'claimed')",
    )?;
    let waiting: usize = rows.query_row((endpoint, WAITING), |row| row.get(0))?;
    Ok(WAITING.saturating_sub(waiting))
}

/// The number of candidates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    /// Matching deliveries.
    pub matched: u64,
    /// Those of them whose webhook is suspended or deleted: a run would skip them.
    pub skipped: u64,
    /// Whether everything was counted within the time.
    pub complete: bool,
}

/// Counts the deliveries that a run over these candidates would replay, in many small reads, for at most `patience`.
///
/// # Errors
/// As [`Db::read_as`].
pub async fn count(db: &Db, actor: Actor, candidates: &Candidates, patience: Duration) -> Result<Count> {
    let (of, watch) = (candidates.clone(), Stopwatch::start());
    let mut count = Count { matched: 0, skipped: 0, complete: true };
    for (endpoint, mut after) in db.read_as(actor, move |view| of.endpoints(view)).await? {
        let mut ended = false;
        while !ended {
            let of = candidates.clone();
            let look = db.read_as(actor, move |view| look(view, &of, endpoint, after, usize::MAX)).await?;
            (after, ended) = (look.after, look.ended);
            count.matched += look.keys.len() as u64;
            count.skipped += if look.active { 0 } else { look.keys.len() as u64 };
            if watch.elapsed() >= patience {
                return Ok(Count { complete: false, ..count });
            }
        }
    }
    Ok(count)
}

/// Starts a run over these candidates. `matched` is their counted number; the run corrects it when it finds more.
///
/// # Errors
/// [`Error::Conflict`] while ten runs of the same actor go on; [`Error::NotFound`] if the account is gone.
pub fn start(tx: &Tx<'_>, candidates: &Candidates, matched: u64) -> Result<Run> {
    let mut rows = tx.conn.prepare_cached("SELECT count(*) FROM retry WHERE state = 'running' AND actor = ?")?;
    let running: usize = rows.query_row([tx.actor().to_string()], |row| row.get(0))?;
    if running >= RUNNING {
        return Err(Error::conflict(
            Conflict::LimitReached,
            format!("{RUNNING} of your retry runs are going on: wait until one has ended, or cancel one"),
        ));
    }
    let id = RetryId::mint(tx.now);
    let Range { profile, selection, .. } = &candidates.range;
    selection.account.as_deref().map(|account| accounts::named(tx, profile.as_deref(), account)).transpose()?;
    tx.conn
        .prepare_cached(
            "INSERT INTO retry (id, created_at, actor, state, upto, profile, account, endpoint, kind, wanted, failure,
                                made_from, made_to, delivery, matched)
             VALUES (?, ?, ?, 'running', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )?
        .execute((
            id.to_bytes(),
            tx.now.millis(),
            tx.actor().to_string(),
            candidates.upto,
            profile,
            &selection.account,
            selection.endpoint.map(|id| id.to_bytes()),
            &selection.kind,
            selection.state.map(State::name),
            selection.failure.map(Failure::name),
            selection.from.map(Timestamp::millis),
            selection.to.map(Timestamp::millis),
            selection.delivery.map(|id| id.to_bytes()),
            matched,
        ))?;
    note(tx, Action::RetryStarted, &find(tx, &all(), id)?)?;
    find(tx, &all(), id)
}

fn all() -> AccessScope {
    AccessScope::EVERYTHING
}

/// Writes an audit entry in the account that the run names, or whose webhook or delivery it names.
fn note(tx: &Tx<'_>, action: Action, run: &Run) -> Result<()> {
    let Selection { account, endpoint, delivery, .. } = &run.selection;
    let (subject, note) = (
        run.id.to_string(),
        match delivery {
            Some(delivery) => delivery.to_string(),
            None => format!("{} matched", run.matched),
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

/// Replays these deliveries for a running run, and counts the skipped ones: those replayed meanwhile, and those whose
/// endpoint is no longer active.
pub fn replay(tx: &Tx<'_>, run: RunKey, candidates: &Candidates, looks: &[Look], ended: bool) -> Result<()> {
    let mut going = tx.conn.prepare_cached("SELECT 1 FROM retry WHERE key = ? AND state = 'running'")?;
    if !going.exists([run])? {
        return Ok(());
    }
    let (mut replayed, mut skipped) = (0, 0);
    for look in looks {
        let active = cascade::state(tx, look.endpoint)? == EndpointState::Active;
        for &key in &look.keys {
            if !active || !is_due(tx.conn, &candidates.range, key)? {
                skipped += 1;
                continue;
            }
            let mut rows = tx.conn.prepare_cached("SELECT event FROM delivery WHERE key = ?")?;
            let event: EventKey = rows.query_row([key], |row| row.get(0))?;
            queue::enqueue(tx, event, look.endpoint, EndpointState::Active, Some(key))?;
            replayed += 1;
        }
    }
    tx.conn
        .prepare_cached(
            "UPDATE retry SET replayed = replayed + ?2, skipped = skipped + ?3,
               matched = max(matched, replayed + ?2 + skipped + ?3),
               state = iif(?4, 'done', 'running'), ended_at = iif(?4, ?5, NULL)
             WHERE key = ?1",
        )?
        .execute((run, replayed, skipped, ended, tx.now.millis()))?;
    Ok(())
}

/// Starts a run again: deliveries that it skips a second time are not counted twice.
pub fn begin_anew(tx: &Tx<'_>, run: RunKey) -> Result<()> {
    tx.conn.prepare_cached("UPDATE retry SET skipped = 0 WHERE key = ? AND state = 'running'")?.execute([run])?;
    Ok(())
}

/// Cancels a run; an ended run stays as it is.
///
/// # Errors
/// [`Error::NotFound`] if there is none within the scope; [`Error::Forbidden`] if somebody outside of them asked for
/// it.
pub fn cancel(tx: &Tx<'_>, scope: &AccessScope, id: RetryId) -> Result<Run> {
    let run = find(tx, scope, id)?;
    if !is_own(&run) {
        let refusal = "somebody else has started this run: they cancel it, or an operator";
        return Err(Error::Forbidden(refusal.to_owned()));
    }
    if run.state == RunState::Running {
        tx.conn
            .prepare_cached("UPDATE retry SET state = 'cancelled', ended_at = ?2 WHERE key = ?1")?
            .execute((run.key, tx.now.millis()))?;
        note(tx, Action::RetryCancelled, &run)?;
    }
    find(tx, scope, id)
}

/// Removes the runs over an account that is being erased, in any state.
pub(super) fn forget(tx: &Tx<'_>, account: AccountKey, id: &str) -> Result<()> {
    tx.conn
        .prepare_cached(
            "DELETE FROM retry WHERE account = ?2 OR endpoint IN (SELECT id FROM endpoint WHERE account = ?1)
               OR EXISTS (SELECT 1 FROM delivery d JOIN endpoint p ON p.key = d.endpoint
                          WHERE d.id = retry.delivery AND p.account = ?1)",
        )?
        .execute((account, id))?;
    Ok(())
}

/// The running runs, oldest first.
pub fn running(view: &View<'_>) -> Result<Vec<(RunKey, Candidates)>> {
    let mut rows = view.conn.prepare_cached("SELECT * FROM retry WHERE state = 'running' ORDER BY key")?;
    let rows = rows.query_map([], |row| {
        let run = read(row)?;
        let range = Range { profile: run.profile, selection: run.selection, named: None };
        Ok((run.key, Candidates { range, upto: row.get("upto")? }))
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

const WITHIN: &str = "(:profile IS NULL OR profile = :profile)
    AND (:account IS NULL OR account = (SELECT id FROM account WHERE key = :account))";

/// One page of runs, newest first, before the one of this id.
///
/// # Errors
/// [`Error::Invalid`] if there is none of this id within the scope.
pub fn list(view: &View<'_>, scope: &AccessScope, before: Option<RetryId>, limit: usize) -> Result<Vec<Run>> {
    let before = before.map_or(Ok(RunKey::MAX), |id| find(view, scope, id).map(|run| run.key));
    let before = before.map_err(Error::of_cursor)?;
    let sql = format!("SELECT * FROM retry WHERE key < :before AND {WITHIN} ORDER BY key DESC LIMIT :limit");
    let mut rows = view.conn.prepare_cached(&sql)?;
    let rows = rows.query_map(
        named_params! { ":before": before, ":profile": scope.profile, ":account": scope.account, ":limit": limit },
        read,
    )?;
    let runs: Vec<Run> = rows.collect::<rusqlite::Result<_>>()?;
    runs.into_iter().map(|run| seen(view.conn, scope, run)).collect()
}

/// The name that a run shows instead of a person outside the reader's scope.
const OUTSIDE: &str = "somebody else";

/// Whether a person within the scope asked for this run, which was found within the same scope.
pub fn is_own(run: &Run) -> bool {
    run.actor != OUTSIDE
}

/// A run as shown within this scope: a person outside the scope who asked for it is not named.
fn seen(conn: &Connection, scope: &AccessScope, run: Run) -> Result<Run> {
    if *scope == all() {
        return Ok(run);
    }
    let mut rows = conn.prepare_cached(
        "SELECT 1 FROM token WHERE id = ?1 AND (?2 IS NULL OR account = ?2) AND (?3 IS NULL OR profile = ?3)",
    )?;
    let token = TokenId::parse(&run.actor).map(|id| id.to_bytes());
    let is_within = rows.exists((token, scope.account, &scope.profile))?;
    Ok(if is_within { run } else { Run { actor: OUTSIDE.to_owned(), ..run } })
}

/// One run.
///
/// # Errors
/// [`Error::NotFound`] if there is none within the scope.
pub fn find(view: &View<'_>, scope: &AccessScope, id: RetryId) -> Result<Run> {
    view.conn
        .prepare_cached(&format!("SELECT * FROM retry WHERE id = :id AND {WITHIN}"))?
        .query_row(named_params! { ":id": id.to_bytes(), ":profile": scope.profile, ":account": scope.account }, read)
        .optional()?
        .ok_or(Error::NotFound(Missing::Retry))
        .and_then(|run| seen(view.conn, scope, run))
}

fn read(row: &Row<'_>) -> rusqlite::Result<Run> {
    let state: String = row.get("state")?;
    let text = |column: &str| row.get::<_, Option<String>>(column);
    Ok(Run {
        key: row.get("key")?,
        id: RetryId::from_bytes(row.get("id")?),
        created_at: convert::moment(row, "created_at")?,
        actor: row.get("actor")?,
        selection: Selection {
            account: row.get("account")?,
            endpoint: row.get::<_, Option<[u8; 16]>>("endpoint")?.map(EndpointId::from_bytes),
            kind: row.get("kind")?,
            state: text("wanted")?.map(|state| convert::state(&state)).transpose()?,
            failure: text("failure")?.map(|failure| convert::failure(&failure)).transpose()?,
            from: convert::moment_if(row, "made_from")?,
            to: convert::moment_if(row, "made_to")?,
            delivery: row.get::<_, Option<[u8; 16]>>("delivery")?.map(DeliveryId::from_bytes),
        },
        profile: row.get("profile")?,
        state: convert::run_state(&state)?,
        matched: row.get("matched")?,
        replayed: row.get("replayed")?,
        skipped: row.get("skipped")?,
        ended_at: convert::moment_if(row, "ended_at")?,
    })
}
