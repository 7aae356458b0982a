//! The backups in the folder beside the database: listed, downloaded, and the key apart.

use std::{fs, os::unix::fs::symlink};

use crate::support::{
    browser::{Browser, of, operator},
    world::{COOP, World},
};

/// The status and the bytes of a download.
fn download(world: &World, browser: &Browser, path: &str) -> (u16, Vec<u8>) {
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).max_redirects(0).build().into();
    let request = agent.get(format!("http://{}{path}", world.address())).header("cookie", &browser.cookie);
    let mut answer = request.call().expect("an answer");
    (answer.status().as_u16(), answer.body_mut().with_config().limit(u64::MAX).read_to_vec().expect("bytes"))
}

fn back_up(browser: &Browser) {
    let begun = browser.post("/ui/system/backup", &[]);
    while browser.follow(&begun).text.contains("It is being made") {}
}

#[test]
fn backups_are_listed_with_their_age_and_size_and_the_page_says_how_old_the_last_is() {
    let world = World::new();
    let browser = operator(&world);
    assert!(browser.get("/ui/system").text.contains("<dt>Last backup</dt><dd>none yet</dd>"));
    back_up(&browser);
    world.move_clock(std::time::Duration::from_secs(2 * 86_400));
    let browser = operator(&world);
    let page = browser.get("/ui/system").text;
    assert!(page.contains("<dt>Last backup</dt><dd>2 d ago</dd>"), "{page}");
    let length = fs::metadata(world.folder().join("backups/2026-04-20T11-55-00Z.db")).expect("a backup").len();
    assert!(page.contains("<code>2026-04-20T11-55-00Z.db</code>") && page.contains(" KB</td>"), "{length}: {page}");
    back_up(&browser);
    let page = browser.get("/ui/system").text;
    assert!(page.contains("<dt>Last backup</dt><dd>now</dd>"), "{page}");
    let [newer, older] =
        ["2026-04-22T11-55-00Z.db</code>", "2026-04-20T11-55-00Z.db</code>"].map(|name| page.rfind(name));
    assert!(newer < older, "the newest first");
}

#[test]
fn a_backup_is_downloaded_to_the_byte_and_its_key_apart() {
    let world = World::new();
    let browser = operator(&world);
    back_up(&browser);
    let folder = world.folder().join("backups");
    let at = "/ui/system/backups/2026-04-20T11-55-00Z.db";
    let (status, database) = download(&world, &browser, at);
    assert_eq!(status, 200);
    assert!(database == fs::read(folder.join("2026-04-20T11-55-00Z.db")).expect("a file"), "{} bytes", database.len());
    let key = fs::read(folder.join("2026-04-20T11-55-00Z.db.key")).expect("a key");
    assert!(!database.windows(key.len()).any(|part| part == key), "the key is not in it");
    assert!(download(&world, &browser, &format!("{at}/key")) == (200, key));
    let audit = browser.get("/ui/audit?action=database.backup_taken").text;
    assert!(audit.contains("2026-04-20T11-55-00Z.db<") && audit.contains("2026-04-20T11-55-00Z.db.key<"), "{audit}");
}

#[test]
fn a_backup_of_any_name_is_downloaded_by_its_link_and_so_is_its_key() {
    let world = World::new();
    let browser = operator(&world);
    back_up(&browser);
    let made = world.folder().join("backups/2026-04-20T11-55-00Z.db");
    let names = ["before upgrade.db", "a+b.db", "100%25?#&.db", "kahawa-\u{e9}.db"];
    for name in names {
        fs::copy(&made, made.with_file_name(name)).expect("copied");
        fs::copy(made.with_extension("db.key"), made.with_file_name(format!("{name}.key"))).expect("copied");
    }
    let page = browser.get("/ui/system").text;
    let links = page.split("href=\"/ui/system/backups/").skip(1).filter_map(|rest| rest.split('"').next());
    let links: Vec<&str> = links.collect();
    assert_eq!(links.len(), 2 * (names.len() + 1), "{page}");
    for link in links {
        assert_eq!(download(&world, &browser, &format!("/ui/system/backups/{link}")).0, 200, "{link}");
    }
}

#[test]
fn only_the_operator_downloads_and_only_backups() {
    let world = World::new();
    let browser = operator(&world);
    back_up(&browser);
    let at = "/ui/system/backups/2026-04-20T11-55-00Z.db";
    let account = of(&world, COOP, "webhooks,events");
    let stranger = Browser::new(&world);
    for path in [at.to_owned(), format!("{at}/key")] {
        assert_eq!(download(&world, &account, &path).0, 403, "{path}");
        assert_eq!(download(&world, &stranger, &path).0, 303, "{path}");
    }
    let folder = world.folder().join("backups");
    symlink(world.database(), folder.join("linked.db")).expect("a link");
    fs::hard_link(world.database(), folder.join("same.db")).expect("a second name");
    for name in ["linked.db", "same.db", "..%2Fngoma.db", "2026-04-20T11-55-00Z.db.key", "nothing.db"] {
        assert_eq!(download(&world, &browser, &format!("/ui/system/backups/{name}")).0, 404, "{name}");
    }
    assert_eq!(download(&world, &browser, "/ui/system/backups/nothing.db/key").0, 404);
}

#[test]
fn the_path_of_a_backup_is_shown_as_it_is_written() {
    let world = World::new();
    let browser = operator(&world);
    back_up(&browser);
    let page = browser.get("/ui/system").text;
    let path = world.folder().join("backups/2026-04-20T11-55-00Z.db").display().to_string();
    // The style sheet makes the first letter of a note a capital: a path must not be first.
    let note =
        page.split_once("<p class=\"note good\">").and_then(|(_, rest)| rest.split("</p>").next()).expect("a note");
    assert!(note.starts_with("The backup and its key") && note.contains(&format!("<code>{path}</code>")), "{note}");
}
