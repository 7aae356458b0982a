//! Settings: one struct per concern. The defaults are the shipped `config.toml` itself.

mod flaw;
mod secret;
mod shown;
mod warnings;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use figment::{
    Figment, Metadata,
    providers::{Env, Format, Serialized, Toml},
};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use self::{
    flaw::{explain, given, source},
    warnings::exposed,
};
pub use self::{secret::Secret, shown::Setting};

/// The documented defaults, compiled in.
pub const DEFAULTS: &str = include_str!("../config.toml");

/// The file that is read when none is named.
const USUAL_FILE: &str = "config.toml";

/// What no error may show.
const SECRETS: [&str; 3] = ["alerts.smtp_url", "alerts.webhook_url", "alerts.webhook_secret"];

/// Every setting.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The API server.
    pub server: Server,
    /// What one client may take.
    pub limits: Limits,
    /// The database file.
    pub storage: Storage,
    /// How deliveries are attempted.
    pub delivery: Delivery,
    /// How long what was is kept.
    pub retention: Retention,
    /// Where deliveries may go.
    pub egress: Egress,
    /// The ASG Gateway dialect.
    pub asg: Asg,
    /// The AsiliChain dialect.
    pub asilichain: AsiliChain,
    /// Who is told, and how, when a webhook is in trouble.
    pub alerts: Alerts,
    /// For whoever watches the server.
    pub watch: Watch,
    /// What is logged, and how.
    pub log: Log,
    /// The file that shows a secret to everybody.
    #[serde(skip)]
    exposed: Option<PathBuf>,
}

/// The API server.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// Address and port.
    pub listen: SocketAddr,
    /// The address by which people reach it; empty: `listen`.
    pub public_url: String,
    /// Largest request body, in bytes.
    pub max_body_bytes: usize,
    /// Largest body of a batch, in bytes.
    pub max_batch_bytes: usize,
}

/// What one client may take.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// API connections at the same time.
    pub connections: usize,
    /// Connections of one remote address at the same time.
    pub connections_per_client: usize,
    /// How long a connection may go without taking an answer.
    #[serde(with = "humantime_serde")]
    pub client_timeout: Duration,
    /// Headers of a request.
    pub request_headers: usize,
    /// All names and values of a request's headers together, in bytes.
    pub request_header_bytes: usize,
    /// The host, if it is in the request's first line, with path and query, in bytes.
    pub request_url_bytes: usize,
    /// Management requests of one token; 0 for no limit.
    pub requests_per_minute: u32,
    /// Writes that may wait for the database.
    pub waiting_writes: usize,
    /// Events of a batch.
    pub events_per_batch: usize,
    /// Deliveries that a batch comes to.
    pub deliveries_per_batch: usize,
    /// Batches that are checked or wait for the database at the same time.
    pub batches: usize,
    /// Request bodies in memory, in bytes.
    pub request_bytes: usize,
    /// Answers on their way, in bytes.
    pub answer_bytes: usize,
    /// Endpoints of one account that are not deleted.
    pub webhooks_per_account: u64,
    /// Entries of an endpoint's filter.
    pub events_per_webhook: usize,
    /// Longest target URL.
    pub url_bytes: usize,
    /// Longest string in a payload.
    pub string_bytes: usize,
    /// Deepest nesting of a payload.
    pub json_depth: usize,
    /// Most deliveries on a page.
    pub page_size: u32,
}

/// The database file.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Storage {
    /// The SQLite file.
    pub path: PathBuf,
    /// What a commit waits for.
    pub durability: Durability,
    /// The keys of the signing secrets.
    pub key_file: PathBuf,
}

/// What a commit waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// For the disk: survives a power cut.
    Full,
    /// For the operating system: survives a crash of the program.
    Normal,
}

/// How deliveries are attempted.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Delivery {
    /// One attempt, from the look-up to the last byte.
    #[serde(with = "humantime_serde")]
    pub timeout: Duration,
    /// Look for due work at least this often.
    #[serde(with = "humantime_serde")]
    pub poll_interval: Duration,
    /// Attempts at the same time, over all endpoints.
    pub max_in_flight: usize,
    /// Attempts at the same time to one endpoint.
    pub max_in_flight_per_endpoint: usize,
    /// Large bodies in memory, over all endpoints, in bytes.
    pub max_in_flight_bytes: usize,
    /// How long a former secret signs too.
    #[serde(with = "humantime_serde")]
    pub secret_overlap: Duration,
}

/// How long what was is kept, counted from when it was made.
#[derive(Debug, Clone, Copy, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Retention {
    /// Deliveries that succeeded, and events nobody needs any more.
    #[serde(with = "humantime_serde")]
    pub delivered: Duration,
    /// Deliveries that did not.
    #[serde(with = "humantime_serde")]
    pub undelivered: Duration,
}

