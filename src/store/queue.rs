//! The queue: claim, settle, recover; hold, resume, cancel. One verb, one function.
//!
//! Only [`settle`] and recovery end a claim. A claim is owned by its delivery's key and the number of its attempt: whoever
//! comes late finds another number there, and changes nothing.

use std::{sync::Arc, time::Duration};

use rusqlite::{OptionalExtension, Row};

use super::{Tx, alerts, convert, endpoints, lanes};
use crate::{
    domain::{
        delivery::{self, Attempt, DeliveryKey, Failure, Outcome, Settlement, State},
        endpoint::{EndpointKey, EndpointState, TargetUrl},
        event::EventKey,
        ids::{DeliveryId, EndpointId, EventId},
        profile::{Profile, WhenExhausted},
        signature::SigningSecret,
        timestamp::Timestamp,
    },
    error::Result,
};

/// How long to wait after a fault of our own.
const AFTER_A_FAULT: Duration = Duration::from_secs(1);
/// How long to wait before an endpoint that cannot be read is looked at again.
const AFTER_UNREADABLE: Duration = Duration::from_secs(60);

/// How much may be claimed.
#[derive(Debug, Clone, Copy)]
pub struct Places {
    /// Free places in all.
    pub free: usize,
    /// Free places for endpoints on probation, at most: those whose last attempt timed out.
    pub free_probation: usize,
    /// Most places that one endpoint may hold.
    pub per_endpoint: usize,
}

/// Where a delivery goes, as it stands when it is sent.
#[derive(Debug)]
pub struct Target {
    /// The key of the endpoint's row.
    pub key: EndpointKey,
    /// Its public id.
    pub id: EndpointId,
    /// The name of its profile.
    pub profile: String,
    /// Where to POST.
    pub url: TargetUrl,
    /// What to sign with: the present secret, and the former one while it overlaps.
    pub secrets: Vec<SigningSecret>,
}

/// A delivery that this server alone may attempt, until it is settled or the lease ends.
#[derive(Debug)]
pub struct Claim {
    /// The key of the delivery's row.
    pub key: DeliveryKey,
    /// The public id of the delivery.
    pub delivery: DeliveryId,
    /// The number of this attempt; with the key, who owns the claim.
    pub attempt: u32,
    /// Tries of this schedule, this one included.
    pub tries: u32,
    /// When the attempt began.
    pub started_at: Timestamp,
    /// Whether the endpoint was on probation.
    pub probation: bool,
    /// The event's public id.
    pub event: EventId,
    /// The event's name.
    pub kind: String,
    /// Whether it is sample data.
    pub test: bool,
    /// The stored body, for the envelope to finish.
    pub body: String,
    /// Where it goes.
    pub target: Arc<Target>,
}

/// Claims due deliveries, lane by lane, and says when to look again.
///
/// # Errors
/// Faults of the database only.
pub fn claim(tx: &Tx<'_>, places: Places, lease: Duration) -> Result<(Vec<Claim>, Option<Timestamp>)> {
    let mut claims = Vec::new();
    let lanes = turns(tx, places)?;
    let quotas = share(&lanes, places);
    for (lane, quota) in lanes.iter().zip(quotas).filter(|(_, quota)| *quota > 0) {
        let target = match endpoints::target(tx, lane.endpoint) {
            Ok(target) => Arc::new(target),
            Err(error) => {
                // One unreadable row must not keep the others waiting.
                tracing::error!(%error, "an endpoint cannot be served");
                lanes::postpone(tx, lane.endpoint, tx.now + AFTER_UNREADABLE)?;
                continue;
            }
        };
        let before = claims.len();
        let mut rows = tx.conn.prepare_cached(
            "UPDATE delivery SET state = 'claimed', due_at = NULL, started_at = ?2, lease_until = ?3,
                                 attempts = attempts + 1, tries = tries + 1
             WHERE key IN (SELECT key FROM delivery WHERE endpoint = ?1 AND state = 'pending' AND due_at <= ?2
                           ORDER BY due_at LIMIT ?4)
             RETURNING key, id, attempts, tries, event",
        )?;
        let mut rows = rows.query((lane.endpoint, tx.now.millis(), (tx.now + lease).millis(), quota))?;
        while let Some(row) = rows.next()? {
            claims.push(read_claim(tx, row, lane.probation, &target)?);
        }
        let claimed = claims.len() - before;
        lanes::served(tx, lane, claimed, lane.in_flight + claimed >= lane.limit(places.per_endpoint))?;
    }
    let probation = claims.iter().filter(|claim| claim.probation).count();
    Ok((claims, lanes::next_turn(tx, probation < places.free_probation)?))
}

