//! The overview.

use std::{pin::Pin, sync::Arc, time::Duration};

use super::{Access, App, Manages};
use crate::{
    domain::{endpoint::EndpointState, timestamp::Timestamp},
    error::{Error, Result},
    store::{
        self, channels,
        overview::{self, Overview},
        tokens::{self, TokenRecord},
        webhooks::{self, Filter, Report},
    },
};

pub use crate::store::OldBackup;

/// The overview within the visible part, at a moment.
#[derive(Debug)]
pub struct Snapshot {
    /// The moment.
    pub now: Timestamp,
    /// The counts.
    pub all: Overview,
    /// Some suspended webhooks.
    pub suspended: Vec<Report>,
    /// Some active webhooks whose last attempt failed.
    pub failing: Vec<Report>,
    /// The number of alerts whose sending has failed so far. Only the operator sees it; others see 0.
    pub unsent: u64,
    /// Some tokens that expire within a week, or have expired within a week and are not revoked; the next one first.
    pub expiring: Vec<TokenRecord>,
    /// A sentence about the disk, if it has little room. Only the operator sees it.
    pub disk: Option<String>,
    /// The last backup, if it is too old. Only the operator sees it.
    pub backup: Option<OldBackup>,
}

/// People are warned this long before a token expires.
const WEEK: Duration = Duration::from_secs(7 * 86_400);

/// A reading of the overview that has not begun.
pub type Reading = Pin<Box<dyn Future<Output = Result<Arc<Snapshot>>> + Send>>;

impl App {
    /// The overview within the visible part, with at most `shown` webhooks in each list.
    pub async fn overview(&self, access: &Access<impl Manages>, shown: usize) -> Result<Snapshot> {
        let seen = self.read_overview(access, shown).await;
        self.check_access(access)?;
        seen
    }

    /// As [`App::overview`], for callers who see the same and share a reading: `share` runs this one, or returns
    /// the result of another caller's. It returns `None` if the reading panicked.
    pub async fn shared_overview<F: Future<Output = Option<Result<Arc<Snapshot>>>>>(
        &self,
        access: &Access<impl Manages>,
        shown: usize,
        share: impl FnOnce(Reading) -> F,
    ) -> Result<Arc<Snapshot>> {
        let (app, reader) = (self.clone(), access.clone());
        let seen = share(Box::pin(async move { app.read_overview(&reader, shown).await.map(Arc::new) })).await;
        self.check_access(access)?;
        seen.unwrap_or_else(|| Err(Error::Internal("a reading of the overview panicked".to_owned())))
    }

    /// The overview, without a check of the access after the reading.
    async fn read_overview(&self, access: &Access<impl Manages>, shown: usize) -> Result<Snapshot> {
        let (visible, is_operator, now) = (access.visible().clone(), access.is_operator(), self.now());
        let disk = self.low_disk().filter(|_| is_operator);
        let last = if is_operator { self.0.backups.look().await.map(|last| last.made_at) } else { None };
        let (oldest, set_up) = (self.0.backups.oldest_allowed(), self.0.engine.alerts().set_up());
        let read = self.0.db.read(move |view| {
            let suspended = Filter { state: Some(EndpointState::Suspended), ..Filter::default() };
            let failing = Filter { failing: true, ..Filter::default() };
            Ok(Snapshot {
                now,
                all: overview::look(view, &visible, now)?,
                suspended: webhooks::list(view, &visible, &suspended, shown, now)?.0,
                failing: webhooks::list(view, &visible, &failing, shown, now)?.0,
                expiring: tokens::expiring(view, &visible, (now - WEEK, now + WEEK), shown)?,
                unsent: if is_operator { channels::failing_count(view, &set_up)? } else { 0 },
                disk,
                backup: if is_operator { store::old_backup(view, last, oldest, now)? } else { None },
            })
        });
        read.await
    }
}
