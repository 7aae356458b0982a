//! Test deliveries: each is one attempt outside the queue, made at once because a person asked for it.

use std::{sync::Arc, time::Duration};

use tokio::sync::{Semaphore, oneshot};

use super::{
    attempt::{attempt, log_attempt},
    in_flight::InFlight,
    pool::Pool,
    sender::Sender,
};
use crate::{
    domain::{
        audit::Actor,
        delivery::Attempt,
        ids::{DeliveryId, EventId},
    },
    error::{Error, Result},
    keyed_semaphore::KeyedSemaphore,
    store::{
        Admission, Db, Target,
        attempts::{self, TestRecord},
        queue::{Attempted, Claim},
    },
};

/// Test deliveries at the same time; another one waits for a place, but not for long.
const AT_ONCE: usize = 8;
/// Test deliveries of one account at the same time.
const OF_ONE: usize = 2;
/// How long a test waits for a place.
const PATIENCE: Duration = Duration::from_secs(1);

/// Sends test deliveries, a few at once.
pub(super) struct TestSender {
    db: Db,
    in_flight: Arc<InFlight>,
    sender: Arc<Sender>,
    pool: Pool,
    all: Semaphore,
    of_account: KeyedSemaphore,
}

impl TestSender {
    pub(super) fn new(db: Db, in_flight: Arc<InFlight>, sender: Arc<Sender>, pool: Pool) -> Self {
        Self { db, in_flight, sender, pool, all: Semaphore::new(AT_ONCE), of_account: KeyedSemaphore::new(OF_ONE) }
    }

    /// Makes the attempt and records it. Before each step it checks that the token or session of the request still
    /// allows it.
    ///
    /// # Errors
    /// As [`Db::check`]; [`Error::Unavailable`] when no sending thread can be had or the record cannot be written.
    pub(super) async fn send(
        &self,
        actor: Actor,
        account: String,
        target: Target,
        kind: String,
        body: String,
    ) -> Result<(DeliveryId, Attempt)> {
        let own = self.of_account.of(&account);
        let places = async { Some((own.acquire().await.ok()?, self.all.acquire().await.ok()?)) };
        let places = tokio::time::timeout(PATIENCE, places).await;
        let _places = places.ok().flatten().ok_or_else(unavailable)?;
        self.db.check(actor)?;
        let (in_flight, sender) = (Arc::clone(&self.in_flight), Arc::clone(&self.sender));
        let (now, body) = (in_flight.clock().now(), Arc::<str>::from(body));
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
        let (reply, answer) = oneshot::channel();
        let run = move || {
            let attempted = in_flight.profiles().get(&claim.target.profile).map(|profile| {
                let attempted = attempt(&claim, profile, &sender, now);
                log_attempt(profile, &claim, &attempted, true);
                attempted
            });
            drop(reply.send(attempted.map(|attempted| (claim, attempted))));
        };
        self.pool.run(run).map_err(|_| unavailable())?;
        let (claim, attempted) = answer.await.ok().flatten().ok_or_else(unavailable)?;
        let Attempted { started_at, duration, outcome, details } = attempted;
        let attempt = Attempt::ended(claim.attempt, started_at, duration, (&outcome, details), None);
        let seen = (claim.delivery, attempt.clone());
        let (delivery, event, kind) = (claim.delivery, claim.event, claim.kind);
        let (endpoint, record) = (claim.target.key, TestRecord { delivery, event, kind, body, attempt });
        self.db.write(actor, Admission::Try, move |tx| attempts::record_test(tx, endpoint, &record)).await?;
        Ok(seen)
    }
}

fn unavailable() -> Error {
    Error::Unavailable("the server cannot send this now: try again".to_owned())
}