/// The lanes to be served, those that have waited longest first, each kind within its places.
fn turns(tx: &Tx<'_>, places: Places) -> Result<Vec<lanes::Lane>> {
    let mut turns = lanes::ready(tx, false, places.free)?;
    turns.extend(lanes::ready(tx, true, places.free.min(places.free_probation))?);
    turns.sort_by_key(|lane| lane.turn_at);
    turns.truncate(places.free);
    Ok(turns)
}

/// Deals the free places out one by one, round after round, so that no lane gets a second before each has had a first.
fn share(lanes: &[lanes::Lane], places: Places) -> Vec<usize> {
    let mut free = places.free;
    let mut quotas = vec![0; lanes.len()];
    loop {
        let before = free;
        for (lane, quota) in lanes.iter().zip(&mut quotas) {
            if free > 0 && lane.in_flight + *quota < lane.limit(places.per_endpoint) {
                *quota += 1;
                free -= 1;
            }
        }
        if free == before {
            return quotas;
        }
    }
}

fn read_claim(tx: &Tx<'_>, row: &Row<'_>, probation: bool, target: &Arc<Target>) -> Result<Claim> {
    let event: EventKey = row.get("event")?;
    let mut events = tx.conn.prepare_cached("SELECT id, kind, test, body FROM event WHERE key = ?")?;
    Ok(events.query_row([event], |event| {
        Ok(Claim {
            key: row.get("key")?,
            delivery: DeliveryId::from_bytes(row.get("id")?),
            attempt: row.get("attempts")?,
            tries: row.get("tries")?,
            started_at: tx.now,
            probation,
            event: EventId::from_bytes(event.get("id")?),
            kind: event.get("kind")?,
            test: event.get("test")?,
            body: event.get("body")?,
            target: Arc::clone(target),
        })
    })?)
}

/// Writes what an attempt came to and decides what follows, alert included. `None`: the claim is no longer the caller's,
/// and nothing was changed.
///
/// # Errors
/// Faults of the database only.
pub fn settle(
    tx: &Tx<'_>,
    claim: &Claim,
    outcome: &Outcome,
    duration: Duration,
    profile: &Profile,
) -> Result<Option<Settlement>> {
    let state = endpoints::state(tx, claim.target.key)?;
    // A fault of ours costs the receiver nothing; sample data suspends nobody.
    let ours = outcome == &Outcome::Failed(Failure::Interrupted);
    let when_exhausted = if claim.test { WhenExhausted::StayActive } else { profile.when_exhausted };
    let settlement = if ours {
        delivery::interrupt(state, tx.now + AFTER_A_FAULT)
    } else {
        delivery::settle(outcome, claim.tries, state, &profile.retry, when_exhausted, tx.now)
    };
    if !leave(tx, claim.key, claim.attempt, claim.tries - u32::from(ours), settlement)? {
        return Ok(None);
    }
    let next_attempt_at = match settlement {
        Settlement::Retry(at) => Some(at),
        _ => None,
    };
    let attempt = Attempt::ended(claim.attempt, claim.started_at, duration, outcome, next_attempt_at);
    record(tx, claim.key, &attempt)?;
    let ended = match outcome {
        Outcome::Failed(Failure::Interrupted) => lanes::Ended::Lost,
        // A look-up that hangs holds a place as long as a receiver that does.
        Outcome::Failed(_) if duration >= profile.timeout => lanes::Ended::TimedOut,
        Outcome::Failed(Failure::Timeout) => lanes::Ended::TimedOut,
        _ => lanes::Ended::InTime,
    };
    lanes::freed(tx, claim.target.key, ended)?;
    match settlement {
        Settlement::Retry(at) => lanes::due(tx, claim.target.key, at)?,
        Settlement::Exhausted(Some(reason)) => {
            endpoints::suspend(tx, claim.target.key, reason)?;
            alerts::suspended(tx, claim.target.key, claim.key, &attempt)?;
        }
        _ => {}
    }
    Ok(Some(settlement))
}

