//! Recoveries: each replays every matching delivery once, at a pace that floods no receiver.

use std::time::Duration;

use super::{Access, Answer, App, Manages, Once, Page, PageRequest, Wanted, Webhooks, id, webhooks};
use crate::{
    domain::{ids::RecoveryId, recovery::Recovery, selection::Selection, token::Visible},
    error::{Missing, Result},
    store::{
        Tx, View, answers,
        candidates::{self, Candidates},
        endpoints, recoveries, replays,
    },
};

pub use crate::store::{candidates::Count, recoveries::is_own};

/// The time limit of counting. A recovery finds by itself the deliveries that were not counted.
const COUNTING: Duration = Duration::from_secs(5);

impl App {
    /// The number of deliveries that a recovery would replay, as far as they are found within 5 s.
    ///
    /// # Errors
    /// [`NotFound`](crate::error::Error::NotFound) for an account or a webhook that the caller does not see;
    /// [`Invalid`](crate::error::Error::Invalid) for a state from which nothing is replayed.
    pub async fn count_matching(&self, access: &Access<impl Manages>, wanted: Wanted) -> Result<Count> {
        let candidates = self.candidates(access, wanted).await?;
        candidates::count(&self.0.db, access.actor(), &candidates, COUNTING).await
    }

    /// As [`App::count_matching`], of one webhook.
    ///
    /// # Errors
    /// [`NotFound`](crate::error::Error::NotFound) also for a deleted webhook.
    pub async fn count_matching_of(
        &self,
        access: &Access<Webhooks>,
        webhook: &str,
        selection: Selection,
    ) -> Result<Count> {
        let (endpoint, narrowed) = self.resolve(access, webhook)?;
        self.read(&narrowed, move |view, visible| webhooks::find(view, visible, endpoint)).await?;
        self.count_matching(access, Wanted { webhook: Some(webhook.to_owned()), selection }).await
    }

    /// Counts the matching deliveries, and starts a recovery over them.
    ///
    /// # Errors
    /// As [`App::count_matching`]; [`Conflict`](crate::error::Error::Conflict) while ten recoveries of the same token go
    /// on.
    pub async fn recover(&self, access: &Access<impl Manages>, wanted: Wanted) -> Result<Recovery> {
        let candidates = self.candidates(access, wanted).await?;
        let count = candidates::count(&self.0.db, access.actor(), &candidates, COUNTING).await?;
        self.write(access, move |tx, _| recoveries::start(tx, &candidates, count.matched)).await
    }

    /// As [`App::recover`], of one webhook.
    ///
    /// # Errors
    /// [`NotFound`](crate::error::Error::NotFound) also for a deleted webhook;
    /// [`Conflict`](crate::error::Error::Conflict) also while it is suspended;
    /// [`Invalid`](crate::error::Error::Invalid) also if the key came before with another request.
    pub async fn recover_webhook(
        &self,
        access: &Access<Webhooks>,
        webhook: &str,
        selection: Selection,
        once: Once<Recovery>,
    ) -> Result<Answer> {
        let (endpoint, narrowed) = self.resolve(access, webhook)?;
        let owner = move |view: &View<'_>, visible: &Visible| {
            answers::account_of(view, endpoints::find(view, visible, endpoint)?.key)
        };
        if let Some(answer) = self.answered(&narrowed, &once, owner).await? {
            return Ok(answer);
        }
        let wanted = Wanted { webhook: Some(webhook.to_owned()), selection };
        let candidates = self.candidates(access, wanted).await?;
        let count = candidates::count(&self.0.db, access.actor(), &candidates, COUNTING).await?;
        let start = move |tx: &Tx<'_>, visible: &Visible| {
            let work = |tx: &Tx<'_>| {
                replays::expect_active(&webhooks::find(tx, visible, endpoint)?)?;
                recoveries::start(tx, &candidates, count.matched)
            };
            once.run(tx, |tx| owner(tx, visible), work)
        };
        self.write(&narrowed, start).await
    }

    /// Starts a recovery over the deliveries that were counted before.
    ///
    /// # Errors
    /// As [`App::recover`].
    pub async fn recover_counted(
        &self,
        access: &Access<impl Manages>,
        wanted: Wanted,
        matched: u64,
    ) -> Result<Recovery> {
        let candidates = self.candidates(access, wanted).await?;
        self.write(access, move |tx, _| recoveries::start(tx, &candidates, matched)).await
    }

    /// A page of recoveries, newest first.
    pub async fn recoveries(&self, access: &Access<impl Manages>, page: PageRequest) -> Result<Page<Recovery>> {
        let (size, before) = (self.page_size(&page)?, page.after(RecoveryId::parse)?);
        let found = self.read(access, move |view, visible| recoveries::list(view, visible, before, size + 1)).await?;
        Ok(Page::cut(found, size, |recovery| recovery.id))
    }

    /// One recovery, its progress, and what became of its replays.
    pub async fn recovery(&self, access: &Access<impl Manages>, recovery: &str) -> Result<Recovery> {
        let recovery = id(RecoveryId::parse(recovery), Missing::Recovery)?;
        self.read(access, move |view, visible| recoveries::find(view, visible, recovery)).await
    }

    /// Cancels a recovery: it replays nothing more; replays made before go out. A recovery that has ended stays as it
    /// is.
    ///
    /// # Errors
    /// As [`App::recovery`]; [`Forbidden`](crate::error::Error::Forbidden) for a recovery of somebody else.
    pub async fn cancel_recovery(&self, access: &Access<impl Manages>, recovery: &str) -> Result<Recovery> {
        let recovery = id(RecoveryId::parse(recovery), Missing::Recovery)?;
        self.write(access, move |tx, visible| recoveries::cancel(tx, visible, recovery)).await
    }

    /// The deliveries that match now.
    async fn candidates(&self, access: &Access<impl Manages>, wanted: Wanted) -> Result<Candidates> {
        let (visible, selection) = wanted.read(&self.0.profiles, access.visible())?;
        self.0.dialects.check_event(&visible, selection.kind.as_deref())?;
        self.read(&access.within(visible), move |view, visible| Candidates::new(view, visible, selection)).await
    }
}
