//! Goes on with the retry runs: step by step, so many replays of each webhook as may wait at once, and no more in a step
//! than the writer takes without others noticing.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use tokio::sync::watch;

use crate::{
    clock::{SharedClock, Stopwatch},
    domain::{audit::Actor, delivery::DeliveryKey, endpoint::EndpointKey, retry::RunKey},
    error::Result,
    store::{
        Admission, Db, View,
        retries::{self, Candidates, Look},
    },
};

/// Between two steps of a run.
const PACE: Duration = Duration::from_millis(200);
/// Most replays in one step.
const STEP: usize = 500;
/// Most endpoints that are looked at in one step.
const LOOKS: usize = 50;

/// The endpoints that a run has yet to go over, each with how far it has come; the next in turn is first.
type Remaining = VecDeque<(EndpointKey, DeliveryKey)>;

/// Goes on with whatever runs there are, until `stop` turns true. New ones, the command line's too, are seen within `poll`.
pub async fn run(db: Db, clock: SharedClock, poll: Duration, mut stop: watch::Receiver<bool>) {
    let mut remaining = HashMap::new();
    while !*stop.borrow_and_update() {
        let at = clock.now();
        let rest = match step(&db, &mut remaining).await {
            Ok(true) => PACE,
            Ok(false) => poll,
            Err(error) => {
                tracing::warn!(%error, "retry runs pause until the database can be read again");
                poll
            }
        };
        tokio::select! {
            changed = stop.changed() => if changed.is_err() { return },
            () = clock.sleep(at, rest) => {}
        }
    }
}

/// One step of every run; says whether all that there are go on well.
async fn step(db: &Db, remaining: &mut HashMap<RunKey, Remaining>) -> Result<bool> {
    let running = db.read(retries::running).await?;
    remaining.retain(|run, _| running.iter().any(|(key, _)| key == run));
    let mut well = !running.is_empty();
    for (run, candidates) in running {
        match go_on(db, run, candidates, remaining.remove(&run)).await {
            // Only what is on disk is passed by.
            Ok(rest_of_run) => drop(remaining.insert(run, rest_of_run)),
            Err(error) => {
                tracing::warn!(%error, "a retry run begins anew when the database takes it");
                well = false;
            }
        }
    }
    Ok(well)
}

/// One step of a run, from where it has come to. While it finds nothing it goes on, for as long as it will rest.
async fn go_on(db: &Db, run: RunKey, candidates: Candidates, rest_of_run: Option<Remaining>) -> Result<Remaining> {
    let watch = Stopwatch::start();
    let mut rest_of_run = match rest_of_run {
        Some(rest_of_run) => rest_of_run,
        None => begin(db, run, candidates.clone()).await?,
    };
    loop {
        let of = candidates.clone();
        let (looks, rest) = db.read(move |view| look_along(view, &of, rest_of_run)).await?;
        let found = looks.iter().any(|look| !look.keys.is_empty());
        let (ended, stays) = (rest.is_empty(), looks.is_empty());
        if ended || found {
            db.write(Actor::Engine, Admission::Wait, move |tx| retries::replay(tx, run, &candidates, &looks, ended))
                .await?;
            return Ok(rest);
        }
        if stays || watch.elapsed() >= PACE {
            return Ok(rest);
        }
        rest_of_run = rest;
    }
}

async fn begin(db: &Db, run: RunKey, candidates: Candidates) -> Result<Remaining> {
    db.write(Actor::Engine, Admission::Wait, move |tx| retries::begin_anew(tx, run)).await?;
    Ok(db.read(move |view| candidates.endpoints(view)).await?.into())
}

/// Looks for what to replay next: endpoint by endpoint, as far as each has room.
fn look_along(view: &View<'_>, candidates: &Candidates, mut rest_of_run: Remaining) -> Result<(Vec<Look>, Remaining)> {
    let (mut looks, mut left) = (Vec::new(), STEP);
    for _ in 0..rest_of_run.len().min(LOOKS) {
        if left == 0 {
            break;
        }
        let Some((endpoint, after)) = rest_of_run.pop_front() else { break };
        let most = retries::free_replays(view, endpoint)?.min(left);
        if most == 0 {
            rest_of_run.push_back((endpoint, after));
            continue;
        }
        let look = retries::look(view, candidates, endpoint, after, most)?;
        left -= look.keys.len();
        if !look.ended {
            rest_of_run.push_back((endpoint, look.after));
        }
        looks.push(look);
    }
    Ok((looks, rest_of_run))
}
