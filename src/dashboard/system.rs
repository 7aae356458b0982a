//! The system: its settings, its size on the disk, and a backup. For the operator.

use askama::Template;
use poem::{
    Response, Result, handler,
    web::{Data, Path, Query},
};

use super::{
    fields::Fields,
    format::{Moment, bytes, long_span, schedule, waits},
    frame::{Frame, Said},
    query_string::path_part,
    render::{self, go},
    state::Shared,
    visit::Allowed,
};
use crate::{
    app::{App, Backup, BackupFile, BackupPart, Operator, Room},
    config::{self, Setting, command},
    domain::certificate::ServedCertificate,
    error::Error,
    http::file_body,
};

struct Section<'a> {
    name: &'a str,
    settings: Vec<&'a Setting>,
}

/// A backup in the folder.
struct BackupRow {
    name: String,
    made: Moment,
    size: String,
    has_key: bool,
    is_damaged: bool,
    href: String,
}

impl BackupRow {
    fn new(frame: &Frame<'_>, backup: BackupFile) -> Self {
        Self {
            made: frame.when(backup.made_at),
            size: bytes(backup.bytes),
            has_key: backup.has_key,
            is_damaged: backup.is_damaged,
            href: format!("/ui/system/backups/{}", path_part(&backup.name)),
            name: backup.name,
        }
    }
}

