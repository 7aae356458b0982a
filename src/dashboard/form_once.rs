//! Each form acts once. Its outcome is kept in memory for a minute, for the session that sent it. So a second click, or
//! a form that is sent again, leads to the same page and does nothing; and the page of a new secret can be loaded
//! again.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use poem::Response;
use sha2::{Digest, Sha256};
use tokio::sync::OnceCell;
use zeroize::Zeroizing;

use super::{fields::Fields, render::go, visit::Visit};
use crate::{
    clock::{self, SharedClock},
    domain::ids::RequestId,
    error::{Error, Result},
};

/// How long an outcome is kept.
const KEPT: Duration = Duration::from_secs(60);

type Map = Mutex<HashMap<Mark, Arc<OnceCell<Outcome>>>>;
/// The key of an outcome: a hash of the session and of the form's id.
type Mark = [u8; 16];

/// The outcomes of forms sent in the last minute.
pub(super) struct FormOnce {
    clock: SharedClock,
    outcomes: Arc<Map>,
}

/// The page that a form led to.
#[derive(Clone)]
pub(super) enum Outcome {
    /// A page.
    Page(String),
    /// A page that shows something once.
    Shown(Arc<Shown>),
}

/// The content of a page that is shown once.
pub(super) struct Shown {
    pub(super) title: &'static str,
    pub(super) about: String,
    /// The secrets, each with its name; empty if the visitor has it already.
    pub(super) secrets: Vec<(&'static str, Zeroizing<String>)>,
    /// The address of the next page.
    pub(super) next: String,
}

impl FormOnce {
    pub(super) fn new(clock: SharedClock) -> Self {
        Self { clock, outcomes: Arc::default() }
    }

    /// Does the work of a form, unless this form was sent before. Leads to its outcome.
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

    /// The content to show once, if this form of the session led to such a page.
    pub(super) fn shown(&self, visit: &Visit, form: &str) -> Option<Arc<Shown>> {
        let outcomes = self.outcomes.lock().unwrap_or_else(PoisonError::into_inner);
        match outcomes.get(&mark(visit, form))?.get()? {
            Outcome::Shown(shown) => Some(Arc::clone(shown)),
            Outcome::Page(_) => None,
        }
    }
}

fn mark(visit: &Visit, form: &str) -> Mark {
    let digest = Sha256::new().chain_update(visit.key().hash()).chain_update(form).finalize();
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
