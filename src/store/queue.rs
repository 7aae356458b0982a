//! The queue of deliveries: claim, settle, give back, interrupt. One verb, one function.
//!
//! Only [`settle`], [`give_back`] and [`interrupt`] end a claim. A claim is identified by the delivery's key and the
//! attempt number: a late report finds another number and changes nothing.

use std::{sync::Arc, time::Duration};

use rusqlite::{OptionalExtension, Row};

pub use super::claim::{Claim, Claimed, Wanted};
use super::{
    Body, Result, SMALL_BODY, Target, Tx, alerts, attempts, cascade, checksum, convert, endpoint_settings, endpoints,
    in_order::{self, Next},
    missed::{self, Kin},
    new_delivery,
    news::Change,
    notices, outages, turns,
};
use crate::domain::{
    delivery::{self, Attempt, DeliveryKey, Failure, Meanwhile, Outcome, Settlement, State},
    endpoint::{EndpointKey, EndpointState},
    event::EventKey,
    failure_details::FailureDetails,
    ids::{DeliveryId, EndpointId, EventId},
    notice,
    profile::{Profile, WhenExhausted},
    timestamp::Timestamp,
};

/// The wait after a fault of this server.
const AFTER_A_FAULT: Duration = Duration::from_secs(1);
/// The wait before an unreadable endpoint is tried again.
const AFTER_UNREADABLE: Duration = Duration::from_secs(60);
/// How many claims of one endpoint are made in one step. No further step begins once the bodies have [`CLAIMED_BYTES`].
const CLAIMED_AT_ONCE: usize = 16;
const CLAIMED_BYTES: usize = CLAIMED_AT_ONCE * SMALL_BODY;

/// Claims due deliveries of these endpoints; fewer if their bodies are large, because claimed bodies are in memory. The
/// other way to be claimed is `deliver_new`, which claims a delivery in the transaction that makes it.
pub fn claim(tx: &Tx<'_>, wanted: &[Wanted]) -> Result<Vec<Claimed>> {
    wanted.iter().map(|wanted| claim_of(tx, wanted)).collect()
}

fn claim_of(tx: &Tx<'_>, &Wanted { endpoint, claims: mut most, large_bytes, from }: &Wanted) -> Result<Claimed> {
    if cascade::state(tx, endpoint)? != EndpointState::Active {
        // Its pending deliveries are not updated yet.
        return Ok(Claimed::nothing(endpoint, None));
    }
    let target = match endpoints::shared_target(tx, endpoint) {
        Ok(target) => target,
        Err(error) => {
            // One unreadable row must not keep the others waiting.
            tracing::error!(%error, "an endpoint cannot be served");
            return Ok(Claimed::nothing(endpoint, Some(tx.now + AFTER_UNREADABLE)));
        }
    };
    if target.sending.ordered {
        return claim_next(tx, &target, large_bytes, from);
    }
    let (mut claims, mut left) = (Vec::new(), Vec::new());
    let mut rows = tx.conn.prepare_cached(
        "UPDATE delivery SET state = 'claimed', due_at = NULL, started_at = ?2, attempts = attempts + 1, tries = tries + 1
         WHERE key IN (SELECT key FROM delivery WHERE endpoint = ?1 AND state = 'pending' AND due_at <= ?2
                       ORDER BY due_at LIMIT ?3)
         RETURNING key, id, attempts, tries, event",
    )?;
    let (mut bytes, mut too_large) = (0, None);
    while most > 0 && bytes < CLAIMED_BYTES && too_large.is_none() {
        let (before, some) = (claims.len(), most.min(CLAIMED_AT_ONCE));
        let mut rows = rows.query((endpoint, tx.now.millis(), some))?;
        while let Some(row) = rows.next()? {
            let (claim, left_out) = read_claim(tx, row, &target, large_bytes)?;
            too_large = too_large.or(left_out);
            bytes += claim.size();
            // The deliveries behind a body that does not fit wait too.
            if too_large.is_none() { claims.push(claim) } else { left.push(claim) }
        }
        most = if claims.len() - before < some { 0 } else { most - some };
    }
    for claim in left {
        give_back(tx, &claim, false)?;
    }
    let mut next = tx.conn.prepare_cached(
        "SELECT due_at FROM delivery WHERE endpoint = ? AND state = 'pending' ORDER BY due_at LIMIT 1",
    )?;
    let next = next.query_row([endpoint], |row| row.get(0)).optional()?;
    Ok(Claimed { endpoint, claims, next: next.map(Timestamp::from_millis), too_large, from })
}

