//! Warnings about settings that can be used but should be changed.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use figment::{Figment, Source};

use super::{Config, SECRETS};

/// The mode by which everybody may read a file.
const READ_BY_ALL: u32 = 0o004;

/// The memory that this process may have, in bytes: that of the machine, or less if its control group says so. `None`
/// if neither is known.
fn memory() -> Option<u64> {
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let kilobytes = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?.trim().trim_end_matches(" kB");
        Some(kilobytes.parse::<u64>().ok()? * 1024)
    });
    let group = fs::read_to_string("/sys/fs/cgroup/memory.max").ok().and_then(|text| text.trim().parse().ok());
    machine.into_iter().chain(group).min()
}

/// The file that holds a secret and can be read by everybody, if there is one.
pub(super) fn exposed(figment: &Figment) -> Option<PathBuf> {
    let given = SECRETS.iter().filter(|key| figment.extract_inner::<String>(key).is_ok_and(|text| !text.is_empty()));
    let mut files = given.filter_map(|key| match &figment.find_metadata(key)?.source {
        Some(Source::File(path)) => Some(path.clone()),
        _ => None,
    });
    files.find(|path| is_read_by_all(path))
}

fn is_read_by_all(path: &Path) -> bool {
    path.metadata().is_ok_and(|file| file.permissions().mode() & READ_BY_ALL != 0)
}

impl Config {
    /// One sentence for each warning.
    pub fn warnings(&self) -> Vec<String> {
        let files = self.secret_files.iter().filter(|path| is_read_by_all(path));
        let exposed = self.exposed.iter().chain(files).map(|path| {
            let path = path.display();
            format!(
                "{path} holds a secret and everybody may read it: chmod o-r {path}, or give the secret by the environment or \
                 by a file of its own"
            )
        });
        let unreachable = (!self.alerts.smtp_url.is_empty() && self.server.public_url.is_empty()).then(|| {
            format!(
                "alerts are mailed, but server.public_url is empty: the lines in a mail will name {}://{}",
                self.tls.scheme(),
                self.server.listen
            )
        });
        let limits = &self.limits;
        let most = (2 * limits.request_bytes as u64)
            .saturating_add(limits.answer_bytes as u64)
            .saturating_add(self.delivery.max_in_flight_bytes as u64);
        let megabytes = 1_000_000;
        let large = memory().filter(|memory| most > *memory).map(|memory| {
            format!(
                "requests, answers and deliveries may take {} MB of memory, of which there are {} MB: lower limits.request_bytes \
                 ({}), limits.answer_bytes ({}) or delivery.max_in_flight_bytes ({})",
                most / megabytes,
                memory / megabytes,
                limits.request_bytes,
                limits.answer_bytes,
                self.delivery.max_in_flight_bytes
            )
        });
        let ignored = (!self.ignored.is_empty()).then(|| {
            format!(
                "environment variables that begin with NGOMA_ but are not settings are ignored: {} (a setting is NGOMA_, the section, two underscores, the key)",
                self.ignored.join(", ")
            )
        });
        exposed.chain(unreachable).chain(large).chain(ignored).collect()
    }
}
