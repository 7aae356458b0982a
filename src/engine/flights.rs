//! The sending threads' side of the engine: from claim to claim, each attempt begun when its lane may, each end reported.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::mpsc;

use super::{
    attempt::attempt,
    lanes::{self, Lanes},
    sender::Sender,
};
use crate::{
    clock::SharedClock,
    domain::{
        delivery::{Failure, Outcome},
        profile::Profiles,
    },
    store::queue::{Attempted, Claim},
};

/// What the sending threads need.
pub(super) struct Flights {
    pub(super) clock: SharedClock,
    pub(super) profiles: Profiles,
    pub(super) sender: Arc<Sender>,
    pub(super) lanes: Arc<Mutex<Lanes>>,
    pub(super) ended: mpsc::UnboundedSender<Ended>,
}

/// A claim that was on its way, back to be settled.
#[derive(Debug)]
pub struct Ended {
    /// The claim.
    pub claim: Claim,
    /// What the attempt came to; `None`: it never began.
    pub attempted: Option<Attempted>,
    /// It was a fault of ours that it did not.
    pub faulty: bool,
    /// Whether its endpoint goes on probation, or off it.
    pub probation: Option<bool>,
}

/// Reports what a claim came to, unless it was given up before, and takes the next one. Both under one lock: nobody sees
/// the claim in neither place.
pub fn land(
    lanes: &Mutex<Lanes>,
    profiles: &Profiles,
    claim: Claim,
    attempted: Option<Attempted>,
    report: impl FnOnce(Ended),
) -> Option<Claim> {
    let timeout = profiles.get(&claim.target.profile).map(|profile| profile.timeout);
    let ended = judge(attempted.as_ref(), timeout);
    let mut lanes = lanes.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(probation) = lanes.ended(claim.owner(), ended) {
        report(Ended { claim, attempted, faulty: false, probation });
    }
    lanes.begin()
}

fn judge(attempted: Option<&Attempted>, timeout: Option<Duration>) -> lanes::Ended {
    let Some(Attempted { duration, outcome, .. }) = attempted else { return lanes::Ended::Unknown };
    match outcome {
        Outcome::Failed(Failure::Timeout) => lanes::Ended::TimedOut,
        // A look-up that hangs, or waits for one that does, holds a place as long as a receiver that hangs.
        Outcome::Failed(_) if timeout.is_none_or(|timeout| *duration >= timeout) => lanes::Ended::TimedOut,
        Outcome::Failed(failure) if failure.is_ours() => lanes::Ended::Unknown,
        _ if outcome.is_success() => lanes::Ended::Well(*duration),
        _ => lanes::Ended::Failed,
    }
}

impl Flights {
    pub(super) fn lanes(&self) -> MutexGuard<'_, Lanes> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands over what a claim came to, and takes the next one.
    fn land(&self, claim: Claim, attempted: Option<Attempted>) -> Option<Claim> {
        // Nobody listens only when the engine has stopped; the next start recovers the claim.
        land(&self.lanes, &self.profiles, claim, attempted, |ended| drop(self.ended.send(ended)))
    }
}

/// Lets nothing begin any more once the engine is gone, however it went.
pub(super) struct Closing(pub(super) Arc<Flights>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.lanes().close();
    }
}

/// A sending thread's way from claim to claim. However an attempt ends, that is reported.
pub(super) struct Flight {
    claim: Option<Claim>,
    flights: Arc<Flights>,
}

impl Flight {
    pub(super) fn new(claim: Claim, flights: &Arc<Flights>) -> Self {
        Self { claim: Some(claim), flights: Arc::clone(flights) }
    }

    pub(super) fn run(mut self) {
        let flights = Arc::clone(&self.flights);
        while let Some(claim) = &self.claim {
            let profile = flights.profiles.get(&claim.target.profile).filter(|_| !claim.target.is_stale());
            let attempted = profile.map(|profile| attempt(claim, profile, &flights.sender, flights.clock.now()));
            self.claim = self.claim.take().and_then(|claim| flights.land(claim, attempted));
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if let Some(claim) = self.claim.take() {
            // No thread could be had. Nothing else begins here: that would find none either.
            let mut lanes = self.flights.lanes();
            if let Some(probation) = lanes.ended(claim.owner(), lanes::Ended::Unknown) {
                drop(self.flights.ended.send(Ended { claim, attempted: None, faulty: true, probation }));
            }
        }
    }
}