/// Claims the next delivery of an ordered endpoint, if it is due and the one before it has ended.
fn claim_next(tx: &Tx<'_>, target: &Arc<Target>, large_bytes: usize, from: DeliveryKey) -> Result<Claimed> {
    let endpoint = target.key;
    let (next, from) = in_order::next(tx, endpoint, from)?;
    let key = match next {
        Next::Due(key) => key,
        Next::None => return Ok(Claimed { from, ..Claimed::nothing(endpoint, None) }),
        Next::At(at) => return Ok(Claimed { from, ..Claimed::nothing(endpoint, Some(at)) }),
    };
    let mut rows = tx.conn.prepare_cached(
        "UPDATE delivery SET state = 'claimed', due_at = NULL, started_at = ?2, attempts = attempts + 1, tries = tries + 1
         WHERE key = ?1 AND state = 'pending'
         RETURNING key, id, attempts, tries, event",
    )?;
    let mut rows = rows.query((key, tx.now.millis()))?;
    // The end of this attempt makes place for the next look.
    let mut claimed = Claimed { from, ..Claimed::nothing(endpoint, Some(tx.now)) };
    if let Some(row) = rows.next()? {
        let (claim, too_large) = read_claim(tx, row, target, large_bytes)?;
        claimed.too_large = too_large;
        claimed.claims.push(claim);
    }
    drop(rows);
    if claimed.too_large.is_some() {
        claimed.claims.drain(..).try_for_each(|claim| give_back(tx, &claim, false).map(drop))?;
    }
    Ok(claimed)
}

/// A claim; and the size of its body in bytes if the body was left out because it does not fit.
fn read_claim(tx: &Tx<'_>, row: &Row<'_>, target: &Arc<Target>, large_bytes: usize) -> Result<(Claim, Option<usize>)> {
    let key: EventKey = row.get("event")?;
    let checksum::ToSend { id, kind, test, size, body } = checksum::to_send(tx, key)?;
    let (body, left_out) = match body {
        Some(body) => (Some(body.map(Body::from)), None),
        None => (tx.claim_budget.bodies().keep(key, size, large_bytes, || checksum::read_long(tx, key))?, Some(size)),
    };
    let left_out = left_out.filter(|_| body.is_none());
    let claim = Claim {
        key: row.get("key")?,
        delivery: DeliveryId::from_bytes(row.get("id")?),
        attempt: row.get("attempts")?,
        tries: row.get("tries")?,
        event: id,
        kind,
        test,
        body: body.unwrap_or_else(|| Ok(Body::from(""))),
        target: Arc::clone(target),
    };
    Ok((claim, left_out))
}

/// Announces, for each endpoint with pending deliveries, when the first one is due; each endpoint whose last attempt
/// timed out; each one whose receiver asked for a rest; and the settings of endpoints.
pub fn take_up(tx: &Tx<'_>) -> Result<()> {
    endpoint_settings::announce(tx)?;
    // Reads only the first pending delivery of each endpoint.
    let mut rows = tx.conn.prepare(
        "SELECT key, timed_out, rests_until, (SELECT due_at FROM delivery WHERE endpoint = endpoint.key AND state = 'pending'
                                 ORDER BY due_at LIMIT 1) AS due_at
         FROM endpoint WHERE (state = 'active' AND due_at IS NOT NULL)
           OR ((timed_out OR rests_until > ?) AND state != 'deleted')",
    )?;
    let mut rows = rows.query([tx.now.millis()])?;
    while let Some(row) = rows.next()? {
        let endpoint = row.get("key")?;
        if let Some(due_at) = convert::moment_if(row, "due_at")? {
            tx.due(endpoint, due_at);
        }
        if row.get("timed_out")? {
            tx.announce(Change::TimedOut(endpoint));
        }
        if let Some(until) = convert::moment_if(row, "rests_until")?.filter(|until| *until > tx.now) {
            tx.announce(Change::Rests(endpoint, until));
        }
    }
    Ok(())
}

