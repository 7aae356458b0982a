//! The guide: every chapter is a page of the server, and every link of README and guide leads somewhere.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use ngoma::guide::{CHAPTERS, anchor};
use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

use crate::{
    program::readme::{chapters, readme},
    support::world::World,
};

/// Everything on its first pages that a person needs: more goes into a chapter.
const README_LINES: usize = 200;

/// One word for each thing: these are other words for an account, or for a platform.
const OTHER_WORDS: [&str; 2] = ["tenant", "vendor"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The README, the guide's list of chapters, and every chapter.
fn files() -> Vec<PathBuf> {
    let folder = fs::read_dir(root().join("src/guide")).expect("the guide").flatten().map(|entry| entry.path());
    let chapters = folder.filter(|path| path.extension().is_some_and(|kind| kind == "md"));
    [root().join("README.md")].into_iter().chain(chapters).collect()
}

/// Where the links and pictures of a Markdown text lead.
fn links(text: &str) -> Vec<String> {
    let links = Parser::new_ext(text, Options::ENABLE_TABLES).filter_map(|event| match event {
        Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => Some(dest_url.to_string()),
        _ => None,
    });
    links.collect()
}

/// The anchors of the headings of a Markdown text.
fn anchors(text: &str) -> BTreeSet<String> {
    let (mut anchors, mut heading) = (BTreeSet::new(), None);
    for event in Parser::new(text) {
        match (event, &mut heading) {
            (Event::Start(Tag::Heading { .. }), _) => heading = Some(String::new()),
            (Event::Text(part) | Event::Code(part), Some(heading)) => heading.push_str(&part),
            (Event::End(TagEnd::Heading(_)), Some(whole)) => {
                anchors.insert(anchor(whole));
                heading = None;
            }
            _ => {}
        }
    }
    anchors
}

/// The values of an attribute in a page.
fn values<'a>(page: &'a str, attribute: &str) -> Vec<&'a str> {
    let opening = format!("{attribute}=\"");
    page.split(&opening).skip(1).filter_map(|rest| rest.split('"').next()).collect()
}

#[test]
fn every_chapter_is_a_page_and_the_guide_lists_them_all() {
    let world = World::new();
    let stranger = world.stranger();
    let contents = stranger.get("/guide").text;
    let list = contents.split_once("<article").expect("its text").1.split_once("</article>").expect("its end").0;
    for chapter in &CHAPTERS {
        let page = stranger.get(chapter.path);
        assert_eq!((page.status, page.header("content-type")), (200, "text/html; charset=utf-8"), "{}", chapter.path);
        assert!(page.text.contains(&format!(">{}</h1>", chapter.title())), "{}", chapter.path);
        assert!(chapter.path == "/guide" || values(list, "href").contains(&chapter.path), "{}", chapter.path);
        let policy = page.header("content-security-policy");
        assert!(policy.contains("default-src 'none'") && policy.contains("script-src 'none'"), "{policy}");
        for outside in ["src=\"http", "@import", "url("] {
            assert!(!page.text.contains(outside), "{} loads something from elsewhere: {outside}", chapter.path);
        }
        let etag = page.header("etag").to_owned();
        assert_eq!(stranger.send("GET", chapter.path, &[("if-none-match", &etag)], None).status, 304);
        let zipped = stranger.send("HEAD", chapter.path, &[("accept-encoding", "gzip")], None);
        assert_eq!(zipped.header("content-encoding"), "gzip", "{}", chapter.path);
    }
    assert_eq!(stranger.get("/guide/nothing").status, 404);
    assert_eq!(stranger.post("/guide", serde_json::json!({})).status, 405);
    assert_eq!(files().len(), 1 + CHAPTERS.len(), "every file is the README or a chapter");
}

#[test]
fn every_link_in_readme_and_guide_leads_to_a_file_and_a_heading() {
    for file in files() {
        let text = fs::read_to_string(&file).expect("a text");
        let folder = file.parent().expect("a folder");
        let found = links(&text);
        assert!(!found.is_empty(), "{}", file.display());
        for link in found.iter().filter(|link| !link.starts_with("https://") && !link.starts_with("http://127.0.0.1")) {
            let (name, heading) = link.split_once('#').map_or((link.as_str(), None), |(name, at)| (name, Some(at)));
            let target = if name.is_empty() { file.clone() } else { folder.join(name) };
            assert!(target.is_file(), "{}: {link} leads nowhere", file.display());
            if let Some(heading) = heading {
                let text = fs::read_to_string(&target).expect("a text");
                assert!(anchors(&text).contains(heading), "{}: {link} leads to no heading", file.display());
            }
        }
    }
}

#[test]
fn every_link_of_a_page_of_the_guide_leads_to_a_page_and_a_heading() {
    let world = World::new();
    for chapter in &CHAPTERS {
        let page = world.stranger().get(chapter.path).text;
        for link in values(&page, "href") {
            let (path, heading) = link.split_once('#').map_or((link, None), |(path, at)| (path, Some(at)));
            if path.starts_with("https://") {
                continue;
            }
            let target = if path.is_empty() {
                page.clone()
            } else {
                let answer = world.stranger().get(path);
                assert!(matches!(answer.status, 200 | 303), "{}: {link} leads nowhere", chapter.path);
                answer.text
            };
            let is_there = heading.is_none_or(|heading| values(&target, "id").contains(&heading));
            assert!(is_there, "{}: {link} leads to no heading", chapter.path);
        }
    }
}

#[test]
fn the_readme_is_short_and_leads_to_every_chapter() {
    let readme = readme();
    let count = readme.lines().count();
    assert!(count <= README_LINES, "{count} lines: move some into a chapter of the guide");
    let links = links(&readme);
    for chapter in CHAPTERS.iter().filter_map(|chapter| chapter.path.strip_prefix("/guide/")) {
        assert!(links.contains(&format!("src/guide/{chapter}.md")), "{chapter}");
    }
}

#[test]
fn readme_guide_and_contract_have_one_word_for_each_thing() {
    let contract = ngoma::api::contract().expect("it is made");
    for text in [vec![readme(), contract], chapters()].concat() {
        for word in OTHER_WORDS {
            assert!(!text.to_lowercase().contains(word), "'{word}': {}", text.lines().next().unwrap_or_default());
        }
    }
}
