//! The overview.

use super::{Access, App, Manages};
use crate::{
    domain::{endpoint::EndpointState, timestamp::Timestamp},
    error::Result,
    store::{
        alerts,
        overview::{self, Overview},
        webhooks::{self, Filter, Report},
    },
};

/// The overview within an access scope, at a moment.
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
    /// The number of alerts that are not sent yet. Only the operator sees it; others see 0.
    pub unsent: u64,
}

impl App {
    /// How everything stands that a caller sees, with as many webhooks of each kind that needs somebody as are asked
    /// for.
    pub async fn overview(&self, access: &Access<impl Manages>, shown: usize) -> Result<Snapshot> {
        let seen = self.overview_for_all(access, shown).await;
        self.check_access(access)?;
        seen
    }

    /// As [`App::overview`], for callers with the same scope who share one look. It does not check the access after the
    /// read: each caller must ask [`App::check_access`] before showing it.
    pub async fn overview_for_all(&self, access: &Access<impl Manages>, shown: usize) -> Result<Snapshot> {
        let (scope, is_operator, now) = (access.scope().clone(), access.is_operator(), self.now());
        let look = self.0.db.read(move |view| {
            let suspended = Filter { state: Some(EndpointState::Suspended), ..Filter::default() };
            let failing = Filter { failing: true, ..Filter::default() };
            Ok(Snapshot {
                now,
                all: overview::look(view, &scope, now)?,
                suspended: webhooks::list(view, &scope, &suspended, shown, now)?.0,
                failing: webhooks::list(view, &scope, &failing, shown, now)?.0,
                unsent: if is_operator { alerts::unsent_count(view)? } else { 0 },
            })
        });
        look.await
    }
}