/// An attempt that has ended.
#[derive(Debug)]
pub struct Attempted {
    /// When the POST began.
    pub started_at: Timestamp,
    /// How long the POST took.
    pub duration: Duration,
    /// The outcome.
    pub outcome: Outcome,
    /// Why it failed, for people.
    pub details: FailureDetails,
}

/// Writes the outcome of an attempt and decides what follows, alerts included. `None`: the claim is no longer the
/// caller's, and nothing was changed.
pub fn settle(tx: &Tx<'_>, claim: &Claim, attempted: &Attempted, profile: &Profile) -> Result<Option<Settlement>> {
    let Attempted { started_at, duration, outcome, details } = attempted;
    // A fault of this server costs the receiver no try. Sample data suspends no endpoint.
    let ours = *outcome == Outcome::Failed(Failure::Interrupted);
    let settlement = decide(tx, claim, outcome, profile)?;
    let Some(kin) = leave(tx, claim.owner(), (claim.attempt, claim.tries - u32::from(ours)), settlement)? else {
        return Ok(None);
    };
    let next_attempt_at = match settlement {
        Settlement::Retry(at) => Some(at),
        _ => None,
    };
    let ended = (outcome, details.clone());
    let attempt = Attempt::ended(claim.attempt, *started_at, *duration, ended, next_attempt_at);
    attempts::record(tx, claim.key, &attempt)?;
    match settlement {
        Settlement::Retry(at) => tx.due(claim.target.key, at),
        Settlement::Exhausted(Some(reason)) => endpoints::suspend(tx, claim.target.key, reason)?,
        _ => {}
    }
    // A test delivery is not missed, so it begins no outage.
    if !claim.test {
        outages::note(tx, claim.target.key, claim.key, claim.target.outage, settlement)?;
        if !outcome.failure().is_some_and(Failure::is_ours) {
            turns::note(tx, &claim.target, claim.key, claim.tries, outcome)?;
        }
    }
    missed::settled(tx, claim.key, claim.test, kin, settlement)?;
    if let Settlement::Exhausted(reason) = settlement
        && !claim.test
    {
        let failed = Some((claim.delivery, &attempt));
        notices::add(tx, claim.target.key, notice::Kind::Failed, failed, None)?;
        if reason.is_some() {
            notices::add(tx, claim.target.key, notice::Kind::Suspended, failed, reason)?;
        }
    }
    if !(outcome.is_success() || ours || claim.test) {
        alert(tx, claim, &attempt, settlement, profile)?;
    }
    Ok(Some(settlement))
}

/// Decides what follows from an outcome.
fn decide(tx: &Tx<'_>, claim: &Claim, outcome: &Outcome, profile: &Profile) -> Result<Settlement> {
    if outcome.is_success() {
        return Ok(Settlement::Delivered);
    }
    let endpoint = claim.target.key;
    let state = cascade::state(tx, endpoint)?;
    if *outcome == Outcome::Failed(Failure::Interrupted) {
        return Ok(delivery::interrupt(state, tx.now + AFTER_A_FAULT));
    }
    let when_exhausted = if claim.test { WhenExhausted::StayActive } else { profile.when_exhausted };
    let meanwhile = match when_exhausted {
        WhenExhausted::SuspendIfDead if claim.tries > 1 => turns::meanwhile(tx, endpoint, claim.key)?,
        _ => Meanwhile::Nothing,
    };
    let (tries, policy) = (claim.tries, &profile.retry);
    Ok(delivery::settle(outcome, tries, state, policy, (when_exhausted, meanwhile), tx.now))
}

