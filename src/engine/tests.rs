//! Test deliveries: each an attempt outside the queue, made at once on a person's request.

use std::{
    sync::{Arc, PoisonError},
    time::Duration,
};

use tokio::sync::{Semaphore, oneshot};

use super::{
    Engine, Inner,
    attempt::{attempt, count, tell},
    unavailable,
};
use crate::{
    domain::{
        delivery::Attempt,
        grant::Grant,
        ids::{DeliveryId, EventId},
    },
    error::Result,
    store::{
        Admission, Target,
        attempts::{self, TestRecord},
        queue::{Attempted, Claim},
    },
};

/// Test deliveries under way at once; one more waits for a place, but not for long.
pub(super) const AT_ONCE: usize = 8;
/// And of one account.
const OF_ONE: usize = 2;
/// How long a test waits for a place.
const PATIENCE: Duration = Duration::from_secs(1);

impl Engine {
    /// Sends a test delivery of this account at once, whatever state its endpoint is in, and records it; each only if the right
    /// of the request still holds.
    ///
    /// # Errors
    /// As [`crate::store::Db::check`]; [`crate::error::Error::Unavailable`] when no sending thread can be had or the record cannot be written.
    pub async fn send_test(
        &self,
        grant: Grant,
        account: String,
        target: Target,
        kind: String,
        body: String,
    ) -> Result<(DeliveryId, Attempt)> {
        let inner = Arc::clone(&self.0);
        let own = inner.tests_of(account);
        let places = async { Some((own.acquire().await.ok()?, inner.tests.acquire().await.ok()?)) };
        let places = tokio::time::timeout(PATIENCE, places).await;
        let _places = places.ok().flatten().ok_or_else(unavailable)?;
        inner.db.check(grant)?;
        let flights = Arc::clone(&inner.flights);
        let (now, body) = (flights.clock.now(), Arc::<str>::from(body));
        let claim = Claim {
            key: 0,
            delivery: DeliveryId::mint(now),
            attempt: 1,
            tries: 1,
            event: EventId::mint(now),
            kind,
            test: true,
            body: Ok(Arc::clone(&body).into()),
            target: Arc::new(target),
        };
        let (figures, (reply, answer)) = (Arc::clone(inner.db.figures()), oneshot::channel());
        let run = move || {
            let attempted = flights.profiles.get(&claim.target.profile).map(|profile| {
                let attempted = attempt(&claim, profile, &flights.sender, now);
                count(&figures, profile, &claim, &attempted);
                tell(profile, &claim, &attempted, true);
                attempted
            });
            drop(reply.send(attempted.map(|attempted| (claim, attempted))));
        };
        inner.pool.run(run).map_err(|_| unavailable())?;
        let (claim, attempted) = answer.await.ok().flatten().ok_or_else(unavailable)?;
        let Attempted { started_at, duration, outcome } = attempted;
        let attempt = Attempt::ended(claim.attempt, started_at, duration, &outcome, None);
        let seen = (claim.delivery, attempt.clone());
        let (delivery, event, kind) = (claim.delivery, claim.event, claim.kind);
        let (endpoint, record) = (claim.target.key, TestRecord { delivery, event, kind, body, attempt });
        inner.db.write(grant, Admission::Try, move |tx| attempts::record_test(tx, endpoint, &record)).await?;
        Ok(seen)
    }
}

impl Inner {
    /// The places for the tests of one account.
    fn tests_of(&self, account: String) -> Arc<Semaphore> {
        let mut tests_of = self.tests_of.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(tests_of.entry(account).or_insert_with(|| Arc::new(Semaphore::new(OF_ONE))))
    }
}
