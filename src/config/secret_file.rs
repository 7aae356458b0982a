//! Secrets that a setting takes from a file: `smtp_url_file` instead of `smtp_url`.

use std::{
    env, fs,
    io::{self, ErrorKind, Read},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use rustix::process::geteuid;
use zeroize::Zeroizing;

use super::{
    ChannelKind, Config, ConfigError, Secret, channel_place, secret_shape::Shape, sources::no_file,
    warnings::READ_BY_ALL,
};

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
    /// What it must look like.
    pub(super) shape: Shape,
}

impl Config {
    /// Every secret that may come from a file.
    fn secret_files(&mut self) -> Vec<SecretFile<'_>> {
        let alerts = &mut self.alerts;
        let of = |key: &str, secret, file, shape| SecretFile { key: key.to_owned(), secret, file, shape };
        let mut files = vec![
            of("alerts.heartbeat_url", &mut alerts.heartbeat_url, &mut alerts.heartbeat_url_file, Shape::Url),
            of("alerts.smtp_url", &mut alerts.smtp_url, &mut alerts.smtp_url_file, Shape::Url),
            of("alerts.webhook_url", &mut alerts.webhook_url, &mut alerts.webhook_url_file, Shape::Url),
            of("alerts.webhook_secret", &mut alerts.webhook_secret, &mut alerts.webhook_secret_file, Shape::Key),
        ];
        for (number, channel) in (1..).zip(&mut alerts.channel) {
            let place = channel_place(number, &channel.name);
            let key = |name: &str| format!("{place}.{name}");
            let token = if channel.kind == ChannelKind::Telegram { Shape::BotToken } else { Shape::Token };
            files.extend([
                of(&key("url"), &mut channel.url, &mut channel.url_file, Shape::Url),
                of(&key("secret"), &mut channel.secret, &mut channel.secret_file, Shape::Key),
                of(&key("token"), &mut channel.token, &mut channel.token_file, token),
            ]);
        }
        files
    }

    /// Reads the secrets that are in files. A relative name is looked for among the service's credentials, then in this
    /// folder of the settings. A file that cannot be read is noted, and so is a secret that cannot be one: most commands
    /// need none.
    ///
    /// # Errors
    /// A secret that is given twice.
    pub(super) fn read_secret_files(&mut self, settings: Option<&Path>) -> Result<(), ConfigError> {
        let folder = settings.and_then(Path::parent).unwrap_or(Path::new(""));
        let author = settings.and_then(|file| file.metadata().ok()).map_or(0, |file| file.uid());
        let credentials = env::var_os(CREDENTIALS).filter(|folder| !folder.is_empty()).map(PathBuf::from);
        let (mut found, mut unusable) = (Vec::new(), Vec::new());
        for SecretFile { key, secret, file, shape } in self.secret_files() {
            if file.as_os_str().is_empty() {
                unusable.extend(shape.flaw(secret.expose()).map(|flaw| format!("{key} {flaw}")));
                continue;
            }
            if !secret.is_empty() {
                return Err(ConfigError(format!("{key} and {key}{FILE} are both set: leave one of them out")));
            }
            let credential = credentials.as_ref().map(|folder| folder.join(&*file)).filter(|path| path.exists());
            *file = credential.unwrap_or_else(|| folder.join(&*file));
            match read(file, author).and_then(|text| secret_of(&text, shape)) {
                Ok(text) => *secret = text,
                Err(problem) => unusable.push(format!("{key}{FILE}: {} {problem}", file.display())),
            }
            found.push(file.clone());
        }
        (self.secret_files, self.unusable_secrets) = (found, unusable);
        Ok(())
    }

    /// For what sends by the secrets of the settings: each of them can be used.
    ///
    /// # Errors
    /// A secret that could not be read, or cannot be one.
    pub fn expect_secrets(&self) -> Result<(), ConfigError> {
        match self.unusable_secrets.as_slice() {
            [] => Ok(()),
            problems => Err(ConfigError(problems.join("; "))),
        }
    }
}

/// The bytes of a secret's file; or why there are none, ready to follow the file's name. Root reads for the author of the
/// settings only what the author could read.
fn read(file: &Path, author: u32) -> Result<Zeroizing<Vec<u8>>, String> {
    if let Some(kind) = no_file(file) {
        return Err(format!("is {kind}, not a file: write the secret into a file, and name that"));
    }
    let failed = |error: io::Error| unread(&error);
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
    let room = usize::try_from(MOST).unwrap_or_default();
    let mut bytes = Zeroizing::new(Vec::with_capacity(room));
    opened.read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

/// The secret in these bytes of a file, without the end of its line and without the mark with which some editors begin a
/// file; or why there is none, ready to follow the file's name.
fn secret_of(bytes: &[u8], shape: Shape) -> Result<Secret, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "is no text in UTF-8: save it as UTF-8".to_owned())?;
    let secret = text.strip_prefix('\u{feff}').unwrap_or(text).trim_end_matches(['\r', '\n']);
    if secret.is_empty() {
        return Err("is empty: write the secret into it".to_owned());
    }
    if secret.contains(['\r', '\n']) {
        return Err("has several lines: a secret is one line".to_owned());
    }
    if ['"', '\''].iter().any(|quote| secret.len() > 1 && secret.starts_with(*quote) && secret.ends_with(*quote)) {
        return Err("has quotes around the secret: leave them out".to_owned());
    }
    shape.flaw(secret).map_or_else(|| Ok(Secret::from(secret.to_owned())), Err)
}

/// Why a file could not be read, and what to do.
fn unread(error: &io::Error) -> String {
    let hand = "hand it to the service as a credential of systemd (LoadCredential)";
    match error.kind() {
        ErrorKind::NotFound => format!("is not there: write the secret into it, or {hand}"),
        ErrorKind::PermissionDenied => {
            format!("cannot be read: {error}: give it to the server's user, or {hand}, or run this with sudo")
        }
        _ => format!("cannot be read: {error}"),
    }
}
