//! Budgets that accounts share: of bytes in memory, or of requests in progress. One account, or one token that belongs
//! to no account, holds at most a quarter of a budget, so that it keeps no other waiting.

use std::{sync::Arc, time::Duration};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{config::Config, keyed_semaphore::KeyedSemaphore};

/// One holder may have this part of a budget.
const PART: usize = 4;
/// Requests whose answer is being made. Each may hold several copies of its answer.
const ANSWERS_IN_THE_MAKING: usize = 8;

/// Every budget of the server.
#[derive(Debug)]
pub(crate) struct Budgets {
    /// Batches that have been read and are not stored yet.
    pub(crate) batches: Budget,
    /// Bytes of request bodies, until they are stored.
    pub(super) request_bytes: Budget,
    /// Requests that read, until their answer has its bytes.
    pub(super) reads: Budget,
    /// Bytes of answers, until their clients have taken them.
    pub(super) answer_bytes: Budget,
    /// How long an answer may wait for its bytes.
    pub(super) client_timeout: Duration,
}

impl Budgets {
    /// The budgets of these settings. The largest body always fits into the part of one holder.
    pub(crate) fn new(config: &Config) -> Self {
        let (server, limits) = (&config.server, &config.limits);
        let largest = server.max_body_bytes.max(server.max_batch_bytes);
        Self {
            batches: Budget::new(limits.batches),
            request_bytes: Budget::new(limits.request_bytes.max(PART * largest)),
            reads: Budget::new(ANSWERS_IN_THE_MAKING),
            answer_bytes: Budget::new(limits.answer_bytes),
            client_timeout: limits.client_timeout,
        }
    }
}

/// A budget. Requests that wait for a part of it are served in order.
#[derive(Debug)]
pub(crate) struct Budget {
    all: Arc<Semaphore>,
    each: usize,
    of_one: KeyedSemaphore,
}

/// A part of a budget, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Part {
    own: OwnedSemaphorePermit,
    all: OwnedSemaphorePermit,
}

impl Budget {
    fn new(all: usize) -> Self {
        let all = all.min(Semaphore::MAX_PERMITS);
        let each = (all / PART).max(1);
        Self { all: Arc::new(Semaphore::new(all)), each, of_one: KeyedSemaphore::new(each) }
    }

    /// Waits for this much of the budget, at most the quarter of one holder. `None` if that takes longer than
    /// `patience`.
    pub(crate) async fn take(&self, holder: &str, amount: usize, patience: Duration) -> Option<Part> {
        let amount = u32::try_from(amount.min(self.each)).unwrap_or(u32::MAX);
        let take = async {
            let own = self.of_one.of(holder).acquire_many_owned(amount).await.ok()?;
            let all = Arc::clone(&self.all).acquire_many_owned(amount).await.ok()?;
            Some(Part { own, all })
        };
        tokio::time::timeout(patience, take).await.ok().flatten()
    }
}

impl Part {
    /// Adds another part of the same holder.
    pub(super) fn merge(&mut self, more: Self) {
        if Arc::ptr_eq(self.own.semaphore(), more.own.semaphore()) {
            self.own.merge(more.own);
            self.all.merge(more.all);
        }
    }
}