/// Which claims are given up as lost.
#[derive(Debug)]
pub enum Lost {
    /// All of them: at a start, nobody is at work on any.
    All,
    /// Those whose lease has ended, but for those that the engine vouches for: the wall clock may have stepped.
    Expired {
        /// The deliveries that are under way.
        vouched: Vec<DeliveryKey>,
    },
}

/// Gives lost claims back: due now, the attempt recorded as interrupted, its try not counted. Says how many.
///
/// # Errors
/// Faults of the database only.
pub fn recover(tx: &Tx<'_>, lost: &Lost) -> Result<usize> {
    let (until, vouched) = match lost {
        Lost::All => (i64::MAX, &[][..]),
        Lost::Expired { vouched } => (tx.now.millis(), vouched.as_slice()),
    };
    let mut rows = tx.conn.prepare_cached(
        "SELECT key, endpoint, attempts, tries, started_at FROM delivery WHERE state = 'claimed' AND lease_until <= ?",
    )?;
    let rows = rows.query_map([until], |row| {
        Ok((
            row.get("key")?,
            row.get("endpoint")?,
            row.get("attempts")?,
            row.get("tries")?,
            convert::moment(row, "started_at")?,
        ))
    })?;
    let mut rows: Vec<(DeliveryKey, EndpointKey, u32, u32, Timestamp)> = rows.collect::<rusqlite::Result<_>>()?;
    rows.retain(|(key, ..)| !vouched.contains(key));
    for &(key, endpoint, number, tries, started_at) in &rows {
        let settlement = delivery::interrupt(endpoints::state(tx, endpoint)?, tx.now);
        leave(tx, key, number, tries.saturating_sub(1), settlement)?;
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
        };
        record(tx, key, &attempt)?;
        lanes::freed(tx, endpoint, lanes::Ended::Lost)?;
        if let Settlement::Retry(at) = settlement {
            lanes::due(tx, endpoint, at)?;
        }
    }
    Ok(rows.len())
}

/// Moves every due time by so many milliseconds.
pub(super) fn shift(tx: &Tx<'_>, by: i64) -> rusqlite::Result<()> {
    tx.conn.prepare_cached("UPDATE delivery SET due_at = due_at + ? WHERE state = 'pending'")?.execute([by])?;
    tx.conn.prepare_cached("UPDATE lane SET turn_at = turn_at + ? WHERE turn_at IS NOT NULL")?.execute([by])?;
    tx.wakes.set(true);
    Ok(())
}

/// Moves a delivery out of the claimed state, if the claim is still of this attempt.
fn leave(tx: &Tx<'_>, key: DeliveryKey, attempt: u32, tries: u32, settlement: Settlement) -> Result<bool> {
    let due_at = match settlement {
        Settlement::Retry(at) => Some(at.millis()),
        _ => None,
    };
    let changed = tx
        .conn
        .prepare_cached(
            "UPDATE delivery SET state = ?3, due_at = ?4, tries = ?5, started_at = NULL, lease_until = NULL
             WHERE key = ?1 AND state = 'claimed' AND attempts = ?2",
        )?
        .execute((key, attempt, settlement.state().name(), due_at, tries))?;
    Ok(changed == 1)
}

fn record(tx: &Tx<'_>, delivery: DeliveryKey, attempt: &Attempt) -> Result<()> {
    let response = Some(&attempt.response).filter(|response| !response.is_empty());
    tx.conn
        .prepare_cached(
            "INSERT INTO attempt (delivery, number, started_at, duration_ms, failure, status, response, truncated, next_attempt_at)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )?
        .execute((
            delivery,
            attempt.number,
            attempt.started_at.millis(),
            attempt.duration.map(|duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)),
            attempt.failure.map(Failure::name),
            attempt.status,
            response,
            attempt.truncated,
            attempt.next_attempt_at.map(Timestamp::millis),
        ))?;
    Ok(())
}

