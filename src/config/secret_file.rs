//! Secrets that a setting takes from a file: `smtp_url_file` instead of `smtp_url`.

use std::{
    env, fs,
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use rustix::process::geteuid;

use super::{Config, ConfigError, Secret, sources::no_file, warnings::READ_BY_ALL};

/// The variable by which systemd says where the credentials of a service are.
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";
/// The end of a key that names a file with the secret.
const FILE: &str = "_file";
/// No secret is longer, in bytes.
const MOST: u64 = 64 << 10;

/// A secret, with the setting that may name its file.
pub(super) struct SecretFile<'a> {
    /// The key of the secret, such as `alerts.smtp_url`.
    pub(super) key: String,
    /// The secret. It is set from the file.
    pub(super) secret: &'a mut Secret,
    /// The file; empty if none is named. It becomes the whole path.
    pub(super) file: &'a mut PathBuf,
}

impl Config {
    /// Every secret that may come from a file.
    fn secret_files(&mut self) -> Vec<SecretFile<'_>> {
        let alerts = &mut self.alerts;
        let mut files = vec![
            SecretFile {
                key: "alerts.heartbeat_url".to_owned(),
                secret: &mut alerts.heartbeat_url,
                file: &mut alerts.heartbeat_url_file,
            },
            SecretFile {
                key: "alerts.smtp_url".to_owned(),
                secret: &mut alerts.smtp_url,
                file: &mut alerts.smtp_url_file,
            },
            SecretFile {
                key: "alerts.webhook_url".to_owned(),
                secret: &mut alerts.webhook_url,
                file: &mut alerts.webhook_url_file,
            },
            SecretFile {
                key: "alerts.webhook_secret".to_owned(),
                secret: &mut alerts.webhook_secret,
                file: &mut alerts.webhook_secret_file,
            },
        ];
        for (number, channel) in (1..).zip(&mut alerts.channel) {
            let key = |name: &str| format!("alerts.channel {number}.{name}");
            files.extend([
                SecretFile { key: key("url"), secret: &mut channel.url, file: &mut channel.url_file },
                SecretFile { key: key("secret"), secret: &mut channel.secret, file: &mut channel.secret_file },
                SecretFile { key: key("token"), secret: &mut channel.token, file: &mut channel.token_file },
            ]);
        }
        files
    }

    /// Reads the secrets that are in files. A relative name is looked for among the service's credentials, then in this
    /// folder of the settings. A file that cannot be read is noted: most commands need no secret.
    ///
    /// # Errors
    /// A secret that is given twice.
    pub(super) fn read_secret_files(&mut self, settings: Option<&Path>) -> Result<(), ConfigError> {
        let folder = settings.and_then(Path::parent).unwrap_or(Path::new(""));
        let author = settings.and_then(|file| file.metadata().ok()).map_or(0, |file| file.uid());
        let credentials = env::var_os(CREDENTIALS).map(PathBuf::from);
        let (mut found, mut unread) = (Vec::new(), Vec::new());
        for SecretFile { key, secret, file } in self.secret_files() {
            if file.as_os_str().is_empty() {
                continue;
            }
            if !secret.is_empty() {
                return Err(ConfigError(format!("{key} and {key}{FILE} are both set: leave one of them out")));
            }
            let credential = credentials.as_ref().map(|folder| folder.join(&*file)).filter(|path| path.exists());
            *file = credential.unwrap_or_else(|| folder.join(&*file));
            match read(file, author) {
                Ok(text) => *secret = text,
                Err(problem) => unread.push(format!("{key}{FILE}: {} {problem}", file.display())),
            }
            found.push(file.clone());
        }
        (self.secret_files, self.unread) = (found, unread);
        Ok(())
    }

    /// For what sends by the secrets of the settings: each of them could be read.
    ///
    /// # Errors
    /// A secret's file that could not be read.
    pub fn expect_secrets(&self) -> Result<(), ConfigError> {
        self.unread.first().map_or(Ok(()), |problem| Err(ConfigError(problem.clone())))
    }
}

/// The secret in a file, without the end of its line; or why there is none, ready to follow the file's name. Root reads for
/// the author of the settings only what the author could read.
fn read(file: &Path, author: u32) -> Result<Secret, String> {
    if let Some(kind) = no_file(file) {
        return Err(format!("is {kind}, not a file"));
    }
    let failed = |error: io::Error| {
        format!(
            "cannot be read: {error}: write the secret into it, for the server's user or as a credential of systemd (LoadCredential), or run this with sudo"
        )
    };
    let mut opened = fs::File::open(file).map_err(failed)?;
    let there = opened.metadata().map_err(failed)?;
    if geteuid().is_root() && ![0, there.uid()].contains(&author) && there.mode() & READ_BY_ALL == 0 {
        return Err(format!(
            "belongs to user {}, and the settings to user {author}: root does not read it for them. If the settings are \
             yours, give them to root by chown",
            there.uid()
        ));
    }
    if there.len() > MOST {
        return Err(format!("is too long for a secret: {} bytes, of {MOST} at most", there.len()));
    }
    let mut text = String::new();
    opened.read_to_string(&mut text).map_err(failed)?;
    let text = Secret::from(text);
    let secret = text.expose().trim_end_matches(['\r', '\n']);
    if secret.is_empty() {
        return Err("is empty: write the secret into it".to_owned());
    }
    Ok(Secret::from(secret.to_owned()))
}
