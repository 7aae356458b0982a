//! What all pages share.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use super::{assets::Assets, backups::Backups, form_once::FormOnce, overview_cache::Overviews, visit::Visit};
use crate::{
    api::{deps::Deps, dialect::Dialect, operator},
    config::{Config, Setting, Storage},
    domain::{
        grant::Grant,
        ids::EndpointId,
        token::{Scope, Walls},
    },
    error::Error,
    http::rate_limit::RateLimit,
};

/// What all pages share. Cheap to clone.
#[derive(Clone)]
pub(super) struct Door(Arc<Parts>);

/// What all pages share.
pub(super) struct Parts {
    pub(super) deps: Deps,
    pub(super) dialects: Vec<Dialect>,
    pub(super) assets: Assets,
    pub(super) quota: RateLimit,
    /// The limit of pages that refresh themselves: they take nothing from the limit of people.
    pub(super) refreshes: RateLimit,
    pub(super) made: FormOnce,
    pub(super) overviews: Overviews,
    pub(super) backups: Backups,
    /// The machine's uptime when the server began.
    pub(super) started: Duration,
    pub(super) storage: Storage,
    pub(super) settings: Vec<Setting>,
    /// Whether people reach this server by https: then cookies are for TLS only.
    pub(super) secure: bool,
    /// Whether there is a mail server.
    pub(super) mails: bool,
}

impl std::ops::Deref for Door {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl Door {
    /// The state of a dashboard that begins now.
    pub(super) fn new(deps: Deps, dialects: Vec<Dialect>, config: &Config) -> Self {
        let limit = || RateLimit::per_minute(deps.limits.requests_per_minute);
        Self(Arc::new(Parts {
            quota: limit(),
            refreshes: limit(),
            started: deps.clock.uptime(),
            made: FormOnce::new(Arc::clone(&deps.clock)),
            deps,
            dialects,
            assets: Assets::new(),
            overviews: Overviews::default(),
            backups: Backups::default(),
            storage: config.storage.clone(),
            settings: config.shown(),
            secure: config.server.public_url.starts_with("https://"),
            mails: !config.alerts.smtp_url.is_empty(),
        }))
    }
}

impl Parts {
    /// How long the server has been running.
    pub(super) fn uptime(&self) -> Duration {
        self.deps.clock.uptime().saturating_sub(self.started)
    }

    /// The size of the database on the disk, with its log, in bytes.
    pub(super) fn database_bytes(&self) -> u64 {
        let size = |path: &Path| fs::metadata(path).map_or(0, |file| file.len());
        let log = PathBuf::from(format!("{}-wal", self.storage.path.display()));
        size(&self.storage.path) + size(&log)
    }

    /// The vendor of this profile.
    pub(super) fn dialect(&self, profile: &str) -> Result<&Dialect, Error> {
        let found = self.dialects.iter().find(|dialect| dialect.profile.name == profile);
        found.ok_or_else(|| Error::Internal(format!("no profile '{profile}'")))
    }

    /// The caller's right and walls, narrowed to the vendor of the webhook that a path names, and that webhook.
    pub(super) fn webhook(&self, visit: &Visit, written: &str) -> Result<(Grant, Walls, EndpointId), Error> {
        let (grant, walls) = visit.caller.horizon(Scope::Webhooks)?;
        let (id, walls) = operator::webhook(&self.deps.profiles, &walls, written)?;
        Ok((grant, walls, id))
    }

    /// The id of an endpoint, as its vendor writes it.
    pub(super) fn written(&self, profile: &str, id: EndpointId) -> String {
        operator::on_wire(&self.deps.profiles, profile, id)
    }
}
