//! The attempts in flight: the lanes and the reports of attempts, which rounds and sending threads share; and the work of a
//! sending thread, from claim to claim.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::mpsc;

use super::{
    attempt::attempt,
    lanes::{AttemptResult, Lanes},
    sender::Sender,
};
use crate::{
    clock::SharedClock,
    domain::{
        delivery::{Answer, Failure, MAX_RETRY_AFTER, Outcome},
        profile::Profiles,
    },
    store::queue::{Attempted, Claim},
};

/// The state that the rounds and the sending threads share.
pub struct InFlight {
    clock: SharedClock,
    profiles: Profiles,
    lanes: Mutex<Lanes>,
    ended: mpsc::UnboundedSender<EndedClaim>,
}

/// A claim whose attempt has ended or will not begin: it is to be settled or given back.
#[derive(Debug)]
pub struct EndedClaim {
    /// The claim.
    pub claim: Claim,
    /// The attempt; `None`: it never began.
    pub attempted: Option<Attempted>,
    /// Whether a fault of this server prevented it.
    pub faulty: bool,
    /// Whether its endpoint goes on probation (`Some(true)`), leaves it (`Some(false)`), or neither.
    pub probation: Option<bool>,
    /// Its receiver asked for a rest of this length.
    pub rests_for: Option<Duration>,
}

impl EndedClaim {
    /// A claim whose attempt never began.
    pub(super) fn unsent(claim: Claim) -> Self {
        Self { claim, attempted: None, faulty: false, probation: None, rests_for: None }
    }
}

impl InFlight {
    /// Nothing in flight yet. Ended attempts are reported to the receiver beside it.
    pub fn new(clock: SharedClock, profiles: Profiles, lanes: Lanes) -> (Self, mpsc::UnboundedReceiver<EndedClaim>) {
        let (ended, reports) = mpsc::unbounded_channel();
        (Self { clock, profiles, lanes: Mutex::new(lanes), ended }, reports)
    }

    /// The lanes, locked.
    pub fn lanes(&self) -> MutexGuard<'_, Lanes> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn clock(&self) -> &SharedClock {
        &self.clock
    }

    pub(super) fn profiles(&self) -> &Profiles {
        &self.profiles
    }

    /// Reports the result of a claim (`None`: its attempt never began) and takes the next claim under one lock, so
    /// [`Lanes::busy`] never undercounts.
    pub fn finish(&self, claim: Claim, attempted: Option<Attempted>) -> Option<Claim> {
        let result = self.result_of(&claim, attempted.as_ref());
        let mut lanes = self.lanes();
        if let Some(probation) = lanes.ended(claim.owner(), result) {
            // Nobody listens only when the engine has stopped; the next start ends the claim.
            let rests_for = attempted.as_ref().and_then(|attempted| asked_rest(&attempted.outcome));
            drop(self.ended.send(EndedClaim { claim, attempted, faulty: false, probation, rests_for }));
        }
        lanes.begin(self.clock.now())
    }

    /// Reports a claim for which there is no thread. It takes no other claim: there would be no thread for it either.
    fn give_back(&self, claim: Claim) {
        let mut lanes = self.lanes();
        if let Some(probation) = lanes.ended(claim.owner(), AttemptResult::Unknown) {
            let ended = EndedClaim { claim, attempted: None, faulty: true, probation, rests_for: None };
            drop(self.ended.send(ended));
        }
    }

    fn result_of(&self, claim: &Claim, attempted: Option<&Attempted>) -> AttemptResult {
        let Some(Attempted { duration, outcome, .. }) = attempted else { return AttemptResult::Unknown };
        let timeout = self.profiles.get(&claim.target.profile).map(|profile| profile.timeout);
        match outcome {
            Outcome::Failed(Failure::Timeout) => AttemptResult::TimedOut,
            // A look-up that hangs or waits for one that hangs occupies a place as long as a receiver that hangs.
            Outcome::Failed(_) if timeout.is_none_or(|timeout| *duration >= timeout) => AttemptResult::TimedOut,
            Outcome::Failed(failure) if failure.is_ours() => AttemptResult::Unknown,
            _ if outcome.is_success() => AttemptResult::Succeeded(*duration),
            _ if asked_rest(outcome).is_some() => AttemptResult::Busy,
            // The receiver works: it does not take this event.
            Outcome::Answered(Answer { status: 300..=407 | 409..=428 | 430..=499, .. }) => AttemptResult::Refused,
            Outcome::Answered(_) | Outcome::Failed(_) => AttemptResult::Failed,
        }
    }
}

/// The rest for which the receiver asked.
fn asked_rest(outcome: &Outcome) -> Option<Duration> {
    match outcome {
        Outcome::Answered(Answer { status: 429 | 503, retry_after, .. }) => {
            retry_after.filter(|wait| !wait.is_zero()).map(|wait| wait.min(MAX_RETRY_AFTER))
        }
        _ => None,
    }
}

/// Stops all further attempts when the engine has ended for any reason.
pub(super) struct CloseOnDrop(pub(super) Arc<InFlight>);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.0.lanes().close();
    }
}

/// The work of a sending thread: it makes the attempt of a claim, reports its end, and takes the next claim. The end is
/// reported in every case.
pub(super) struct SendingThread {
    claim: Option<Claim>,
    in_flight: Arc<InFlight>,
    sender: Arc<Sender>,
}

impl SendingThread {
    pub(super) fn new(claim: Claim, in_flight: &Arc<InFlight>, sender: &Arc<Sender>) -> Self {
        Self { claim: Some(claim), in_flight: Arc::clone(in_flight), sender: Arc::clone(sender) }
    }

    pub(super) fn run(mut self) {
        let (in_flight, sender) = (Arc::clone(&self.in_flight), Arc::clone(&self.sender));
        while let Some(claim) = &self.claim {
            let profile = in_flight.profiles.get(&claim.target.profile).filter(|_| !claim.target.is_stale());
            let attempted = profile.map(|profile| attempt(claim, profile, &sender, in_flight.clock.now()));
            self.claim = self.claim.take().and_then(|claim| in_flight.finish(claim, attempted));
        }
    }
}

impl Drop for SendingThread {
    fn drop(&mut self) {
        if let Some(claim) = self.claim.take() {
            self.in_flight.give_back(claim);
        }
    }
}