/// Where deliveries may go.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Egress {
    /// Take `http://` targets.
    pub allow_http: bool,
    /// Deliver to public addresses.
    pub public: bool,
    /// A PEM file of further certificate authorities; empty for none.
    pub extra_ca: PathBuf,
    /// Blocks let through the guard.
    pub allow: Vec<IpNet>,
}

/// The ASG Gateway dialect.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Asg {
    /// Attempts in all.
    pub max_attempts: u32,
    /// The wait after each failure.
    pub waits: Vec<Wait>,
}

/// The AsiliChain dialect.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct AsiliChain {
    /// The wait after each failure.
    pub waits: Vec<Wait>,
    /// Stated in every body.
    pub api_version: String,
}

/// Who is told, and how, when a webhook is in trouble.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Alerts {
    /// The mail server, with user name and password; empty: no mail.
    pub smtp_url: Secret,
    /// The sender of the mails.
    pub from: String,
    /// Warn before a webhook is suspended.
    pub warn: bool,
    /// Where each alert is POSTed too; empty: nowhere.
    pub webhook_url: Secret,
    /// What those are signed with.
    pub webhook_secret: Secret,
}

/// A duration in a list.
#[derive(Debug, Clone, Copy, Deserialize, Serialize)]
pub struct Wait(#[serde(with = "humantime_serde")] pub Duration);

/// For whoever watches the server.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Watch {
    /// Show the figures to everybody.
    pub metrics_public: bool,
    /// Warn when less is free on the disk of the database, in bytes.
    pub low_space_bytes: u64,
}

/// What is logged, and how.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// Text or JSON.
    pub format: LogFormat,
    /// The least level, or a filter per module.
    pub level: String,
}

/// The form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines: one object a line.
    Json,
}

/// A setting that cannot be used: which, from where, and what was expected.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(String);

impl Config {
    /// Reads the settings: defaults, then `file` (or `config.toml` in the working folder, if it is there), then the
    /// environment. Paths become relative to the file's folder.
    ///
    /// # Errors
    /// An unknown key or a bad value, named with its source and what was expected.
    pub fn load(file: Option<&Path>) -> Result<Self, ConfigError> {
        let usual = Path::new(USUAL_FILE);
        let file = file.or_else(|| usual.exists().then_some(usual));
        let mut figment = Figment::from(Toml::string(DEFAULTS));
        if let Some(path) = file {
            if !path.is_file() {
                return Err(ConfigError(format!("{} is not there, or is no file", path.display())));
            }
            figment = figment.merge(Toml::file_exact(path));
        }
        figment = figment.merge(Env::prefixed("NGOMA_").split("__"));
        if let Some(limit) = std::env::var_os("WEBHOOK_RETRY_MAX") {
            let limit = limit.to_string_lossy().parse::<u32>().map_err(|_| {
                ConfigError(
                    "WEBHOOK_RETRY_MAX in the environment: expected the number of attempts, such as 3".to_owned(),
                )
            })?;
            let given = figment::Metadata::named("WEBHOOK_RETRY_MAX environment variable");
            figment = figment.merge(Named(given, Serialized::default("asg.max_attempts", limit)));
        }
        let mut config: Self = figment.extract().map_err(|error| ConfigError(explain(&figment, &error)))?;
        let folder = file.and_then(Path::parent).unwrap_or(Path::new(""));
        config.storage.path = folder.join(&config.storage.path);
        config.storage.key_file = folder.join(&config.storage.key_file);
        if config.egress.extra_ca != Path::new("") {
            config.egress.extra_ca = folder.join(&config.egress.extra_ca);
        }
        config.check_limits(&figment)?;
        config.exposed = exposed(&figment);
        Ok(config)
    }

    fn check_limits(&self, figment: &Figment) -> Result<(), ConfigError> {
        let rules = [self.delivery_rules(), self.client_rules(), self.retention_rules()];
        match rules.into_iter().flatten().find(|(holds, ..)| !holds) {
            Some((_, key, expected)) => {
                let given = given(figment, key).map_or_else(String::new, |value| format!(" = {value}"));
                let source = source(figment.find_metadata(key));
                Err(ConfigError(format!("{key}{given}{source} is out of its limits: expected {expected}")))
            }
            None => Ok(()),
        }
    }

