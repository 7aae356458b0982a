//! A look at something that costs: shared by all who ask meanwhile, and for a while after.

use std::{
    future::Future,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::watch;

/// The last look, if there was one.
#[derive(Debug)]
pub(super) struct Looks<T>(Mutex<Option<Look<T>>>);

#[derive(Debug)]
struct Look<T> {
    /// When it began, as the machine's uptime.
    at: Duration,
    /// What it found, once it has.
    found: watch::Receiver<Option<T>>,
}

impl<T> Default for Looks<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Clone + Send + Sync + 'static> Looks<T> {
    /// What the last look found if it began less than `pause` ago; else what a new one finds, which goes on when whoever
    /// asked for it has gone away. `None` only if a look panicked.
    pub(super) async fn last<F: Future<Output = T> + Send + 'static>(
        &self,
        now: Duration,
        pause: Duration,
        look: impl FnOnce() -> F,
    ) -> Option<T> {
        let mut found = self.begun(now, pause, look);
        let found = found.wait_for(Option::is_some).await;
        found.ok()?.clone()
    }

    fn begun<F: Future<Output = T> + Send + 'static>(
        &self,
        now: Duration,
        pause: Duration,
        look: impl FnOnce() -> F,
    ) -> watch::Receiver<Option<T>> {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(look) = &*last {
            let fresh = now.saturating_sub(look.at) < pause;
            // One that is under way may be waited for; one that panicked may not.
            let told = if look.found.borrow().is_none() { look.found.has_changed().is_ok() } else { fresh };
            if told {
                return look.found.clone();
            }
        }
        let (tell, found) = watch::channel(None);
        let look = look();
        tokio::spawn(async move { tell.send_replace(Some(look.await)) });
        *last = Some(Look { at: now, found: found.clone() });
        found
    }
}