/// Writes the alert that a failure needs, if it needs one.
fn alert(tx: &Tx<'_>, claim: &Claim, last: &Attempt, settlement: Settlement, profile: &Profile) -> Result<()> {
    let (endpoint, tries) = (claim.target.key, claim.tries);
    let failed = alerts::Failed { endpoint, key: claim.key, id: claim.delivery, tries, last };
    if last.failure == Some(Failure::Damaged) {
        return alerts::warning(tx, &failed);
    }
    match (settlement, profile.warn_after) {
        (Settlement::Exhausted(Some(reason)), _) => alerts::suspended(tx, &failed, reason),
        (Settlement::Retry(_), Some(after)) if tries >= after => alerts::warning(tx, &failed),
        // The delivery was given up, and no other alert says so.
        (Settlement::Exhausted(None), Some(_)) if cascade::state(tx, endpoint)? == EndpointState::Active => {
            alerts::warning(tx, &failed)
        }
        _ => Ok(()),
    }
}

/// Gives back a claim whose attempt never began, as if it had not been claimed: due at once, in its former place in the
/// order. If a fault of this server prevented the attempt, it is due a second later.
pub fn give_back(tx: &Tx<'_>, claim: &Claim, faulty: bool) -> Result<Option<Settlement>> {
    let due_at = if faulty { tx.now + AFTER_A_FAULT } else { new_delivery::place_in_line(tx, claim.key)? };
    let settlement = delivery::interrupt(cascade::state(tx, claim.target.key)?, due_at);
    if leave(tx, claim.owner(), (claim.attempt - 1, claim.tries - 1), settlement)?.is_none() {
        return Ok(None);
    }
    if let Settlement::Retry(at) = settlement {
        // Its lane's turn does not become older by this.
        tx.due(claim.target.key, at.max(tx.now));
    }
    Ok(Some(settlement))
}

/// Which claims are interrupted.
#[derive(Debug)]
pub enum Lost {
    /// All claims: at a start no attempt is under way.
    All,
    /// This claim: its attempt never ended.
    One(DeliveryKey),
}

/// An attempt that never ended.
#[derive(Debug)]
pub struct CutOff {
    /// The public id of its delivery.
    pub delivery: DeliveryId,
    /// The public id of its endpoint.
    pub endpoint: EndpointId,
    /// The profile of its endpoint.
    pub profile: String,
    /// The event's name.
    pub kind: String,
    /// The number of the attempt.
    pub attempt: u32,
}

/// Ends lost claims: each is due at once in its former place in the order, its attempt is recorded as interrupted,
/// and its try is not counted. Returns them.
pub fn interrupt(tx: &Tx<'_>, lost: &Lost) -> Result<Vec<CutOff>> {
    let only = match lost {
        Lost::All => None,
        Lost::One(key) => Some(*key),
    };
    let mut rows = tx.conn.prepare_cached(
        "SELECT d.key, d.id, d.endpoint, d.attempts, d.tries, d.started_at, p.id AS endpoint_id, p.profile, e.kind
         FROM delivery d INDEXED BY delivery_claimed
         CROSS JOIN endpoint p ON p.key = d.endpoint CROSS JOIN event e ON e.key = d.event
         WHERE d.state = 'claimed' AND d.key = ifnull(?, d.key)",
    )?;
    let rows = rows.query_map([only], |row| {
        let cut_off = CutOff {
            delivery: DeliveryId::from_bytes(row.get("id")?),
            endpoint: EndpointId::from_bytes(row.get("endpoint_id")?),
            profile: row.get("profile")?,
            kind: convert::text(row, "kind")?,
            attempt: row.get("attempts")?,
        };
        let (tries, started_at) = (row.get("tries")?, convert::moment(row, "started_at")?);
        Ok((row.get("key")?, row.get("endpoint")?, tries, started_at, cut_off))
    })?;
    let rows: Vec<(DeliveryKey, EndpointKey, u32, Timestamp, CutOff)> = rows.collect::<rusqlite::Result<_>>()?;
    for &(key, endpoint, tries, started_at, CutOff { attempt: number, .. }) in &rows {
        let settlement = delivery::interrupt(cascade::state(tx, endpoint)?, new_delivery::place_in_line(tx, key)?);
        leave(tx, (key, number), (number, tries.saturating_sub(1)), settlement)?;
        let next_attempt_at = (settlement.state() == State::Pending).then_some(tx.now);
        let attempt = Attempt {
            number,
            started_at,
            duration: None,
            failure: Some(Failure::Interrupted),
            status: None,
            response: Vec::new(),
            truncated: false,
            next_attempt_at,
            details: FailureDetails::default(),
        };
        attempts::record(tx, key, &attempt)?;
        if let Settlement::Retry(at) = settlement {
            // Its lane's turn does not become older by this.
            tx.due(endpoint, at.max(tx.now));
        }
    }
    Ok(rows.into_iter().map(|(.., cut_off)| cut_off).collect())
}