/// Makes a delivery of an event to an endpoint: due now, or held while that is suspended.
pub(super) fn enqueue(
    tx: &Tx<'_>,
    event: EventKey,
    endpoint: EndpointKey,
    state: EndpointState,
    replay_of: Option<DeliveryKey>,
) -> Result<DeliveryId> {
    let id = DeliveryId::mint(tx.now);
    let now = tx.now.millis();
    let (state, due_at) = match state {
        EndpointState::Active => (State::Pending, Some(now)),
        EndpointState::Suspended => (State::Held, None),
        EndpointState::Deleted => (State::Cancelled, None),
    };
    tx.conn
        .prepare_cached(
            "INSERT INTO delivery (id, event, endpoint, state, due_at, created_at, replay_of) VALUES (?, ?, ?, ?, ?, ?, ?)",
        )?
        .execute((id.to_bytes(), event, endpoint, state.name(), due_at, now, replay_of))?;
    if state == State::Pending {
        lanes::due(tx, endpoint, tx.now)?;
    }
    Ok(id)
}

/// Holds what is pending for an endpoint.
pub(super) fn hold(tx: &Tx<'_>, endpoint: EndpointKey) -> Result<()> {
    tx.conn
        .prepare_cached("UPDATE delivery SET state = 'held', due_at = NULL WHERE endpoint = ? AND state = 'pending'")?
        .execute([endpoint])?;
    lanes::rest(tx, endpoint)
}

/// Makes what is held for an endpoint due at once, each with a fresh schedule.
pub(super) fn resume(tx: &Tx<'_>, endpoint: EndpointKey) -> Result<()> {
    let resumed = tx
        .conn
        .prepare_cached(
            "UPDATE delivery SET state = 'pending', due_at = ?2, tries = 0 WHERE endpoint = ?1 AND state = 'held'",
        )?
        .execute((endpoint, tx.now.millis()))?;
    if resumed > 0 { lanes::due(tx, endpoint, tx.now) } else { Ok(()) }
}

/// Cancels what is pending or held for an endpoint.
pub(super) fn cancel(tx: &Tx<'_>, endpoint: EndpointKey) -> Result<()> {
    for state in [State::Pending, State::Held] {
        tx.conn
            .prepare_cached("UPDATE delivery SET state = 'cancelled', due_at = NULL WHERE endpoint = ? AND state = ?")?
            .execute((endpoint, state.name()))?;
    }
    lanes::rest(tx, endpoint)
}

/// How many deliveries are held for an endpoint.
///
/// # Errors
/// Faults of the database only.
pub(super) fn held(conn: &rusqlite::Connection, endpoint: EndpointKey) -> Result<u64> {
    let mut rows = conn.prepare_cached("SELECT count(*) FROM delivery WHERE endpoint = ? AND state = 'held'")?;
    Ok(rows.query_row([endpoint], |row| row.get(0))?)
}

/// A test that was sent: an attempt outside the machine, recorded whole when it has ended.
#[derive(Debug)]
pub struct TestRecord {
    /// Its delivery's id.
    pub delivery: DeliveryId,
    /// Its event's id.
    pub event: EventId,
    /// The event's name.
    pub kind: String,
    /// The stored body.
    pub body: String,
    /// What it came to.
    pub attempt: Attempt,
}

/// Writes a test delivery with its event and its one attempt.
///
/// # Errors
/// Faults of the database only.
pub fn record_test(tx: &Tx<'_>, endpoint: EndpointKey, test: &TestRecord) -> Result<()> {
    let at = test.attempt.started_at.millis();
    tx.conn
        .prepare_cached(
            "INSERT INTO event (id, account, kind, body, accepted_at, test)
             SELECT ?1, account, ?2, ?3, ?4, 1 FROM endpoint WHERE key = ?5",
        )?
        .execute((test.event.to_bytes(), &test.kind, &test.body, at, endpoint))?;
    let event = tx.conn.last_insert_rowid();
    let state = if test.attempt.failure.is_none() { State::Delivered } else { State::Exhausted };
    tx.conn
        .prepare_cached(
            "INSERT INTO delivery (id, event, endpoint, state, attempts, tries, created_at) VALUES (?, ?, ?, ?, 1, 1, ?)",
        )?
        .execute((test.delivery.to_bytes(), event, endpoint, state.name(), at))?;
    record(tx, tx.conn.last_insert_rowid(), &test.attempt)
}

/// The key of an endpoint's delivery.
pub(super) fn key_of(
    conn: &rusqlite::Connection,
    endpoint: EndpointKey,
    id: DeliveryId,
) -> Result<Option<DeliveryKey>> {
    let mut rows = conn.prepare_cached("SELECT key FROM delivery WHERE id = ? AND endpoint = ?")?;
    Ok(rows.query_row((id.to_bytes(), endpoint), |row| row.get(0)).optional()?)
}
