//! What forms have led to, kept in memory for a minute for the session that sent them. So a second click, or a form that is
//! sent anew, leads to the same page and does nothing again; and a secret stands on a page that can be loaded again meanwhile.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use poem::{
    Response, Result, handler,
    http::StatusCode,
    web::{Data, Path},
};
use sha2::{Digest, Sha256};
use tokio::sync::OnceCell;

use super::{
    Door,
    fields::Fields,
    frame::{self, Frame, go},
    session::Visit,
};
use crate::{
    api::{body::SecretText, health::passed},
    clock::SharedClock,
    domain::ids::RequestId,
    error::Error,
};

/// How long it is kept.
const KEPT: Duration = Duration::from_secs(60);

type Map = Mutex<HashMap<Mark, Arc<OnceCell<Outcome>>>>;
/// Which session's form, and which one of it.
type Mark = [u8; 16];

/// What forms have led to.
#[derive(Default)]
pub(super) struct Made(Arc<Map>);

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

impl Made {
    /// Does what a form asks for, unless this very form was taken before; leads to where that led.
    pub(super) async fn once<F: Future<Output = Result<Outcome, Error>>>(
        &self,
        door: &Door,
        visit: &Visit,
        fields: &Fields,
        act: impl FnOnce() -> F,
    ) -> Result<Response, Error> {
        let clock = &door.deps.clock;
        let form = fields.get("once").map_or_else(|| RequestId::mint(clock.now()).to_string(), str::to_owned);
        let mark = mark(visit, &form);
        let place = match self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(mark) {
            Entry::Occupied(place) => Arc::clone(place.get()),
            Entry::Vacant(place) => {
                tokio::spawn(forget(Arc::downgrade(&self.0), mark, Arc::clone(clock)));
                Arc::clone(place.insert(Arc::default()))
            }
        };
        Ok(match place.get_or_try_init(act).await? {
            Outcome::Page(to) => go(to),
            Outcome::Shown(_) => go(&format!("/ui/made/{form}")),
        })
    }

    fn shown(&self, visit: &Visit, form: &str) -> Option<Arc<Shown>> {
        let made = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match made.get(&mark(visit, form))?.get()? {
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

async fn forget(made: Weak<Map>, mark: Mark, clock: SharedClock) {
    passed(&clock, clock.uptime() + KEPT).await;
    if let Some(made) = made.upgrade() {
        made.lock().unwrap_or_else(PoisonError::into_inner).remove(&mark);
    }
}

/// The page of what is shown once.
#[handler]
pub(super) fn show(door: Data<&Door>, visit: Visit, form: Path<String>) -> Result<Response> {
    let gone = || {
        let message = "what stood here is gone: it is shown for a minute. If it was not copied, make a new one";
        poem::Error::from_string(message, StatusCode::NOT_FOUND)
    };
    let shown = door.made.shown(&visit, &form).ok_or_else(gone)?;
    frame::page(&frame::Once { frame: Frame::new(&door, &visit, ""), shown: &shown })
}
