//! What the doors need of the floors below, and of the engine.

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use super::{openapi::SecretText, secret::Secret};
use crate::{
    clock::SharedClock,
    config::{Limits, Watch},
    domain::{
        delivery::Attempt,
        endpoint::{Blocked, TargetUrl},
        grant::Grant,
        ids::DeliveryId,
        profile::Profiles,
        token::Caller,
    },
    error::Result,
    http::{budget::Budgets, rate_limit::RateLimit},
    store::{Db, Target},
};

/// The result of a boxed future.
type Boxed<T> = Pin<Box<dyn Future<Output = Result<T>> + Send>>;
/// The engine's judgement of a target.
pub(crate) type Vet = Arc<dyn Fn(TargetUrl) -> Boxed<Result<(), Blocked>> + Send + Sync>;
/// The engine's way to send a test delivery at once: the right to act, account, target, event, stored body.
pub(crate) type SendTest =
    Arc<dyn Fn(Grant, String, Target, String, String) -> Boxed<(DeliveryId, Attempt)> + Send + Sync>;
/// The engine's way to send a test mail to an address at once.
pub(crate) type SendTestMail = Arc<dyn Fn(String) -> Boxed<()> + Send + Sync>;

/// What the doors need.
#[derive(Clone)]
pub(crate) struct Deps {
    /// The database.
    pub(crate) db: Db,
    /// The time.
    pub(crate) clock: SharedClock,
    /// The judgement of a target.
    pub(crate) vet: Vet,
    /// The way to send a test delivery.
    pub(crate) send_test: SendTest,
    /// The way to send a test mail.
    pub(crate) send_test_mail: SendTestMail,
    /// Every vendor that is served.
    pub(crate) profiles: Profiles,
    /// How long a former secret signs too.
    pub(crate) secret_overlap: Duration,
    /// When the engine last looked for work, as the machine's uptime.
    pub(crate) looked: Arc<dyn Fn() -> Duration + Send + Sync>,
    /// The settings for monitors.
    pub(crate) watch: Watch,
    /// The limits of one client.
    pub(crate) limits: Limits,
    /// Limits the management requests of each token.
    pub(crate) rate_limit: Arc<RateLimit>,
    /// The memory that requests and answers share.
    pub(crate) budgets: Arc<Budgets>,
}

impl Deps {
    /// The subscriber's own secret, or a new one.
    pub(crate) fn secret(&self, own: Option<SecretText>) -> Result<Secret> {
        Secret::new(own)
    }

    /// A subscriber's URL.
    pub(crate) fn target(&self, text: &str) -> Result<TargetUrl> {
        TargetUrl::parse(text, self.limits.url_bytes)
    }

    /// Asks the egress guard whether this caller may have deliveries sent there.
    pub(crate) async fn vet(&self, caller: &Caller, url: &TargetUrl) -> Result<()> {
        let vetted = (self.vet)(url.clone()).await?;
        vetted
            .map_err(|blocked| if caller.scopes.is_operator() { blocked.for_operator() } else { blocked.for_account() })
    }
}
