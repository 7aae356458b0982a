//! What forms have led to, kept in memory for a minute for the session that sent them. So a second click, or a form that is
//! sent anew, leads to the same page and does nothing again; and a secret stands on a page that can be loaded again meanwhile.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use poem::Response;
use sha2::{Digest, Sha256};
use tokio::sync::OnceCell;

use super::{fields::Fields, render::go, visit::Visit};
use crate::{
    api::openapi::SecretText,
    clock::{self, SharedClock},
    domain::ids::RequestId,
    error::{Error, Result},
};

/// How long it is kept.
const KEPT: Duration = Duration::from_secs(60);

type Map = Mutex<HashMap<Mark, Arc<OnceCell<Outcome>>>>;
/// Which session's form, and which one of it.
type Mark = [u8; 16];

/// What forms have led to.
pub(super) struct FormOnce {
    clock: SharedClock,
    outcomes: Arc<Map>,
}

/// Where a form has led.
#[derive(Clone)]
pub(super) enum Outcome {
    /// To this page.
    Page(String),
    /// To one that shows something once.
    Shown(Arc<Shown>),
}

/// What is shown once.
pub(super) struct Shown {
    pub(super) title: &'static str,
    pub(super) about: String,
    pub(super) secret: Option<SecretText>,
    /// Where to go from there.
    pub(super) next: String,
}

impl FormOnce {
    /// Nothing yet.
    pub(super) fn new(clock: SharedClock) -> Self {
        Self { clock, outcomes: Arc::default() }
    }

    /// Does what a form asks for, unless this very form was taken before; leads to where that led.
    pub(super) async fn once<F: Future<Output = Result<Outcome, Error>>>(
        &self,
        visit: &Visit,
        fields: &Fields,
        act: impl FnOnce() -> F,
    ) -> Result<Response, Error> {
        let clock = &self.clock;
        let form = fields.get("once").map_or_else(|| RequestId::mint(clock.now()).to_string(), str::to_owned);
        let mark = mark(visit, &form);
        let place = match self.outcomes.lock().unwrap_or_else(PoisonError::into_inner).entry(mark) {
            Entry::Occupied(place) => Arc::clone(place.get()),
            Entry::Vacant(place) => {
                tokio::spawn(forget(Arc::downgrade(&self.outcomes), mark, Arc::clone(clock)));
                Arc::clone(place.insert(Arc::default()))
            }
        };
        Ok(match place.get_or_try_init(act).await? {
            Outcome::Page(to) => go(to),
            Outcome::Shown(_) => go(&format!("/ui/made/{form}")),
        })
    }

    /// What this form of the session has led to, if that is shown once.
    pub(super) fn shown(&self, visit: &Visit, form: &str) -> Option<Arc<Shown>> {
        let outcomes = self.outcomes.lock().unwrap_or_else(PoisonError::into_inner);
        match outcomes.get(&mark(visit, form))?.get()? {
            Outcome::Shown(shown) => Some(Arc::clone(shown)),
            Outcome::Page(_) => None,
        }
    }
}

fn mark(visit: &Visit, form: &str) -> Mark {
    let digest = Sha256::new().chain_update(visit.hash()).chain_update(form).finalize();
    let mut mark = Mark::default();
    mark.copy_from_slice(&digest[..16]);
    mark
}

async fn forget(outcomes: Weak<Map>, mark: Mark, clock: SharedClock) {
    clock::until(&clock, clock.uptime() + KEPT).await;
    if let Some(outcomes) = outcomes.upgrade() {
        outcomes.lock().unwrap_or_else(PoisonError::into_inner).remove(&mark);
    }
}
