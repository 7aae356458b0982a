//! Works on the recoveries in steps: as many replays of each webhook as may wait at once, and no more in a step than
//! the writer takes without delaying others.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use tokio::sync::watch;

use crate::{
    clock::{SharedClock, Stopwatch},
    domain::{audit::Actor, delivery::DeliveryKey, endpoint::EndpointKey, recovery::RecoveryKey},
    error::Result,
    store::{
        Admission, Db, View,
        candidates::{self, Candidates, Look},
        recoveries, replays,
    },
};

/// The time between two steps of a recovery.
const PACE: Duration = Duration::from_millis(200);
/// Most replays in one step.
const STEP: usize = 500;
/// Most endpoints read in one step.
const LOOKS: usize = 50;

/// The endpoints that a recovery has not finished, each with the last key it read; the next one is first.
type Remaining = VecDeque<(EndpointKey, DeliveryKey)>;

/// Works on all running recoveries until `stop` turns true. New ones, also from the command line, are noticed within `poll`.
pub async fn run(db: Db, clock: SharedClock, poll: Duration, mut stop: watch::Receiver<bool>) {
    let mut remaining = HashMap::new();
    while !*stop.borrow_and_update() {
        let at = clock.now();
        let rest = match step(&db, &mut remaining).await {
            Ok(true) => PACE,
            Ok(false) => poll,
            Err(error) => {
                tracing::warn!(%error, "recoveries pause until the database can be read again");
                poll
            }
        };
        tokio::select! {
            changed = stop.changed() => if changed.is_err() { return },
            () = clock.sleep(at, rest) => {}
        }
    }
}

/// One step of every recovery; returns whether there are any and none failed.
async fn step(db: &Db, remaining: &mut HashMap<RecoveryKey, Remaining>) -> Result<bool> {
    let running = db.read(recoveries::running).await?;
    remaining.retain(|recovery, _| running.iter().any(|(key, _)| key == recovery));
    let mut well = !running.is_empty();
    for (recovery, candidates) in running {
        match go_on(db, recovery, candidates, remaining.remove(&recovery)).await {
            // Progress counts only when it is on disk.
            Ok(rest_of_it) => drop(remaining.insert(recovery, rest_of_it)),
            Err(error) => {
                tracing::warn!(%error, "a recovery begins anew when the database takes it");
                well = false;
            }
        }
    }
    Ok(well)
}

/// One step of a recovery, from where it stopped. While it finds no candidates it goes on, for as long as the time between
/// two steps.
async fn go_on(
    db: &Db,
    recovery: RecoveryKey,
    candidates: Candidates,
    rest_of_it: Option<Remaining>,
) -> Result<Remaining> {
    let watch = Stopwatch::start();
    let mut rest_of_it = match rest_of_it {
        Some(rest_of_it) => rest_of_it,
        None => begin(db, recovery, candidates.clone()).await?,
    };
    loop {
        let of = candidates.clone();
        let (looks, rest) = db.read(move |view| look_along(view, &of, rest_of_it)).await?;
        let found = looks.iter().any(|look| !look.keys.is_empty());
        let (ended, stays) = (rest.is_empty(), looks.is_empty());
        if ended || found {
            db.write(Actor::Engine, Admission::Wait, move |tx| {
                replays::add_found(tx, recovery, &candidates, &looks, ended)
            })
            .await?;
            return Ok(rest);
        }
        if stays || watch.elapsed() >= PACE {
            return Ok(rest);
        }
        rest_of_it = rest;
    }
}

async fn begin(db: &Db, recovery: RecoveryKey, candidates: Candidates) -> Result<Remaining> {
    db.write(Actor::Engine, Admission::Wait, move |tx| recoveries::begin_anew(tx, recovery)).await?;
    Ok(db.read(move |view| candidates.endpoints(view)).await?.into())
}

/// Finds the next candidates, endpoint by endpoint, up to the free replay slots of each.
fn look_along(view: &View<'_>, candidates: &Candidates, mut rest_of_it: Remaining) -> Result<(Vec<Look>, Remaining)> {
    let (mut looks, mut left) = (Vec::new(), STEP);
    for _ in 0..rest_of_it.len().min(LOOKS) {
        if left == 0 {
            break;
        }
        let Some((endpoint, after)) = rest_of_it.pop_front() else { break };
        let most = candidates::free_replays(view, endpoint)?.min(left);
        if most == 0 {
            rest_of_it.push_back((endpoint, after));
            continue;
        }
        let look = candidates::look(view, candidates, endpoint, after, most)?;
        left -= look.keys.len();
        if !look.ended {
            rest_of_it.push_back((endpoint, look.after));
        }
        looks.push(look);
    }
    Ok((looks, rest_of_it))
}
