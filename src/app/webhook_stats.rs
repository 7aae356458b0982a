//! The statistics of one webhook.

use std::time::Duration;

use super::{Access, App, Webhooks, webhooks::find};
use crate::{
    domain::token::Visible,
    error::Result,
    store::{
        View, webhook_stats,
        webhooks::{self, Report},
    },
};

pub use crate::store::webhook_stats::Fared;

/// The time that the statistics of a webhook are about.
const DAY: Duration = Duration::from_secs(24 * 3600);

/// How a webhook has fared in the last 24 hours.
#[derive(Debug)]
pub struct WebhookStats {
    /// Its numbers of waiting and held deliveries.
    pub report: Report,
    /// What its attempts show.
    pub fared: Fared,
    /// Deliveries that were given up and not replayed, tests left out: 10,000 at most.
    pub unreplayed: u64,
}

impl App {
    /// How a webhook has fared, measured from its attempts.
    pub async fn webhook_stats(&self, access: &Access<Webhooks>, webhook: &str) -> Result<WebhookStats> {
        let ((id, access), now) = (self.resolve(access, webhook)?, self.now());
        let look = move |view: &View<'_>, visible: &Visible| {
            let key = find(view, visible, id)?.key;
            Ok(WebhookStats {
                report: webhooks::find(view, visible, id, now)?,
                fared: webhook_stats::measure(view, key, now - DAY)?,
                unreplayed: webhook_stats::unreplayed(view, key)?,
            })
        };
        self.read(&access, look).await
    }
}
