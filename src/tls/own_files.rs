//! A certificate that the operator keeps in two files: read again when they change.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Duration,
};

use zeroize::Zeroizing;

use super::{certificate::Certificate, window::Window};
use crate::{clock::SharedClock, config};

/// How often the files are looked at.
const EVERY: Duration = Duration::from_secs(60);

/// A file as it was: when it, its owner or its mode was changed last, its size and its number on the disk.
type Stamp = Option<(i64, i64, u64, u64)>;

/// The two files.
pub(super) struct OwnFiles {
    certificate: PathBuf,
    key: PathBuf,
    domains: Vec<String>,
}

impl OwnFiles {
    pub(super) fn of(settings: &config::Tls) -> Self {
        Self { certificate: settings.certificate.clone(), key: settings.key.clone(), domains: settings.domains.clone() }
    }

    /// Reads them.
    ///
    /// # Errors
    /// The problem with the files, as a sentence.
    pub(super) fn read(&self) -> Result<Certificate, String> {
        let read = |name: &str, path: &Path| match config::no_file(path) {
            Some(kind) => Err(format!("{name}: {} is {kind}, not a file", path.display())),
            None => fs::read(path).map(Zeroizing::new).map_err(|error| {
                format!("{name}: {} cannot be read: {error}: the user of the server must be able to", path.display())
            }),
        };
        let (chain, key) = (read("tls.certificate", &self.certificate)?, read("tls.key", &self.key)?);
        let place = format!("tls.certificate and tls.key: {}, {}", self.certificate.display(), self.key.display());
        let certificate = Certificate::read(&chain, &key).map_err(|problem| format!("{place}: {problem}"))?;
        match certificate.lacks(&self.domains) {
            Some(name) => {
                Err(format!("{place}: the certificate is not for {name} (tls.domains), and clients would refuse it"))
            }
            None => Ok(certificate),
        }
    }

    fn stamps(&self) -> [Stamp; 2] {
        [&self.certificate, &self.key].map(|path| {
            let file = fs::metadata(path).ok()?;
            Some((file.ctime(), file.ctime_nsec(), file.size(), file.ino()))
        })
    }

    /// In words.
    pub(super) fn name(&self) -> String {
        self.certificate.display().to_string()
    }

    /// Shows the certificate of the files to connections, for ever. While they cannot be used, the former certificate is
    /// shown.
    pub(super) async fn watch(self, clock: &SharedClock, window: &Window) {
        let (mut stamps, mut unusable) = (self.stamps(), None::<String>);
        loop {
            clock.sleep(clock.now(), EVERY).await;
            let found = self.stamps();
            let is_new = found != stamps;
            if !is_new && unusable.is_none() {
                continue;
            }
            stamps = found;
            match self.read() {
                Ok(certificate) => {
                    tracing::info!(valid_until = %certificate.life.until, "the certificate was replaced");
                    unusable = None;
                    window.show(&certificate);
                }
                Err(problem) => {
                    if is_new {
                        tracing::warn!(problem, "the former certificate is used on");
                    } else {
                        // They were not only being written when they were read before.
                        window.failed(problem.clone());
                    }
                    unusable = Some(problem);
                }
            }
        }
    }
}
