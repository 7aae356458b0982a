//! The range of each setting.

use std::time::Duration;

use figment::Figment;

use super::{
    Backup, Config, ConfigError, Retention, Storage, Wait,
    flaw::{equals, source},
    tls::is_name,
};

/// The largest request body that may be allowed: several copies of it are in memory while it is read, checked and
/// stored.
const MOST_BYTES: usize = 100_000_000;

/// A rule: whether it holds, the key, and the expected value in words.
type Rule = (bool, &'static str, &'static str);

impl Config {
    pub(super) fn check_limits(&self, figment: &Figment) -> Result<(), ConfigError> {
        let rules = [
            self.storage_rules(),
            self.backup_rules(),
            self.delivery_rules(),
            self.client_rules(),
            self.retention_rules(),
            self.tls_rules(),
        ];
        match rules.into_iter().flatten().find(|(holds, ..)| !holds) {
            Some((_, key, expected)) => {
                let given = equals(figment, key);
                let source = source(figment.find_metadata(key), key);
                Err(ConfigError(format!("{key}{given}{source}: expected {expected}")))
            }
            None => Ok(()),
        }
    }

    /// Names that SQLite does not take for a file, or that are names of its own files beside the database.
    fn storage_rules(&self) -> Vec<Rule> {
        const BESIDE: [&str; 3] = ["-wal", "-shm", "-journal"];
        let Storage { path, key_file, .. } = &self.storage;
        let (name, key_name) = (path.to_string_lossy(), key_file.to_string_lossy());
        let of_sqlite = name.is_empty() || name.starts_with(':') || name.to_ascii_lowercase().starts_with("file:");
        let of_database =
            |key: &str| key.strip_prefix(&*name).is_some_and(|rest| rest.is_empty() || BESIDE.contains(&rest));
        vec![
            (
                !of_sqlite && !BESIDE.iter().any(|end| name.ends_with(end)),
                "storage.path",
                "the name of a file, such as ngoma.db: not empty, without ':' or 'file:' in front, and without -wal, -shm or -journal at the end",
            ),
            (
                !key_name.is_empty() && !of_database(&key_name),
                "storage.key_file",
                "the name of a file of its own, such as ngoma.key",
            ),
        ]
    }

    fn backup_rules(&self) -> Vec<Rule> {
        let (minute, day) = (Duration::from_secs(60), Duration::from_secs(86_400));
        let Backup { every, keep, folder } = &self.backup;
        let fits = every.is_zero() || (10 * minute..=30 * day).contains(every);
        vec![
            (fits, "backup.every", "10m to 30d, or 0s for no backups"),
            ((1..=1000).contains(keep), "backup.keep", "1 to 1000"),
            (!folder.as_os_str().is_empty(), "backup.folder", "the name of a folder, such as backups"),
        ]
    }

    fn client_rules(&self) -> Vec<Rule> {
        let (server, limits) = (&self.server, &self.limits);
        vec![
            ((1024..=MOST_BYTES).contains(&server.max_body_bytes), "server.max_body_bytes", "1024 to 100000000"),
            ((1024..=MOST_BYTES).contains(&server.max_batch_bytes), "server.max_batch_bytes", "1024 to 100000000"),
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

    /// Attempts of deliveries, and the log.
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
            ((2..=4096).contains(&self.delivery.max_in_flight), "delivery.max_in_flight", "2 to 4096"),
            (
                (1..=4096).contains(&self.delivery.max_in_flight_per_endpoint),
                "delivery.max_in_flight_per_endpoint",
                "1 to 4096",
            ),
            (self.delivery.max_in_flight_bytes >= 1 << 20, "delivery.max_in_flight_bytes", "at least 1048576"),
            (self.alerts.gather <= 5 * minute, "alerts.gather", "0s to 5m"),
            ((minute..=30 * day).contains(&self.alerts.heartbeat_every), "alerts.heartbeat_every", "1m to 30d"),
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

    fn retention_rules(&self) -> Vec<Rule> {
        let day = Duration::from_secs(86_400);
        let Retention { delivered, undelivered, max_database_bytes } = self.retention;
        vec![
            (
                max_database_bytes == 0 || max_database_bytes >= 10_000_000,
                "retention.max_database_bytes",
                "at least 10000000, or 0 for no limit",
            ),
            (
                (day..=36_500 * day).contains(&delivered),
                "retention.delivered",
                "1d to 36500d: an idempotency key must hold for a day",
            ),
            (
                (delivered.max(8 * day)..=36_500 * day).contains(&undelivered),
                "retention.undelivered",
                "at least retention.delivered and at least 8d, at most 36500d: an alert comes a week before held deliveries are cancelled",
            ),
        ]
    }

    fn tls_rules(&self) -> Vec<Rule> {
        let tls = &self.tls;
        let contact = tls.contact.strip_prefix("mailto:");
        vec![
            (
                tls.domains.iter().all(|name| is_name(name)),
                "tls.domains",
                "names in lower case such as \"hooks.coop.example\", without https://, port or *",
            ),
            (
                (1..tls.domains.len()).all(|at| !tls.domains[..at].contains(&tls.domains[at])),
                "tls.domains",
                "each name once",
            ),
            (
                tls.contact.is_empty() || contact.is_some_and(|address| address.contains('@')),
                "tls.contact",
                "an address such as \"mailto:ops@coop.example\"",
            ),
            (
                tls.directory.starts_with("https://"),
                "tls.directory",
                "an address that begins with https://, such as https://acme-v02.api.letsencrypt.org/directory",
            ),
            (
                tls.has_files() != tls.key.as_os_str().is_empty(),
                "tls.key",
                "the file of the private key if tls.certificate is set, else nothing",
            ),
            (
                tls.http_listen.is_none() || !tls.domains.is_empty(),
                "tls.http_listen",
                "\"\" while tls.domains is empty: only these names are redirected",
            ),
        ]
    }
}
