//! The system: its settings as they are, what it takes on the disk, and a backup at once. For the operator.

use std::{path::PathBuf, sync::Arc};

use askama::Template;
use poem::{
    Response, Result, handler,
    web::{Data, Query},
};

use super::{
    backups::{Backup, tell},
    fields::Fields,
    format::{Moment, bytes, long_span, schedule, waits},
    frame::{Frame, Said},
    render::{self, go},
    state::Door,
    visit::Visit,
};
use crate::{
    config::Setting,
    error::Error,
    store::{self, Admission, Progress, audit},
};

/// Where backups go, beside the database.
const FOLDER: &str = "backups";

/// The settings of one section.
struct Section<'a> {
    name: &'a str,
    settings: Vec<&'a Setting>,
}

/// A backup as the page shows it.
struct BackupView {
    running: bool,
    problem: bool,
    said: String,
    at: Option<Moment>,
}

#[derive(Template)]
#[template(path = "system.html", config = "src/dashboard/askama.toml")]
struct Page<'a> {
    frame: Frame<'a>,
    facts: Vec<(&'static str, String)>,
    schedules: Vec<(&'static str, String, String)>,
    sections: Vec<Section<'a>>,
    folder: String,
    backup: Option<BackupView>,
}

/// How the server is set.
#[handler]
pub(super) async fn show(door: Data<&Door>, visit: Visit, said: Query<Said>) -> Result<Response> {
    visit.operator()?;
    let frame = Frame::new(&door, &visit, "/ui/system").saying(&said);
    let mut sections: Vec<Section<'_>> = Vec::new();
    for setting in &door.settings {
        match sections.last_mut().filter(|section| section.name == setting.section) {
            Some(section) => section.settings.push(setting),
            None => sections.push(Section { name: &setting.section, settings: vec![setting] }),
        }
    }
    let facts = vec![
        ("Version", frame.version().to_owned()),
        ("Running for", long_span(door.uptime())),
        ("Database", format!("{} ({})", door.storage.path.display(), bytes(door.database_bytes()))),
    ];
    let schedules = door.dialects.iter().map(|dialect| {
        let policy = &dialect.profile.retry;
        (dialect.title, schedule(policy), waits(policy))
    });
    let backup = door.backups.last().map(|last| match last {
        Backup::Running(said) => BackupView { running: true, problem: false, said, at: None },
        Backup::Failed(said) => BackupView { running: false, problem: true, said, at: None },
        Backup::Made(file, length, at) => {
            let said = format!("{} ({}) and its key are made and checked", file.display(), bytes(length));
            BackupView { running: false, problem: false, said, at: Some(frame.when(at)) }
        }
    });
    let folder = folder(&door).display().to_string();
    render::page(&Page { facts, schedules: schedules.collect(), sections, folder, backup, frame })
}

fn folder(door: &Door) -> PathBuf {
    door.storage.path.with_file_name(FOLDER)
}

/// Makes a backup beside the database; the page tells how far it has come.
#[handler]
pub(super) async fn back_up(door: Data<&Door>, visit: Visit, _fields: Fields) -> Result<Response> {
    let (grant, _) = visit.operator()?;
    if door.backups.is_running() {
        return Ok(go("/ui/system"));
    }
    let (folder, now) = (folder(&door), door.deps.clock.now());
    let file = folder.join(format!("{}.db", now.to_string().replace(':', "-")));
    let name = file.display().to_string();
    // Before it is made: this write is refused if the right to ask for it is gone.
    door.deps.db.write(grant, Admission::Try, move |tx| audit::backed_up(tx, &name)).await?;
    if door.backups.begin() {
        let (db, storage, last) = (door.deps.db.clone(), door.storage.clone(), Arc::clone(&door.backups.0));
        tokio::spawn(async move {
            let (progress, target, source) = (Arc::clone(&last), file.clone(), db);
            let copy = tokio::task::spawn_blocking(move || {
                store::make_folder(&folder)?;
                source.back_up(&storage, &target, |step| {
                    let said = match step {
                        Progress::Copied(percent) => format!("copied {percent} %"),
                        Progress::Checking => "copied; looking through it".to_owned(),
                    };
                    tell(&progress, Backup::Running(said));
                })
            });
            let made = copy.await.unwrap_or_else(|_| Err(Error::Internal("a backup panicked".to_owned())));
            tell(
                &last,
                match made {
                    Ok(copy) => match copy.flaw(&file) {
                        None => Backup::Made(file, copy.bytes, now),
                        Some(flaw) => {
                            tracing::error!(error = %flaw, "a backup that was asked for at the dashboard is not whole");
                            Backup::Failed(flaw)
                        }
                    },
                    Err(flaw) => {
                        tracing::error!(error = %flaw, "a backup that was asked for at the dashboard could not be made");
                        Backup::Failed(format!("No backup was made: {flaw}"))
                    }
                },
            );
        });
    }
    Ok(go("/ui/system"))
}
