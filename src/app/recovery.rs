//! Recovery: a run replays every matching delivery once, at a pace that floods no receiver.

use std::time::Duration;

use super::{Access, App, Manages, Page, PageRequest, Wanted, id};
use crate::{
    domain::{ids::RetryId, retry::Run},
    error::{Missing, Result},
    store::retries::{self, Candidates},
};

pub use crate::store::retries::{Count, is_own};

/// The time limit of counting. A run finds by itself the deliveries that were not counted.
const COUNTING: Duration = Duration::from_secs(5);

impl App {
    /// The number of deliveries that a run would replay, as far as they are found within 5 s.
    ///
    /// # Errors
    /// [`NotFound`](crate::error::Error::NotFound) for an account or a webhook that the caller does not see;
    /// [`Invalid`](crate::error::Error::Invalid) for a state from which nothing is replayed.
    pub async fn count_matching(&self, access: &Access<impl Manages>, wanted: Wanted) -> Result<Count> {
        let field = self.candidates(access, wanted).await?;
        retries::count(&self.0.db, access.grant().into(), &field, COUNTING).await
    }

    /// Counts the matching deliveries, and starts a run over them.
    ///
    /// # Errors
    /// As [`App::count_matching`]; [`Conflict`](crate::error::Error::Conflict) while ten runs of the same token go on.
    pub async fn recover(&self, access: &Access<impl Manages>, wanted: Wanted) -> Result<Run> {
        let field = self.candidates(access, wanted).await?;
        let count = retries::count(&self.0.db, access.grant().into(), &field, COUNTING).await?;
        self.write(access, move |tx, _| retries::start(tx, &field, count.matched)).await
    }

    /// Starts a run over the deliveries that were counted before.
    ///
    /// # Errors
    /// As [`App::recover`].
    pub async fn recover_counted(&self, access: &Access<impl Manages>, wanted: Wanted, matched: u64) -> Result<Run> {
        let field = self.candidates(access, wanted).await?;
        self.write(access, move |tx, _| retries::start(tx, &field, matched)).await
    }

    /// A page of runs, newest first.
    pub async fn runs(&self, access: &Access<impl Manages>, page: PageRequest) -> Result<Page<Run>> {
        let (size, before) = (self.page_size(&page)?, page.after(RetryId::parse)?);
        let found = self.read(access, move |view, scope| retries::list(view, scope, before, size + 1)).await?;
        Ok(Page::cut(found, size, |run| run.id))
    }

    /// One run, and its progress.
    pub async fn run(&self, access: &Access<impl Manages>, run: &str) -> Result<Run> {
        let run = id(RetryId::parse(run), Missing::Retry)?;
        self.read(access, move |view, scope| retries::find(view, scope, run)).await
    }

    /// Cancels a run: it replays nothing more; replays made before go out. A run that has ended stays as it is.
    ///
    /// # Errors
    /// As [`App::run`]; [`Forbidden`](crate::error::Error::Forbidden) for a run of somebody else.
    pub async fn cancel_run(&self, access: &Access<impl Manages>, run: &str) -> Result<Run> {
        let run = id(RetryId::parse(run), Missing::Retry)?;
        self.write(access, move |tx, scope| retries::cancel(tx, scope, run)).await
    }

    /// The deliveries that match now.
    async fn candidates(&self, access: &Access<impl Manages>, wanted: Wanted) -> Result<Candidates> {
        let (scope, selection) = wanted.read(&self.0.profiles, access.scope())?;
        self.read(&access.within(scope), move |view, scope| Candidates::new(view, scope, selection)).await
    }
}
