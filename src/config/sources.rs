//! The sources of settings beside the defaults: a file, and the environment.

use std::{
    env, fs,
    io::ErrorKind,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
};

use figment::providers::Env;
use rustix::process::geteuid;

use super::ConfigError;

/// The files of which the first that exists is read, when none is named.
pub(super) const USUAL_FILES: [&str; 2] = ["config.toml", OF_SERVICE];
/// The settings of the service: every command finds them, in any folder.
pub(super) const OF_SERVICE: &str = "/etc/ngoma/config.toml";
/// The variable that names the file, unless the command line does.
const FILE: &str = "NGOMA_CONFIG";
/// The variable by which sudo says who called it.
pub const SUDOER: &str = "SUDO_UID";
/// How the name of a setting begins in the environment.
const PREFIX: &str = "NGOMA_";
/// The text between section and key.
const BETWEEN: &str = "__";

/// The kind of a path that is no file: `a pipe`, `a folder`. Opening a pipe can block for ever.
pub fn no_file(path: &Path) -> Option<&'static str> {
    let kind = fs::metadata(path).ok()?.file_type();
    match kind {
        _ if kind.is_file() => None,
        _ if kind.is_dir() => Some("a folder"),
        _ if kind.is_fifo() => Some("a pipe"),
        _ if kind.is_socket() => Some("a socket"),
        _ => Some("a device"),
    }
}

/// The file to read: the one that the command line or else the environment names, or the first usual one that exists.
///
/// # Errors
/// A file that cannot be read.
pub(super) fn file(named: Option<&Path>) -> Result<Option<PathBuf>, ConfigError> {
    let by_variable = env::var_os(FILE).filter(|path| !path.is_empty()).map(PathBuf::from);
    // A file that cannot be examined is an error, not a missing file.
    let exists = |path: &&Path| !path.symlink_metadata().is_err_and(|error| error.kind() == ErrorKind::NotFound);
    let usual = || USUAL_FILES.map(Path::new).into_iter().find(exists);
    let Some(path) = named.or(by_variable.as_deref()).or_else(usual) else { return Ok(None) };
    let refused = |problem: String| Err(ConfigError(format!("{} {problem}", path.display())));
    let is_named = named.is_some() || by_variable.is_some();
    if let Some(stranger) = (!is_named).then(|| stranger(path)).flatten() {
        return refused(format!(
            "of this folder belongs to user {stranger}, whom sudo does not obey: name the settings file by --config, or run \
             this in another folder"
        ));
    }
    if let Some(kind) = no_file(path) {
        return refused(format!("is {kind}, not a file"));
    }
    match fs::read_to_string(path) {
        Ok(_) => Ok(Some(path.to_owned())),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            refused("is not there: name the settings file by --config, or write it".to_owned())
        }
        Err(error) if error.kind() == ErrorKind::PermissionDenied => refused(format!(
            "cannot be read: {error}: run this as a user who may read it (sudo), or name another file by --config"
        )),
        Err(error) => refused(format!("cannot be read: {error}")),
    }
}

/// The owner of a file of settings, if `sudo` runs this for somebody else: in a folder of theirs, root would work on their
/// data.
fn stranger(path: &Path) -> Option<u32> {
    let sudoer: u32 = env::var(SUDOER).ok()?.parse().ok()?;
    // Of a link too: its folder is where the files are that the settings name.
    let owners = [path.symlink_metadata(), path.metadata()].into_iter().flatten().map(|file| file.uid());
    owners.into_iter().find(|owner| *owner != sudoer && *owner != 0 && geteuid().is_root())
}

pub(super) fn environment() -> Env {
    Env::prefixed(PREFIX).filter(|rest| is_setting(rest.as_str())).split(BETWEEN)
}

/// The variables that begin like a setting but are none, such as those that Kubernetes sets for a service named ngoma.
pub(super) fn ignored() -> Vec<String> {
    variables().filter(|name| !is_setting(&name[PREFIX.len()..]) && name != FILE).collect()
}

/// The variable that sets this key, an entry of its list, or something within it.
pub(super) fn variable(key: &str) -> Option<String> {
    let parts: Vec<&str> = key.split('.').collect();
    (1..=parts.len()).rev().find_map(|depth| {
        let wanted = format!("{PREFIX}{}", parts[..depth].join(BETWEEN)).to_ascii_uppercase();
        variables().find(|name| {
            let rest = name.to_ascii_uppercase();
            rest.strip_prefix(&wanted).is_some_and(|rest| rest.is_empty() || rest.starts_with(BETWEEN))
        })
    })
}

/// Whether this, after the prefix, is a section and a key.
fn is_setting(rest: &str) -> bool {
    rest.contains(BETWEEN) && rest.split(BETWEEN).all(|part| !part.is_empty())
}

/// The names in the environment that begin with the prefix, in any case, as the settings are read.
fn variables() -> impl Iterator<Item = String> {
    let names = env::vars_os().map(|(name, _)| name.to_string_lossy().trim().to_owned());
    let mut names: Vec<String> =
        names.filter(|name| name.get(..PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(PREFIX))).collect();
    names.sort();
    names.into_iter()
}
