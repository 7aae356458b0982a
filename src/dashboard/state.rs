//! The parts that all pages share.

use std::sync::Arc;

use super::{assets::Assets, form_once::FormOnce, overview_cache::Overviews};
use crate::{
    app::{App, Dialect},
    config::{Config, Setting},
    domain::ids::EndpointId,
    error::Result,
    http::{budget::Budgets, rate_limit::RateLimit},
};

/// The parts that all pages share. Cheap to clone.
#[derive(Clone)]
pub(super) struct Shared(Arc<Parts>);

pub(super) struct Parts {
    pub(super) app: App,
    pub(super) budgets: Arc<Budgets>,
    pub(super) assets: Assets,
    pub(super) quota: RateLimit,
    /// The rate limit of pages that refresh themselves: they do not count against the limit of people.
    pub(super) refreshes: RateLimit,
    pub(super) made: FormOnce,
    pub(super) overviews: Overviews,
    pub(super) settings: Vec<Setting>,
    /// Whether people come by TLS: cookies are then for TLS only.
    pub(super) secure: bool,
    /// Whether the server itself speaks TLS, and nothing else.
    pub(super) only_tls: bool,
}

impl std::ops::Deref for Shared {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl Shared {
    pub(super) fn new(app: App, budgets: Arc<Budgets>, config: &Config) -> Self {
        let limit = || RateLimit::per_minute(config.limits.requests_per_minute);
        Self(Arc::new(Parts {
            quota: limit(),
            refreshes: limit(),
            made: FormOnce::new(Arc::clone(app.clock())),
            app,
            budgets,
            assets: Assets::new(),
            overviews: Overviews::default(),
            settings: config.shown(),
            secure: config.tls.is_on() || config.server.public_url.starts_with("https://"),
            only_tls: config.tls.is_on(),
        }))
    }
}

impl Parts {
    /// The vendor of this profile.
    pub(super) fn dialect(&self, profile: &str) -> Result<&Dialect> {
        self.app.dialect(profile)
    }

    /// The names of every event, of all vendors.
    pub(super) fn kinds(&self) -> Vec<&'static str> {
        self.app.dialects().iter().flat_map(|dialect| dialect.kinds.iter().copied()).collect()
    }

    /// The id of an endpoint, as its vendor writes it.
    pub(super) fn written(&self, profile: &str, id: EndpointId) -> String {
        self.app.profiles().on_wire(profile, id)
    }
}
