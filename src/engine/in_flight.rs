//! The sending threads' side of the engine: from claim to claim, each attempt begun when its lane may, each end reported.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;

use super::{
    attempt::attempt,
    lanes::{AttemptResult, Lanes},
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
pub(super) struct SendContext {
    pub(super) clock: SharedClock,
    pub(super) profiles: Profiles,
    pub(super) sender: Arc<Sender>,
    pub(super) lanes: Mutex<Lanes>,
    pub(super) ended: mpsc::UnboundedSender<EndedClaim>,
}

/// A claim that was on its way, back to be settled.
#[derive(Debug)]
pub(super) struct EndedClaim {
    pub(super) claim: Claim,
    /// What the attempt came to; `None`: it never began.
    pub(super) attempted: Option<Attempted>,
    /// It was a fault of ours that it did not.
    pub(super) faulty: bool,
    /// Whether its endpoint goes on probation, or off it.
    pub(super) probation: Option<bool>,
}

impl SendContext {
    pub(super) fn lanes(&self) -> MutexGuard<'_, Lanes> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands over what a claim came to, and takes the next one. Both at once: nobody sees the claim in neither place.
    fn finish(&self, claim: Claim, attempted: Option<Attempted>) -> Option<Claim> {
        let ended = self.result_of(&claim, attempted.as_ref());
        let mut lanes = self.lanes();
        if let Some(probation) = lanes.ended(claim.owner(), ended) {
            // Nobody listens only when the engine has stopped; the next start recovers the claim.
            drop(self.ended.send(EndedClaim { claim, attempted, faulty: false, probation }));
        }
        lanes.begin()
    }

    fn result_of(&self, claim: &Claim, attempted: Option<&Attempted>) -> AttemptResult {
        let Some(Attempted { duration, outcome, .. }) = attempted else { return AttemptResult::Unknown };
        let timeout = self.profiles.get(&claim.target.profile).map(|profile| profile.timeout);
        match outcome {
            Outcome::Failed(Failure::Timeout) => AttemptResult::TimedOut,
            // A look-up that hangs, or waits for one that does, holds a place as long as a receiver that hangs.
            Outcome::Failed(_) if timeout.is_none_or(|timeout| *duration >= timeout) => AttemptResult::TimedOut,
            Outcome::Failed(failure) if failure.is_ours() => AttemptResult::Unknown,
            _ if outcome.is_success() => AttemptResult::Succeeded(*duration),
            _ => AttemptResult::Failed,
        }
    }
}

/// Lets nothing begin any more once the engine is gone, however it went.
pub(super) struct CloseOnDrop(pub(super) Arc<SendContext>);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.0.lanes().close();
    }
}

/// A sending thread's way from claim to claim. However an attempt ends, that is reported.
pub(super) struct InFlight {
    claim: Option<Claim>,
    context: Arc<SendContext>,
}

impl InFlight {
    pub(super) fn new(claim: Claim, context: &Arc<SendContext>) -> Self {
        Self { claim: Some(claim), context: Arc::clone(context) }
    }

    pub(super) fn run(mut self) {
        let context = Arc::clone(&self.context);
        while let Some(claim) = &self.claim {
            let profile = context.profiles.get(&claim.target.profile).filter(|_| !claim.target.is_stale());
            let attempted = profile.map(|profile| attempt(claim, profile, &context.sender, context.clock.now()));
            self.claim = self.claim.take().and_then(|claim| context.finish(claim, attempted));
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if let Some(claim) = self.claim.take() {
            // No thread could be had. Nothing else begins here: that would find none either.
            let mut lanes = self.context.lanes();
            if let Some(probation) = lanes.ended(claim.owner(), AttemptResult::Unknown) {
                drop(self.context.ended.send(EndedClaim { claim, attempted: None, faulty: true, probation }));
            }
        }
    }
}
