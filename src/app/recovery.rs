//! Recovery: every delivery that matches is sent again, once. A run does it, at a pace that floods nobody.

use std::time::Duration;

use super::{Access, App, Manages, Page, PageRequest, Wanted, id};
use crate::{
    domain::{ids::RetryId, retry::Run},
    error::{Missing, Result},
    store::retries::{self, Candidates},
};

pub use crate::store::retries::{Count, is_own};

/// Counting takes no longer: a caller is answered in time, and a run finds what there is by itself.
const COUNTING: Duration = Duration::from_secs(5);

impl App {
    /// How many deliveries a run would send again; if counting takes more than 5 s, how many were found by then.
    ///
    /// # Errors
    /// [`NotFound`](crate::error::Error::NotFound) for an account or a webhook that the caller does not see;
    /// [`Invalid`](crate::error::Error::Invalid) for a state from which nothing is sent again.
    pub async fn count_matching(&self, access: &Access<impl Manages>, wanted: Wanted) -> Result<Count> {
        let field = self.candidates(access, wanted).await?;
        retries::count(&self.0.db, access.grant().into(), &field, COUNTING).await
    }

    /// Counts what matches now, and starts a run over it.
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

    /// One run, and how far it has come.
    pub async fn run(&self, access: &Access<impl Manages>, run: &str) -> Result<Run> {
        let run = id(RetryId::parse(run), Missing::Retry)?;
        self.read(access, move |view, scope| retries::find(view, scope, run)).await
    }

    /// Ends a run: what it has sent again by now goes out. One that has ended stays as it is.
    ///
    /// # Errors
    /// As [`App::run`]; [`Forbidden`](crate::error::Error::Forbidden) for a run that somebody else has started.
    pub async fn cancel_run(&self, access: &Access<impl Manages>, run: &str) -> Result<Run> {
        let run = id(RetryId::parse(run), Missing::Retry)?;
        self.write(access, move |tx, scope| retries::cancel(tx, scope, run)).await
    }

    /// What a run goes over, as it is now.
    async fn candidates(&self, access: &Access<impl Manages>, wanted: Wanted) -> Result<Candidates> {
        let (scope, selection) = wanted.read(&self.0.profiles, access.scope())?;
        self.read(&access.within(scope), move |view, scope| Candidates::new(view, scope, selection)).await
    }
}
