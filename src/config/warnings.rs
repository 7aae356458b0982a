//! Warnings about settings that can be used but should be changed.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use figment::{Figment, Source, value::Value};
use rustix::process::{getegid, geteuid};

use super::{
    Config, SECRETS,
    called::{absolute, quoted},
};

/// The mode by which everybody may read a file.
pub(super) const READ_BY_ALL: u32 = 0o004;
/// What may be secret in a channel of alerts.
const OF_CHANNEL: [&str; 3] = ["url", "secret", "token"];

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

/// The file of settings, if a secret stands in it: everybody may come to read it later.
pub(super) fn exposed(figment: &Figment) -> Option<PathBuf> {
    let given = SECRETS.iter().filter(|key| figment.extract_inner::<String>(key).is_ok_and(|text| !text.is_empty()));
    let channels = figment.find_value("alerts.channel").is_ok_and(|list| {
        let of_channel = |channel: &Value| {
            OF_CHANNEL
                .iter()
                .any(|key| channel.find_ref(key).and_then(Value::as_str).is_some_and(|text| !text.is_empty()))
        };
        list.as_array().is_some_and(|list| list.iter().any(of_channel))
    });
    let given = given.copied().chain(channels.then_some("alerts.channel"));
    let mut files = given.filter_map(|key| match &figment.find_metadata(key)?.source {
        Some(Source::File(path)) => Some(path.clone()),
        _ => None,
    });
    files.next()
}

fn is_read_by_all(path: &Path) -> bool {
    // A device or a pipe holds nothing, and a command that changes its mode would harm others.
    path.metadata().is_ok_and(|file| file.is_file() && file.permissions().mode() & READ_BY_ALL != 0)
}

/// A file with a secret that everybody may read.
#[derive(Debug)]
pub struct ExposedFile {
    /// The file.
    pub path: PathBuf,
    /// The command that mends it.
    pub remedy: String,
}

impl Config {
    /// The files with secrets that everybody may read now.
    pub fn exposed_files(&self) -> Vec<ExposedFile> {
        let own = [&self.storage.key_file, &self.tls.key];
        let files = self.exposed.iter().chain(own).chain(&self.secret_files).filter(|path| is_read_by_all(path));
        files.map(|path| absolute(path)).map(|path| ExposedFile { remedy: self.remedy(&path), path }).collect()
    }

    /// The command that takes the file from everybody else and leaves it readable for the server's user, who owns the
    /// database.
    fn remedy(&self, path: &Path) -> String {
        let shown = quoted(&path.to_string_lossy());
        let database = self.storage.path.metadata();
        let server =
            database.map_or_else(|_| (geteuid().as_raw(), getegid().as_raw()), |file| (file.uid(), file.gid()));
        match path.metadata() {
            Ok(file) if file.uid() != server.0 => format!("chgrp {} {shown} && chmod 640 {shown}", server.1),
            _ => format!("chmod o-r {shown}"),
        }
    }

    /// One sentence for each warning.
    pub fn warnings(&self) -> Vec<String> {
        let exposed = self.exposed_files().into_iter().map(|ExposedFile { path, remedy }| {
            let or = if self.exposed.as_deref().map(absolute).as_ref() == Some(&path) {
                ", or put the secret into a file of its own"
            } else {
                ""
            };
            format!("{} holds a secret and everybody may read it: run '{remedy}'{or}", path.display())
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
