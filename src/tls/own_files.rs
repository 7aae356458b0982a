//! A certificate that the operator keeps in two files: read again when they change.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use zeroize::Zeroizing;

use super::{certificate::Certificate, presenter::Presenter};
use crate::{clock::SharedClock, config, domain::timestamp::Timestamp};

/// How often the files are looked at.
const EVERY: Duration = Duration::from_secs(60);
/// From this time before its end, a certificate is warned of.
const SOON: Duration = Duration::from_secs(14 * 86_400);
/// How often.
const DAY: Duration = Duration::from_secs(86_400);

/// A file as it was: when it was changed last, its size and its number on the disk.
type Stamp = Option<(i64, i64, u64, u64)>;

/// The two files.
pub(super) struct OwnFiles {
    certificate: PathBuf,
    key: PathBuf,
}

impl OwnFiles {
    pub(super) fn of(settings: &config::Tls) -> Self {
        Self { certificate: settings.certificate.clone(), key: settings.key.clone() }
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
        Certificate::read(&chain, &key).map_err(|problem| format!("{place}: {problem}"))
    }

    fn stamps(&self) -> [Stamp; 2] {
        [&self.certificate, &self.key].map(|path| {
            let file = fs::metadata(path).ok()?;
            Some((file.mtime(), file.mtime_nsec(), file.size(), file.ino()))
        })
    }

    /// Shows the certificate of the files, for ever. While they cannot be used, the former certificate is shown.
    pub(super) async fn watch(self, clock: &SharedClock, presenter: &Presenter, present: Option<Certificate>) {
        let (mut stamps, mut present, mut warned) = (self.stamps(), present, None);
        loop {
            let now = clock.now();
            if let Some(certificate) = &present {
                warn(certificate, now, &mut warned);
            }
            clock.sleep(now, EVERY).await;
            let found = self.stamps();
            if found == stamps {
                continue;
            }
            stamps = found;
            match self.read() {
                Ok(certificate) => {
                    tracing::info!(valid_until = %certificate.until, "the certificate was replaced");
                    presenter.show(Arc::clone(&certificate.shown));
                    (present, warned) = (Some(certificate), None);
                }
                Err(problem) => tracing::warn!(problem, "the former certificate is used on"),
            }
        }
    }
}

/// Warns once a day of a certificate that ends soon.
fn warn(certificate: &Certificate, now: Timestamp, warned: &mut Option<Timestamp>) {
    let until = certificate.until;
    if until.since(now) > SOON || warned.is_some_and(|last| now.since(last) < DAY) {
        return;
    }
    *warned = Some(now);
    if until > now {
        tracing::warn!(valid_until = %until, "the certificate ends soon: replace tls.certificate and tls.key");
    } else {
        tracing::error!(valid_until = %until, "the certificate has expired, and clients refuse it: replace tls.certificate and tls.key");
    }
}
