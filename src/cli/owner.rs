//! Root's commands act as the owner of the database. So `sudo ngoma ...` can do what the server can do, and no more, and
//! the files that it makes are the server's.

use std::{env, fs::Metadata, io, os::unix::fs::MetadataExt, path::Path, sync::OnceLock};

use rustix::{
    process::{Gid, Uid, geteuid},
    thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid},
};

use crate::{
    config::{Config, SUDOER},
    error::{Error, Result},
};

/// The owner of the database, if root's command acts as this user.
static ACTS_AS: OnceLock<u32> = OnceLock::new();

/// If root runs this, it goes on as the owner of the database, for good. Nothing changes for another user, and while
/// there is no database.
///
/// It must come before any thread is made: the system keeps a user for each thread, and a new one inherits it.
///
/// # Errors
/// The system does not let this process become that user.
pub(super) fn act(config: &Config) -> Result<()> {
    let path = &config.storage.path;
    let Ok(file) = path.symlink_metadata() else { return Ok(()) };
    become_owner(path, other_than_root(&file).or_else(|| master_of_folder(path)))
}

/// Likewise, as the owner of the folder of the database: for a command that puts files into it.
///
/// # Errors
/// The system does not let this process become that user.
pub(super) fn act_in_folder(config: &Config) -> Result<()> {
    become_owner(&config.storage.path, master_of_folder(&config.storage.path))
}

/// The user besides root who decides what is at this path: who has made a link on the way, as it could lead to files of
/// root's, or else the owner of the folder.
fn master_of_folder(path: &Path) -> Option<(u32, u32)> {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let links = path.ancestors().filter_map(|part| part.symlink_metadata().ok()).filter(Metadata::is_symlink);
    let of_link = links.filter_map(|link| other_than_root(&link)).last();
    of_link.or_else(|| path.parent().and_then(|folder| folder.metadata().ok()).as_ref().and_then(other_than_root))
}

fn other_than_root(file: &Metadata) -> Option<(u32, u32)> {
    (file.uid() != 0).then_some((file.uid(), file.gid()))
}

fn become_owner(path: &Path, owner: Option<(u32, u32)>) -> Result<()> {
    let Some((user, group)) = owner.filter(|_| geteuid().is_root()) else { return Ok(()) };
    let acts = become_user(user, group).map(|()| _ = ACTS_AS.set(user));
    acts.map_err(|error| {
        let path = path.display();
        Error::request(format!(
            "root acts as the owner of the database {path}, user {user}, but cannot become this user: {error}: run this as \
             that user"
        ))
    })
}

/// Whether a person needs `sudo` for a command on the data of this server: it runs as a user for services, as whom
/// nobody signs in.
pub(super) fn is_of_service() -> bool {
    let user = geteuid().as_raw();
    // Users of the system, users that systemd makes for a service (DynamicUser), and nobody.
    (1..1000).contains(&user) || (61_184..=65_519).contains(&user) || user == 65_534
}

/// Whether `sudo` runs this command.
pub(super) fn is_by_sudo() -> bool {
    env::var_os(SUDOER).is_some()
}

/// The same error. If a file was denied, it also says to whom, or what to do.
pub(super) fn explain(error: Error) -> Error {
    let Error::Internal(problem) = error else { return error };
    Error::Internal(match ACTS_AS.get() {
        _ if !problem.contains("ermission denied") => problem,
        Some(user) => format!("{problem} (root's commands act as the owner of the database, user {user})"),
        None => format!("{problem}: run this with sudo, or as the user of the server"),
    })
}

fn become_user(user: u32, group: u32) -> io::Result<()> {
    let (user, group) = (Uid::from_raw(user), Gid::from_raw(group));
    // The user is last: only root may change groups.
    set_thread_groups(&[])?;
    set_thread_res_gid(group, group, group)?;
    set_thread_res_uid(user, user, user)?;
    Ok(())
}
