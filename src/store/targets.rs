//! Targets: the URL and the secrets of an endpoint. A target is read from an endpoint's row and shared by its claims.
//! It is marked stale when the endpoint changes, so that no earlier claim is sent to an old URL or with an old secret.

use std::{
    collections::HashMap,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::domain::{
    account::AccountKey,
    delivery::DeliveryKey,
    endpoint::{EndpointKey, TargetUrl},
    ids::EndpointId,
    signature::SigningSecret,
    timestamp::Timestamp,
};

/// How long a target is shared, in milliseconds: a former secret may sign for this long after its overlap has ended.
const SHARED_MS: i64 = 1000;
/// Targets without a holder are removed when this many endpoints are noted.
const MANY: usize = 1024;

/// Where an endpoint's deliveries go, as read when they were claimed.
#[derive(Debug)]
pub struct Target {
    /// The key of the endpoint's row.
    pub key: EndpointKey,
    /// Its public id.
    pub id: EndpointId,
    /// The key of its account's row.
    pub account: AccountKey,
    /// The name of its profile.
    pub profile: String,
    /// Where to POST.
    pub url: TargetUrl,
    /// The secrets that sign: the present one, and the former one during its overlap. The first signs the vendor's header.
    pub secrets: Vec<SigningSecret>,
    /// The endpoint's outage at that time: a success ends it.
    pub(super) outage: Option<DeliveryKey>,
    /// The turns of the endpoint at that time: a success turns it back.
    pub(super) turns: u64,
    /// When it was read.
    pub(super) read_at: Timestamp,
    pub(super) stale: AtomicBool,
}

impl Target {
    /// Whether the endpoint was changed, suspended or deleted since. A claim that has not started is then given back.
    pub fn is_stale(&self) -> bool {
        self.stale.load(Ordering::Acquire)
    }
}

/// The targets in use. Those of an endpoint are in the order in which they were read; the last one is shared. A secret
/// is in memory only while a claim needs it.
#[derive(Debug, Default)]
pub(super) struct Targets(HashMap<EndpointKey, Vec<Weak<Target>>>);

impl Targets {
    /// Marks all targets of this endpoint as stale.
    pub(super) fn changed(&mut self, endpoint: EndpointKey) {
        for target in self.0.remove(&endpoint).into_iter().flatten().filter_map(|target| target.upgrade()) {
            target.stale.store(true, Ordering::Release);
        }
    }

    /// Makes later claims of this endpoint read a new target. Earlier ones stay valid.
    pub(super) fn renew(&mut self, endpoint: EndpointKey) {
        self.0.entry(endpoint).or_default().push(Weak::new());
    }

    /// Shares no target any more: one that was read in an undone transaction may never have been true. Earlier ones can
    /// still be marked as stale.
    pub(super) fn forget(&mut self) {
        self.0.retain(|_, held| {
            held.retain(is_held);
            !held.is_empty()
        });
        self.0.values_mut().for_each(|held| held.push(Weak::new()));
    }

    /// The shared target of this endpoint at this moment, if it is still in use.
    pub(super) fn held(&self, endpoint: EndpointKey, now: Timestamp) -> Option<Arc<Target>> {
        let target = self.0.get(&endpoint)?.last()?.upgrade()?;
        ((now.millis() - target.read_at.millis()).abs() < SHARED_MS).then_some(target)
    }

    /// Makes this target the shared one of its endpoint.
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
