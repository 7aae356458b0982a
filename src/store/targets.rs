//! Where deliveries go, and what signs them: read from an endpoint's row, shared by the claims that go there, and marked
//! stale when the endpoint changes, so that nothing claimed before goes out after.

use std::{
    collections::HashMap,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::domain::{
    delivery::DeliveryKey,
    endpoint::{EndpointKey, TargetUrl},
    ids::EndpointId,
    signature::SigningSecret,
    timestamp::Timestamp,
};

/// A target is shared for so long at most, in milliseconds: by so much a former secret may outlive its overlap.
const SHARED_MS: i64 = 1000;
/// Targets that nobody holds any more are forgotten when so many endpoints are noted.
const MANY: usize = 1024;

/// Where an endpoint's deliveries go, as it stands when they are claimed.
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
    /// The outage that the endpoint was in: a success ends it.
    pub(super) outage: Option<DeliveryKey>,
    /// When it was read.
    pub(super) read_at: Timestamp,
    pub(super) stale: AtomicBool,
}

impl Target {
    /// Whether the endpoint was changed, suspended or deleted since: a claim that has not begun is to be given back.
    pub fn is_stale(&self) -> bool {
        self.stale.load(Ordering::Acquire)
    }
}

/// The targets that somebody holds, those of an endpoint in the order in which they were read: the last is shared. A secret
/// is in memory only while a claim needs it.
#[derive(Debug, Default)]
pub(super) struct Targets(HashMap<EndpointKey, Vec<Weak<Target>>>);

impl Targets {
    /// Marks all that is held of this endpoint as stale.
    pub(super) fn changed(&mut self, endpoint: EndpointKey) {
        for target in self.0.remove(&endpoint).into_iter().flatten().filter_map(|target| target.upgrade()) {
            target.stale.store(true, Ordering::Release);
        }
    }

    /// Has what goes to this endpoint from now on read it anew; what is held stays good.
    pub(super) fn renew(&mut self, endpoint: EndpointKey) {
        self.0.entry(endpoint).or_default().push(Weak::new());
    }

    /// Shares none of them any more: what was read in a transaction that was undone may never have been true. What is held
    /// of earlier ones is still to be marked.
    pub(super) fn forget(&mut self) {
        self.0.retain(|_, held| {
            held.retain(is_held);
            !held.is_empty()
        });
        self.0.values_mut().for_each(|held| held.push(Weak::new()));
    }

    /// The target that claims of this endpoint share at this moment, if somebody holds it.
    pub(super) fn held(&self, endpoint: EndpointKey, now: Timestamp) -> Option<Arc<Target>> {
        let target = self.0.get(&endpoint)?.last()?.upgrade()?;
        ((now.millis() - target.read_at.millis()).abs() < SHARED_MS).then_some(target)
    }

    /// Shares this target from now on.
    pub(super) fn note(&mut self, target: &Arc<Target>) {
        if self.0.len() >= MANY {
            self.0.retain(|_, held| held.iter().any(is_held));
        }
        let held = self.0.entry(target.key).or_default();
        held.retain(is_held);
        held.push(Arc::downgrade(target));
    }
}

fn is_held(target: &Weak<Target>) -> bool {
    target.strong_count() > 0
}
