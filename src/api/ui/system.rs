//! The system: its settings as they are, and what it takes on the disk. For the operator.

use askama::Template;
use poem::{Response, Result, handler, web::Data};

use super::{
    Door,
    frame::{self, Frame},
    session::Visit,
    words::{bytes, long_span, schedule, waits},
};
use crate::config::Setting;

/// The settings of one section.
struct Section<'a> {
    name: &'a str,
    settings: Vec<&'a Setting>,
}

#[derive(Template)]
#[template(path = "system.html", config = "src/api/ui/askama.toml")]
struct Page<'a> {
    frame: Frame<'a>,
    facts: Vec<(&'static str, String)>,
    schedules: Vec<(&'static str, String, String)>,
    sections: Vec<Section<'a>>,
}

/// How the server is set.
#[handler]
pub(super) async fn show(door: Data<&Door>, visit: Visit) -> Result<Response> {
    visit.operator()?;
    let frame = Frame::new(&door, &visit, "/ui/system");
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
        ("Database", format!("{} ({})", door.database.display(), bytes(door.database_bytes()))),
    ];
    let schedules = door.dialects.iter().map(|dialect| {
        let policy = &dialect.profile.retry;
        (dialect.title, schedule(policy), waits(policy))
    });
    frame::page(&Page { facts, schedules: schedules.collect(), sections, frame })
}