/// Moves all due times by this many milliseconds.
pub(super) fn shift(tx: &Tx<'_>, by: i64) -> rusqlite::Result<()> {
    tx.conn.prepare_cached("UPDATE delivery SET due_at = due_at + ? WHERE state = 'pending'")?.execute([by])?;
    tx.news.borrow_mut().shifted += by;
    alerts::shift(tx, by)
}

/// Ends the claimed state of a delivery, if this attempt still owns the claim: otherwise there is no answer.
fn leave(
    tx: &Tx<'_>,
    (key, attempt): (DeliveryKey, u32),
    (attempts, tries): (u32, u32),
    settlement: Settlement,
) -> Result<Option<Kin>> {
    let due_at = match settlement {
        Settlement::Retry(at) => Some(at.millis()),
        _ => None,
    };
    let mut rows = tx.conn.prepare_cached(
        "UPDATE delivery SET state = ?3, due_at = ?4, attempts = ?5, tries = ?6, started_at = NULL
         WHERE key = ?1 AND state = 'claimed' AND attempts = ?2
         RETURNING replay_of IS NOT NULL OR replayed, recovery",
    )?;
    let left = rows.query_row((key, attempt, settlement.state().name(), due_at, attempts, tries), |row| {
        Ok(Kin { is_one_of_several: row.get(0)?, recovery: row.get(1)? })
    });
    Ok(left.optional()?)
}

/// An event that is being published.
pub(super) struct Fresh<'a> {
    pub(super) key: EventKey,
    pub(super) id: EventId,
    pub(super) kind: &'a str,
    pub(super) body: &'a Arc<str>,
}

/// Makes the delivery of a new event to an endpoint. If the claim budget allows, it is claimed in the same statement,
/// and the caller announces the claim. Otherwise it waits for [`claim`], the other way to be claimed.
pub(super) fn deliver_new(
    tx: &Tx<'_>,
    event: &Fresh<'_>,
    endpoint: EndpointKey,
    state: EndpointState,
) -> Result<(DeliveryId, Option<Claim>)> {
    let later = || Ok((new_delivery::enqueue(tx, event.key, endpoint, state, None)?, None));
    if state != EndpointState::Active || event.body.len() > SMALL_BODY || !tx.claim_budget.take(endpoint) {
        return later();
    }
    // Claiming it later reports why the target cannot be read.
    let Ok(target) = endpoints::shared_target(tx, endpoint) else { return later() };
    let id = DeliveryId::mint(tx.now);
    let now = tx.now.millis();
    tx.conn
        .prepare_cached(
            "INSERT INTO delivery (id, event, endpoint, state, attempts, tries, started_at, created_at)
             VALUES (?1, ?2, ?3, 'claimed', 1, 1, ?4, ?4)",
        )?
        .execute((id.to_bytes(), event.key, endpoint, now))?;
    let claim = Claim {
        key: tx.conn.last_insert_rowid(),
        delivery: id,
        attempt: 1,
        tries: 1,
        event: event.id,
        kind: event.kind.to_owned(),
        test: false,
        body: Ok(Arc::clone(event.body).into()),
        target,
    };
    Ok((id, Some(claim)))
}

/// Cancels a pending or held delivery; any other stays as it is.
pub(super) fn cancel(tx: &Tx<'_>, key: DeliveryKey) -> Result<()> {
    let mut rows = tx.conn.prepare_cached(
        "UPDATE delivery SET state = 'cancelled', due_at = NULL WHERE key = ? AND state IN ('pending', 'held')
         RETURNING endpoint",
    )?;
    if let Some(endpoint) = rows.query_row([key], |row| row.get(0)).optional()? {
        // In an ordered endpoint the next one may have waited for it.
        tx.due(endpoint, tx.now);
    }
    Ok(())
}
