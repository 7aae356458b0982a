//! Root's commands act as the owner of the database. So `sudo ngoma ...` can do what the server can do, and no more, and
//! the files that it makes are the server's.

use std::{
    env,
    ffi::OsString,
    fs::{self, Metadata},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::OnceLock,
    thread,
};

use rustix::{
    process::{Gid, Uid, geteuid},
    thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid},
};

use crate::{
    config::{Config, SUDOER},
    error::{Error, Result},
};

/// As whom root's command acts for good, in words, if it does.
static ACTS_AS: OnceLock<String> = OnceLock::new();
/// No way leads over more links: the system's limit.
const LINKS: usize = 40;

/// Another user than root as whom root acts: who decides what is at a path.
struct Master {
    user: u32,
    group: u32,
    /// Who this is, and perhaps what to do, to follow "root's commands act as".
    who: String,
}

/// If root runs this, it goes on as the owner of the database, for good; where there is none yet, as the owner of its
/// folder. Nothing changes for another user.
///
/// It must come before any thread is made: the system keeps a user for each thread, and a new one inherits it.
///
/// # Errors
/// The system does not let this process become that user.
pub(super) fn act(config: &Config) -> Result<()> {
    become_for_good(owner_of_database(config))
}

/// Likewise, as the user who decides what is in the folder of the database: for a command that puts files into it.
///
/// # Errors
/// The system does not let this process become that user.
pub(super) fn act_in_folder(config: &Config) -> Result<()> {
    become_for_good(master_of(&config.storage.path))
}

/// If root runs this, the owner of the database does this work.
///
/// # Errors
/// Those of the work, with the user as whom it was done; the system does not let this thread become that user.
pub(super) fn as_owner_of_database<T: Send>(config: &Config, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    on_a_thread(owner_of_database(config), work)
}

/// If root runs this, the user who decides what is at this path does this work.
///
/// # Errors
/// As [`as_owner_of_database`].
pub(super) fn as_master_of<T: Send>(path: &Path, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    on_a_thread(master_of(path), work)
}

fn on_a_thread<T: Send>(master: Option<Master>, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let Some(master) = master.filter(|_| geteuid().is_root()) else { return work().map_err(explain) };
    // The system keeps a user for each thread: the others stay root.
    let done = thread::scope(|scope| {
        let work = || become_user(&master).and_then(|()| work().map_err(|error| explained(error, &master.who)));
        scope.spawn(work).join()
    });
    done.unwrap_or_else(|_| Err(Error::Internal("the command panicked".to_owned())))
}

fn become_for_good(master: Option<Master>) -> Result<()> {
    let Some(master) = master.filter(|_| geteuid().is_root()) else { return Ok(()) };
    become_user(&master).map(|()| _ = ACTS_AS.set(master.who))
}

fn owner_of_database(config: &Config) -> Option<Master> {
    let path = &config.storage.path;
    let (link, end) = way(path);
    let of_file =
        || end.metadata().ok().and_then(|file| of(&file, |user| format!("the owner of the database, {user}")));
    link.or_else(of_file).or_else(|| master_of(path))
}

/// The user besides root who decides what is at this path: who has made a link on the way, as it could lead to files of
/// root's, or else the owner of the folder.
fn master_of(path: &Path) -> Option<Master> {
    let (link, end) = way(path);
    link.or_else(|| {
        let folder = end.parent()?;
        let remedy = "give the file to this user, or use a folder of root's";
        of(&folder.metadata().ok()?, |user| format!("{user}, who owns the folder {}: {remedy}", folder.display()))
    })
}

/// The maker of the first link on the way to this path that is not root's, also behind links of root's; and where the way
/// ends.
fn way(path: &Path) -> (Option<Master>, PathBuf) {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let parts = |path: &Path| path.iter().map(ToOwned::to_owned).rev().collect::<Vec<OsString>>();
    let (mut left, mut end, mut links) = (parts(&path), PathBuf::new(), 0);
    while let Some(part) = left.pop() {
        if part == ".." {
            end.pop();
            continue;
        }
        let next = end.join(&part);
        let link = next.symlink_metadata().ok().filter(|file| file.is_symlink() && links < LINKS);
        let Some((link, to)) = link.and_then(|link| Some((link, fs::read_link(&next).ok()?))) else {
            end = next;
            continue;
        };
        let remedy = "name the file to which it leads, if that is right";
        let maker = of(&link, |user| format!("{user}, who has made the link {}: {remedy}", next.display()));
        if maker.is_some() {
            return (maker, next);
        }
        links += 1;
        left.extend(parts(&to));
    }
    (None, end)
}

/// The owner of a file, if that is not root, with these words about this user.
fn of(file: &Metadata, who: impl FnOnce(String) -> String) -> Option<Master> {
    let (user, group) = (file.uid(), file.gid());
    (user != 0).then(|| Master { user, group, who: who(format!("user {user}")) })
}

fn become_user(Master { user, group, who }: &Master) -> Result<()> {
    let (user, group) = (Uid::from_raw(*user), Gid::from_raw(*group));
    let become_them = || {
        // The user is last: only root may change groups.
        set_thread_groups(&[])?;
        set_thread_res_gid(group, group, group)?;
        set_thread_res_uid(user, user, user)?;
        Ok(())
    };
    become_them().map_err(|error: io::Error| {
        Error::request(format!("root cannot act as it must: {error}: run this as that user. It acts as {who}"))
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
    match ACTS_AS.get() {
        Some(who) => explained(error, who),
        None if geteuid().is_root() => error,
        None => added(error, ": run this with sudo, or as the user of the server"),
    }
}

fn explained(error: Error, who: &str) -> Error {
    added(error, &format!(" (root's commands act as {who})"))
}

fn added(error: Error, words: &str) -> Error {
    match error {
        Error::Internal(problem) if problem.contains("ermission denied") => Error::Internal(problem + words),
        error => error,
    }
}
