//! The user's guide, in chapters. Each chapter is a Markdown file in this folder, so people read it on the web as a
//! file and, offline, as a page of their own server. Links between chapters work in both forms.
//!
//! This module makes pages of the files. It knows no HTTP: `server` gives it the dashboard's style sheet and serves the
//! pages.

use askama::Template;
use pulldown_cmark::{CowStr, Event, Options, Parser, Tag, TagEnd, html};

use crate::error::{Error, Result};

/// The path of the page that lists all chapters.
const CONTENTS: &str = "/guide";

/// Links of chapters to files that are no chapters, and the paths at which the server shows the same.
const FILES: [(&str, &str); 5] = [
    ("README.md", CONTENTS),
    ("../../config.toml", "/guide/config.toml"),
    ("../../openapi/openapi.json", "/openapi.json"),
    ("prometheus-rules.yml", "/guide/prometheus-rules.yml"),
    ("grafana.json", "/guide/grafana.json"),
];

/// The files beside the chapters, for programs that watch the server: their path, and their text.
pub const FOR_WATCHERS: [(&str, &str); 2] = [
    ("/guide/prometheus-rules.yml", include_str!("prometheus-rules.yml")),
    ("/guide/grafana.json", include_str!("grafana.json")),
];

/// A chapter of the guide, or its list of chapters.
#[derive(Debug)]
pub struct Chapter {
    /// The path of its page.
    pub path: &'static str,
    text: &'static str,
}

macro_rules! chapters {
    ($($name:literal)*) => {
        [
            Chapter { path: CONTENTS, text: include_str!("README.md") },
            $(Chapter { path: concat!("/guide/", $name), text: include_str!(concat!($name, ".md")) },)*
        ]
    };
}

/// The list of chapters, then every chapter, in the order in which people read them.
pub static CHAPTERS: [Chapter; 12] = chapters![
    "deploy" "publish" "verify" "receive" "alerts" "recovery" "monitoring" "backup" "retention" "scale" "changes"
];

/// Whether a path is the guide's.
pub fn is_at(path: &str) -> bool {
    path == CONTENTS || path.starts_with("/guide/")
}

#[derive(Template)]
#[template(path = "page.html", config = "src/guide/askama.toml")]
struct Page<'a> {
    path: &'a str,
    title: &'a str,
    style: &'a str,
    text: String,
    links: &'a [Chapter],
    before: Option<&'a Chapter>,
    after: Option<&'a Chapter>,
    version: &'a str,
}

impl Chapter {
    /// Its title: the first heading.
    pub fn title(&self) -> &'static str {
        self.text.lines().next().unwrap_or_default().trim_start_matches("# ")
    }

    /// Its name in the list that stands above each page.
    fn label(&self) -> String {
        let name = self.path.rsplit('/').next().unwrap_or_default();
        name[..1].to_uppercase() + &name[1..]
    }

    /// Its web page, with this style sheet in it.
    ///
    /// # Errors
    /// Only for a fault in the template.
    pub fn page(&self, style: &str) -> Result<String> {
        let place = CHAPTERS.iter().position(|chapter| chapter.path == self.path).unwrap_or_default();
        let page = Page {
            path: self.path,
            title: self.title(),
            style,
            text: self.html(),
            links: &CHAPTERS,
            before: place.checked_sub(1).and_then(|before| CHAPTERS.get(before)),
            after: CHAPTERS.get(place + 1),
            version: env!("CARGO_PKG_VERSION"),
        };
        page.render().map_err(|flaw| Error::Internal(format!("a page of the guide cannot be made: {flaw}")))
    }

    fn html(&self) -> String {
        let mut events: Vec<Event<'_>> = Parser::new_ext(self.text, Options::ENABLE_TABLES).map(relinked).collect();
        for at in 0..events.len() {
            let (before, after) = events.split_at_mut(at + 1);
            if let Some(Event::Start(Tag::Heading { id, .. })) = before.last_mut() {
                *id = Some(CowStr::from(anchor(&words(after))));
            }
        }
        let mut html = String::new();
        html::push_html(&mut html, events.into_iter());
        html
    }
}

/// The text up to the end of a heading.
fn words(events: &[Event<'_>]) -> String {
    let heading = events.iter().take_while(|event| !matches!(event, Event::End(TagEnd::Heading(_))));
    let words = heading.filter_map(|event| match event {
        Event::Text(text) | Event::Code(text) => Some(&**text),
        _ => None,
    });
    words.collect()
}

/// The anchor of a heading, as sites that show Markdown files make it.
pub fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

/// A part of a chapter, with its link leading to a page instead of a file.
fn relinked(event: Event<'_>) -> Event<'_> {
    match event {
        Event::Start(Tag::Link { link_type, dest_url, title, id }) => {
            let dest_url = page_of(&dest_url).map_or(dest_url, CowStr::from);
            Event::Start(Tag::Link { link_type, dest_url, title, id })
        }
        event => event,
    }
}

/// The path at which the server shows the file that a chapter links to; `None` for a link that is right already.
fn page_of(link: &str) -> Option<String> {
    if link.contains("://") || link.starts_with('#') {
        return None;
    }
    let (file, anchor) = link.find('#').map_or((link, ""), |at| link.split_at(at));
    let known = FILES.iter().find(|(name, _)| *name == file).map(|(_, path)| (*path).to_owned());
    let path = known.or_else(|| Some(format!("{CONTENTS}/{}", file.strip_suffix(".md")?)))?;
    Some(path + anchor)
}