/// The last requested backup as the page shows it.
struct BackupView {
    running: bool,
    problem: bool,
    said: String,
    /// The file that was made; empty if none was.
    file: String,
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
    /// The work that the server does by itself.
    by_itself: String,
    backup_line: String,
    backup: Option<BackupView>,
    backups: Vec<BackupRow>,
    /// Name, kind and place of each.
    channels: Vec<(String, &'static str, String)>,
    problem: Option<String>,
}

#[handler]
pub(super) async fn show(shared: Data<&Shared>, visit: Allowed<Operator>, said: Query<Said>) -> Result<Response> {
    render_page(&shared, &visit, &said, None).await
}

async fn render_page(
    shared: &Shared,
    visit: &Allowed<Operator>,
    said: &Said,
    refused: Option<Error>,
) -> Result<Response> {
    let app = &shared.app;
    let frame = Frame::new(shared, visit, "/ui/system").saying(said);
    let mut sections: Vec<Section<'_>> = Vec::new();
    for setting in &shared.settings {
        match sections.last_mut().filter(|section| section.name == setting.section) {
            Some(section) => section.settings.push(setting),
            None => sections.push(Section { name: &setting.section, settings: vec![setting] }),
        }
    }
    let (backups, refused) = match app.backups(&visit.access).await {
        Ok(backups) => (backups, refused),
        // Above all now the rest of the page must be seen.
        Err(error @ Error::Unavailable(_)) => (Vec::new(), refused.or(Some(error))),
        Err(error) => return Err(error.into()),
    };
    let last = app.newest_backup().map_or_else(|| "none yet".to_owned(), |last| frame.when(last.made_at).words);
    let mut facts = vec![
        ("Version", frame.version().to_owned()),
        ("Running for", long_span(app.uptime())),
        ("Database", format!("{} ({})", app.database().display(), bytes(app.database_bytes()))),
        ("Last backup", last),
    ];
    facts.extend(app.room().map(|room| ("Room", room_said(&frame, room))));
    facts.extend(app.certificate().map(|served| ("Certificate", certificate_said(&frame, &served))));
    let schedules = app.dialects().iter().map(|dialect| {
        let policy = &dialect.profile.retry;
        (dialect.title, schedule(policy), waits(policy))
    });
    let backup = app.last_backup().map(|last| match last {
        Backup::Running(said) => BackupView { running: true, problem: false, said, file: String::new(), at: None },
        Backup::Failed(said) => BackupView { running: false, problem: true, said, file: String::new(), at: None },
        Backup::Made(file, length, at) => {
            let said = format!("The backup and its key are made and checked: {} in", bytes(length));
            let (file, at) = (file.display().to_string(), Some(frame.when(at)));
            BackupView { running: false, problem: false, said, file, at }
        }
    });
    let backups = backups.into_iter().map(|backup| BackupRow::new(&frame, backup)).collect();
    let folder = app.backup_folder().display().to_string();
    let backup_line = command(&format!("backup \"{folder}/$(date +%F).db\""));
    let (channels, problem) = (app.channels(&visit.access), refused.as_ref().map(ToString::to_string));
    let (by_itself, schedules) = (by_itself(app), schedules.collect());
    let page =
        Page { facts, schedules, sections, folder, by_itself, backup_line, backup, backups, channels, problem, frame };
    render::page_with(&page, refused)
}

/// Sends a test to a channel of alerts.
#[handler]
pub(super) async fn test_channel(shared: Data<&Shared>, visit: Allowed<Operator>, fields: Fields) -> Result<Response> {
    let name = fields.need("channel", "the channel")?;
    match shared.app.test_channel(&visit.access, name).await {
        Ok(()) => Ok(go("/ui/system?said=tested")),
        Err(error) => render_page(&shared, &visit, &Said::default(), Some(error)).await,
    }
}

/// The bytes in use of the database, their limit and its consequence.
fn room_said(frame: &Frame<'_>, room: Room) -> String {
    let used = format!("{} of {} are in use (retention.max_database_bytes)", bytes(room.used), bytes(room.limit));
    match room.reached {
        Some(_) if room.is_full => format!("{used}: nothing more may go"),
        Some(since) => format!("{used}: reached {}; the oldest delivered go sooner", frame.when(since).words),
        None => used,
    }
}

/// The server's own certificate: its names or file, when it ends and is renewed, and what is wrong.
fn certificate_said(frame: &Frame<'_>, served: &ServedCertificate) -> String {
    let said = served.life.map_or_else(
        || "none yet".to_owned(),
        |life| {
            let end = frame.when(life.until);
            let verb = if life.until > frame.now() { "ends" } else { "has expired" };
            let renewal = served.renewed_from().filter(|from| *from > frame.now());
            let renewal = renewal.map(|from| format!("; it is renewed {}", frame.when(from).words));
            format!("{verb} {}, at {}{}", end.words, end.exact, renewal.unwrap_or_default())
        },
    );
    let problem = served.failed.as_ref().map_or_else(String::new, |why| format!(". The last try failed. {why}"));
    format!("{}: {said}{problem}", served.name)
}

/// A sentence about the backups that the server makes by itself.
fn by_itself(app: &App) -> String {
    let config::Backup { every, keep, .. } = app.backup_settings();
    let Some(next) = app.next_backup_in() else {
        return "The server makes none by itself (backup.every).".to_owned();
    };
    format!(
        "The server makes one by itself every {}, and keeps the newest {keep} of these. The next is due in {}.",
        long_span(*every),
        long_span(next)
    )
}

/// The copy of the database in a backup, without its key.
#[handler]
pub(super) async fn download(shared: Data<&Shared>, visit: Allowed<Operator>, name: Path<String>) -> Result<Response> {
    let (file, length) = shared.app.take_backup(&visit.access, &name, BackupPart::Database).await?;
    Ok(file_body::download(file, length, &name))
}

/// The key of a backup. It is a download of its own: backup and key together give the signing secrets away.
#[handler]
pub(super) async fn download_key(
    shared: Data<&Shared>,
    visit: Allowed<Operator>,
    name: Path<String>,
) -> Result<Response> {
    let (file, length) = shared.app.take_backup(&visit.access, &name, BackupPart::Key).await?;
    Ok(file_body::download(file, length, &format!("{}.key", *name)))
}

/// Begins a backup beside the database. The page shows its progress.
#[handler]
pub(super) async fn back_up(shared: Data<&Shared>, visit: Allowed<Operator>, _fields: Fields) -> Result<Response> {
    shared.app.back_up(&visit.access).await?;
    Ok(go("/ui/system"))
}
