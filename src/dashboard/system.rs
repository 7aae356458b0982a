//! The system: its settings, its size on the disk, and a backup. For the operator.

use askama::Template;
use poem::{
    Response, Result, handler,
    web::{Data, Query},
};

use super::{
    fields::Fields,
    format::{Moment, bytes, long_span, schedule, waits},
    frame::{Frame, Said},
    render::{self, go},
    state::Shared,
    visit::Allowed,
};
use crate::{
    app::{Backup, Operator},
    config::Setting,
};

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

#[handler]
pub(super) async fn show(shared: Data<&Shared>, visit: Allowed<Operator>, said: Query<Said>) -> Result<Response> {
    let app = &shared.app;
    let frame = Frame::new(&shared, &visit, "/ui/system").saying(&said);
    let mut sections: Vec<Section<'_>> = Vec::new();
    for setting in &shared.settings {
        match sections.last_mut().filter(|section| section.name == setting.section) {
            Some(section) => section.settings.push(setting),
            None => sections.push(Section { name: &setting.section, settings: vec![setting] }),
        }
    }
    let facts = vec![
        ("Version", frame.version().to_owned()),
        ("Running for", long_span(app.uptime())),
        ("Database", format!("{} ({})", app.database().display(), bytes(app.database_bytes()))),
    ];
    let schedules = app.dialects().iter().map(|dialect| {
        let policy = &dialect.profile.retry;
        (dialect.title, schedule(policy), waits(policy))
    });
    let backup = app.last_backup().map(|last| match last {
        Backup::Running(said) => BackupView { running: true, problem: false, said, at: None },
        Backup::Failed(said) => BackupView { running: false, problem: true, said, at: None },
        Backup::Made(file, length, at) => {
            let said = format!("{} ({}) and its key are made and checked", file.display(), bytes(length));
            BackupView { running: false, problem: false, said, at: Some(frame.when(at)) }
        }
    });
    let folder = app.backup_folder().display().to_string();
    render::page(&Page { facts, schedules: schedules.collect(), sections, folder, backup, frame })
}

/// Begins a backup beside the database. The page shows its progress.
#[handler]
pub(super) async fn back_up(shared: Data<&Shared>, visit: Allowed<Operator>, _fields: Fields) -> Result<Response> {
    shared.app.back_up(&visit.access).await?;
    Ok(go("/ui/system"))
}