    /// What one client may take.
    fn client_rules(&self) -> Vec<Rule> {
        let (server, limits) = (&self.server, &self.limits);
        vec![
            (server.max_body_bytes >= 1024, "server.max_body_bytes", "at least 1024"),
            (server.max_batch_bytes >= 1024, "server.max_batch_bytes", "at least 1024"),
            ((1..=100_000).contains(&limits.connections), "limits.connections", "1 to 100000"),
            ((1..=100_000).contains(&limits.connections_per_client), "limits.connections_per_client", "1 to 100000"),
            ((16..=100).contains(&limits.request_headers), "limits.request_headers", "16 to 100"),
            ((1024..=32_768).contains(&limits.request_header_bytes), "limits.request_header_bytes", "1024 to 32768"),
            ((256..=16_384).contains(&limits.request_url_bytes), "limits.request_url_bytes", "256 to 16384"),
            ((1..=1_000_000).contains(&limits.waiting_writes), "limits.waiting_writes", "1 to 1000000"),
            ((1..=10_000).contains(&limits.events_per_batch), "limits.events_per_batch", "1 to 10000"),
            (limits.deliveries_per_batch >= 1, "limits.deliveries_per_batch", "at least 1"),
            ((1..=1000).contains(&limits.batches), "limits.batches", "1 to 1000"),
            (limits.request_bytes >= 1 << 20, "limits.request_bytes", "at least 1048576"),
            (limits.answer_bytes >= 1 << 20, "limits.answer_bytes", "at least 1048576"),
            ((16..=65_536).contains(&limits.url_bytes), "limits.url_bytes", "16 to 65536"),
            ((1..=500).contains(&limits.json_depth), "limits.json_depth", "1 to 500"),
            ((1..=1000).contains(&limits.page_size), "limits.page_size", "1 to 1000"),
            (
                limits.client_timeout >= self.delivery.timeout + Duration::from_secs(5),
                "limits.client_timeout",
                "at least delivery.timeout + 5s: a test delivery is answered when its attempt has ended",
            ),
        ]
    }

    /// How deliveries are attempted, and what is logged.
    fn delivery_rules(&self) -> Vec<Rule> {
        let second = Duration::from_secs(1);
        let minute = Duration::from_secs(60);
        let day = Duration::from_secs(86_400);
        let wait_fits = |waits: &[Wait]| waits.iter().all(|wait| wait.0 <= 7 * day);
        vec![
            (
                (Duration::from_millis(100)..=minute).contains(&self.delivery.timeout),
                "delivery.timeout",
                "100ms to 60s",
            ),
            ((second / 100..=minute).contains(&self.delivery.poll_interval), "delivery.poll_interval", "10ms to 60s"),
            ((2..=512).contains(&self.delivery.max_in_flight), "delivery.max_in_flight", "2 to 512"),
            (
                (1..=self.delivery.max_in_flight).contains(&self.delivery.max_in_flight_per_endpoint),
                "delivery.max_in_flight_per_endpoint",
                "1 to max_in_flight",
            ),
            (self.delivery.max_in_flight_bytes >= 1 << 20, "delivery.max_in_flight_bytes", "at least 1048576"),
            (self.delivery.secret_overlap <= 30 * day, "delivery.secret_overlap", "at most 30d"),
            ((1..=100).contains(&self.asg.max_attempts), "asg.max_attempts", "1 to 100"),
            (
                !self.asg.waits.is_empty() && wait_fits(&self.asg.waits),
                "asg.waits",
                "one wait or more, each at most 7d",
            ),
            (
                self.log.level.contains('=')
                    || ["error", "warn", "info", "debug", "trace"].contains(&self.log.level.as_str()),
                "log.level",
                "error, warn, info, debug or trace",
            ),
            (
                self.asilichain.waits.len() < 100 && wait_fits(&self.asilichain.waits),
                "asilichain.waits",
                "at most 99 waits, each at most 7d",
            ),
        ]
    }

    /// How long what was is kept.
    fn retention_rules(&self) -> Vec<Rule> {
        let day = Duration::from_secs(86_400);
        let Retention { delivered, undelivered } = self.retention;
        vec![
            (
                (day..=36_500 * day).contains(&delivered),
                "retention.delivered",
                "1d to 36500d: an idempotency key must hold for a day",
            ),
            (
                (delivered.max(8 * day)..=36_500 * day).contains(&undelivered),
                "retention.undelivered",
                "as long as retention.delivered, and 8d, to 36500d: a week's notice is given of what is held",
            ),
        ]
    }
}

/// Whether it holds, the key it is about, and what is expected of it.
type Rule = (bool, &'static str, &'static str);

/// A provider whose errors are told under another name.
struct Named(Metadata, Serialized<u32>);

impl figment::Provider for Named {
    fn metadata(&self) -> Metadata {
        self.0.clone()
    }

    fn data(&self) -> Result<figment::value::Map<figment::Profile, figment::value::Dict>, figment::Error> {
        self.1.data()
    }
}
