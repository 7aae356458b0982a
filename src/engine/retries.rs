//! Goes on with the retry runs: step by step, so many replays of each webhook as may wait at once, and no more in a step
//! than the writer takes without others noticing.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use tokio::sync::watch;

use crate::{
    clock::SharedClock,
    domain::{delivery::DeliveryKey, endpoint::EndpointKey, retry::RunKey, timestamp::Timestamp},
    error::Result,
    store::{
        Db, View,
        retries::{self, Field, Look},
    },
};

/// Between two steps of a run.
const PACE: Duration = Duration::from_millis(200);
/// Most replays in one step.
const STEP: usize = 500;
/// Most endpoints that are looked at in one step.
const LOOKS: usize = 50;

/// The endpoints that a run has yet to go over, each with how far it has come; the next in turn is first.
type Way = VecDeque<(EndpointKey, DeliveryKey)>;

/// Goes on with whatever runs there are, until `stop` turns true. New ones, the command line's too, are seen within `poll`.
pub async fn run(db: Db, clock: SharedClock, poll: Duration, mut stop: watch::Receiver<bool>) {
    let mut ways = HashMap::new();
    while !*stop.borrow_and_update() {
        let at = clock.now();
        let rest = match step(&db, &mut ways, at).await {
            Ok(true) => PACE,
            Ok(false) => poll,
            Err(error) => {
                tracing::warn!(%error, "retry runs pause, and begin anew when the database takes writes again");
                ways.clear();
                poll
            }
        };
        tokio::select! {
            changed = stop.changed() => if changed.is_err() { return },
            () = clock.sleep(at, rest) => {}
        }
    }
}

/// One step of every run; says whether there is any.
async fn step(db: &Db, ways: &mut HashMap<RunKey, Way>, at: Timestamp) -> Result<bool> {
    let running = db.read(retries::running).await?;
    ways.retain(|run, _| running.iter().any(|(key, _)| key == run));
    for (run, field) in &running {
        let (run, way) = (*run, ways.remove(run));
        let way = match way {
            Some(way) => way,
            None => begin(db, run, field.clone()).await?,
        };
        let of = field.clone();
        let (looks, way) = db.read(move |view| look_along(view, &of, way, at)).await?;
        let (of, ended) = (field.clone(), way.is_empty());
        let found = looks.iter().any(|look| !look.keys.is_empty());
        if ended || found {
            db.write_in_turn(move |tx| retries::replay(tx, run, &of, &looks, ended)).await?;
        }
        // Only what is on disk is passed by.
        ways.insert(run, way);
    }
    Ok(!running.is_empty())
}

async fn begin(db: &Db, run: RunKey, field: Field) -> Result<Way> {
    db.write_in_turn(move |tx| retries::begin_anew(tx, run)).await?;
    let endpoints = db.read(move |view| field.endpoints(view)).await?;
    Ok(endpoints.into_iter().map(|endpoint| (endpoint, DeliveryKey::MIN)).collect())
}

/// Looks for what to replay next: endpoint by endpoint, as far as each has room.
fn look_along(view: &View<'_>, field: &Field, mut way: Way, at: Timestamp) -> Result<(Vec<Look>, Way)> {
    let (mut looks, mut left) = (Vec::new(), STEP);
    for _ in 0..way.len().min(LOOKS) {
        let Some((endpoint, after)) = way.pop_front().filter(|_| left > 0) else { break };
        let most = retries::room(view, endpoint, at)?.min(left);
        if most == 0 {
            way.push_back((endpoint, after));
            continue;
        }
        let look = retries::look(view, field, endpoint, after, most)?;
        left -= look.keys.len();
        if !look.ended {
            way.push_back((endpoint, look.after));
        }
        looks.push(look);
    }
    Ok((looks, way))
}
