//! Settings: one struct per concern. The defaults are the shipped `config.toml` itself.

mod alert_channel;
mod called;
mod dev;
mod flaw;
mod hint;
mod load;
mod rules;
mod secret;
mod secret_file;
mod secret_shape;
mod shown;
mod sources;
mod tls;
mod warnings;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

pub use self::{
    alert_channel::{AlertChannel, ChannelKind, channel_place, is_of_name},
    called::{Reader, command, command_for_all, quoted},
    hint::socket_address,
    secret::Secret,
    shown::Setting,
    sources::{SUDOER, no_file},
    tls::Tls,
};

/// The documented defaults, compiled in.
pub const DEFAULTS: &str = include_str!("../config.toml");

/// The keys whose values no error may show.
const SECRETS: [&str; 4] = ["alerts.smtp_url", "alerts.heartbeat_url", "alerts.webhook_url", "alerts.webhook_secret"];

/// Every setting.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The API server.
    pub server: Server,
    /// TLS of the server itself.
    pub tls: Tls,
    /// Limits of one client.
    pub limits: Limits,
    /// The database file.
    pub storage: Storage,
    /// The backups that the server makes by itself.
    pub backup: Backup,
    /// How deliveries are attempted.
    pub delivery: Delivery,
    /// How long finished records are kept.
    pub retention: Retention,
    /// Where deliveries may go.
    pub egress: Egress,
    /// The ASG Gateway dialect.
    pub asg: Asg,
    /// The AsiliChain dialect.
    pub asilichain: AsiliChain,
    /// The channels of alerts.
    pub alerts: Alerts,
    /// For monitors of the server.
    pub watch: Watch,
    /// The log.
    pub log: Log,
    /// Whether these are the settings of `ngoma serve --dev`.
    #[serde(skip)]
    pub dev: bool,
    /// The file that was read, if there was one.
    #[serde(skip)]
    file: Option<PathBuf>,
    /// A file with a secret that everybody may read.
    #[serde(skip)]
    exposed: Option<PathBuf>,
    /// The files that secrets are read from.
    #[serde(skip)]
    secret_files: Vec<PathBuf>,
    /// Those that could not be read, and secrets that cannot be one: a sentence each.
    #[serde(skip)]
    unusable_secrets: Vec<String>,
    /// Environment variables that begin like a setting but are none.
    #[serde(skip)]
    ignored: Vec<String>,
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
    /// Proxies whose `X-Forwarded-For` says who the client is.
    pub trusted_proxies: Vec<IpNet>,
}

/// Limits of one client.
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
    /// Deliveries of one account that may wait (pending or held); 0 for no limit.
    pub pending_per_account: u64,
    /// Bytes that the events of one account, and the answers to them, may take; 0 for no limit.
    pub bytes_per_account: u64,
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
    /// The durability of a commit.
    pub durability: Durability,
    /// The keys of the signing secrets.
    pub key_file: PathBuf,
}

/// The backups that the server makes by itself.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Backup {
    /// The time between two; zero: none.
    #[serde(with = "humantime_serde")]
    pub every: Duration,
    /// How many stay, the newest.
    pub keep: usize,
    /// The folder for them. A relative path begins at the folder of the database.
    pub folder: PathBuf,
}

/// The durability of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// A commit waits for the disk: it survives a power cut.
    Full,
    /// A commit waits for the operating system: it survives a crash of the program.
    Normal,
}

/// How deliveries are attempted.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Delivery {
    /// One attempt, from the look-up to the last byte.
    #[serde(with = "humantime_serde")]
    pub timeout: Duration,
    /// Longest time between two looks for due work.
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

/// How long finished records are kept, from creation.
#[derive(Debug, Clone, Copy, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Retention {
    /// Deliveries that succeeded, and events that no delivery needs any more.
    #[serde(with = "humantime_serde")]
    pub delivered: Duration,
    /// Deliveries that did not succeed.
    #[serde(with = "humantime_serde")]
    pub undelivered: Duration,
    /// Bytes in use of the database from which on the oldest delivered deliveries go sooner; 0: no limit.
    pub max_database_bytes: u64,
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
    /// Which failed delivery suspends its webhook.
    pub suspend_when: SuspendWhen,
    /// What becomes of data that does not fit the catalogue.
    pub validate: Validate,
    /// The version that every body states.
    pub api_version: String,
}

/// What becomes of data that does not fit the catalogue. It is accepted in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Validate {
    /// Nothing is said.
    Off,
    /// The answer, the log and the dashboard say where it does not fit.
    Warn,
}

/// Which failed delivery suspends its webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SuspendWhen {
    /// Any: the letter of the vendor's page.
    Any,
    /// One since whose first failure nothing was delivered to the webhook.
    Dead,
}

/// The channels of alerts.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Alerts {
    /// The mail server, with user name and password; empty: no mail.
    pub smtp_url: Secret,
    /// The file that holds it instead; empty: none.
    pub smtp_url_file: PathBuf,
    /// The sender of the mails.
    pub from: String,
    /// Where answers to the mails go; empty: to the sender.
    pub reply_to: String,
    /// The time zone of the people who read the mails.
    pub time_zone: String,
    /// Warn before a webhook is suspended.
    pub warn: bool,
    /// How long a message to people waits for others about the same account.
    #[serde(with = "humantime_serde")]
    pub gather: Duration,
    /// The operator's own address; empty: none.
    pub operator_email: String,
    /// Where the heartbeat goes; empty: nowhere.
    pub heartbeat_url: Secret,
    /// The file that holds it instead; empty: none.
    pub heartbeat_url_file: PathBuf,
    /// The time between two beats.
    #[serde(with = "humantime_serde")]
    pub heartbeat_every: Duration,
    /// Further places that each alert is POSTed to.
    pub channel: Vec<AlertChannel>,
    /// The URL that each alert is POSTed to, as a channel of the kind standard; empty: none.
    pub webhook_url: Secret,
    /// The file that holds it instead; empty: none.
    pub webhook_url_file: PathBuf,
    /// The secret that signs these POSTs.
    pub webhook_secret: Secret,
    /// The file that holds it instead; empty: none.
    pub webhook_secret_file: PathBuf,
}

/// A duration in a list.
#[derive(Debug, Clone, Copy, Deserialize, Serialize)]
pub struct Wait(#[serde(with = "humantime_serde")] pub Duration);

/// For monitors of the server.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Watch {
    /// Show the metrics to everybody.
    pub metrics_public: bool,
    /// Warn when less is free on the disk of the database, in bytes.
    pub low_space_bytes: u64,
}

/// The log.
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

/// A setting that cannot be used: its key, its source, and the expected value.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(String);
