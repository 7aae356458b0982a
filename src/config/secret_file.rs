//! Secrets that a setting takes from a file: `smtp_url_file` instead of `smtp_url`.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use super::{Config, ConfigError, Secret, channel_place, sources::no_file};

/// The variable by which systemd says where the credentials of a service are.
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";
/// What the key of a secret has behind it when it names a file.
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
            let place = channel_place(number, &channel.name);
            let key = |name: &str| format!("{place}.{name}");
            files.extend([
                SecretFile { key: key("url"), secret: &mut channel.url, file: &mut channel.url_file },
                SecretFile { key: key("secret"), secret: &mut channel.secret, file: &mut channel.secret_file },
                SecretFile { key: key("token"), secret: &mut channel.token, file: &mut channel.token_file },
            ]);
        }
        files
    }

    /// Reads the secrets that are in files. A relative name is looked for among the service's credentials, then in this
    /// folder. A file that cannot be read is noted: most commands need no secret.
    ///
    /// # Errors
    /// A secret that is given twice.
    pub(super) fn read_secret_files(&mut self, folder: &Path) -> Result<(), ConfigError> {
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
            match read(file) {
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

/// The secret in a file, without the end of its line; or why there is none, ready to follow the file's name.
fn read(file: &Path) -> Result<Secret, String> {
    if let Some(kind) = no_file(file) {
        return Err(format!("is {kind}, not a file"));
    }
    let length = fs::metadata(file).map_or(0, |file| file.len());
    if length > MOST {
        return Err(format!("is too long for a secret: {length} bytes, of {MOST} at most"));
    }
    let text = fs::read_to_string(file).map(Secret::from).map_err(|error| {
        format!("cannot be read: {error}: write the secret into it, for the server's user or as a credential of systemd (LoadCredential), or run this with sudo")
    })?;
    let secret = text.expose().trim_end_matches(['\r', '\n']);
    if secret.is_empty() {
        return Err("is empty: write the secret into it".to_owned());
    }
    Ok(Secret::from(secret.to_owned()))
}
