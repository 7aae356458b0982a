//! Costly work that many callers ask for: the callers that ask during the work, and for a while after it, share one
//! result.

use std::{
    future::Future,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::watch;

/// The last run of the work, if there was one.
#[derive(Debug)]
pub(crate) struct SingleFlight<T>(Mutex<Option<Run<T>>>);

#[derive(Debug)]
struct Run<T> {
    /// When it began, as the machine's uptime.
    at: Duration,
    /// Its result, once there is one.
    result: watch::Receiver<Option<T>>,
}

impl<T> Default for SingleFlight<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Clone + Send + Sync + 'static> SingleFlight<T> {
    /// The result of the last run if it began less than `pause` ago, else of a new one. A run goes on when its caller
    /// has gone away. `None` only if the run panicked.
    pub(crate) async fn recent<F: Future<Output = T> + Send + 'static>(
        &self,
        now: Duration,
        pause: Duration,
        work: impl FnOnce() -> F,
    ) -> Option<T> {
        let mut result = self.begun(now, pause, work);
        let result = result.wait_for(Option::is_some).await;
        result.ok()?.clone()
    }

    fn begun<F: Future<Output = T> + Send + 'static>(
        &self,
        now: Duration,
        pause: Duration,
        work: impl FnOnce() -> F,
    ) -> watch::Receiver<Option<T>> {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(run) = &*last {
            let fresh = now.saturating_sub(run.at) < pause;
            // A run in progress may be waited for; one that panicked may not.
            let usable = if run.result.borrow().is_none() { run.result.has_changed().is_ok() } else { fresh };
            if usable {
                return run.result.clone();
            }
        }
        let (tell, result) = watch::channel(None);
        let work = work();
        tokio::spawn(async move { tell.send_replace(Some(work.await)) });
        *last = Some(Run { at: now, result: result.clone() });
        result
    }
}
