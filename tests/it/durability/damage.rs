//! A file that is damaged, or is no file of ours: the program says so in a sentence and leaves it alone.

use std::{fs, path::Path};

use rusqlite::Connection;

use crate::support::{
    database::checkpoint,
    program::{finish, run},
    site::{SECRET, Site, event_of, publish},
};

const PAGE: usize = 4096;

/// A site with a webhook and some events, stopped; and the bytes of its file.
fn stopped() -> (Site, Vec<u8>) {
    let site = Site::new();
    let server = site.start();
    let client = server.coop();
    client.webhook("http://127.0.0.1:9/", &["dds.filed"], SECRET);
    for number in 0..200 {
        event_of(&publish(&client, &format!("{number}-{}", "k".repeat(200))).expect("the server answers"));
    }
    server.stop();
    checkpoint(&site.database());
    let bytes = fs::read(site.database()).expect("bytes");
    assert!(bytes.len() > 20 * PAGE, "{} bytes", bytes.len());
    (site, bytes)
}

/// A copy with other bytes at this place.
fn with(bytes: &[u8], at: usize, other: &[u8]) -> Vec<u8> {
    let mut copy = bytes.to_vec();
    copy[at..at + other.len()].copy_from_slice(other);
    copy
}

/// The content of another program's SQLite file.
fn of_another_program(folder: &Path) -> Vec<u8> {
    let path = folder.join("other.db");
    let other = Connection::open(&path).expect("a file");
    other.execute_batch("PRAGMA application_id = 7; CREATE TABLE diary (page TEXT)").expect("a table");
    other.close().expect("closed");
    fs::read(path).expect("bytes")
}

#[test]
fn a_start_on_a_damaged_or_foreign_file_ends_with_a_sentence_and_leaves_it_as_it_is() {
    let (site, good) = stopped();
    let cases = [
        ("cut within the header", good[..50].to_vec(), "cannot be read as a database"),
        ("cut after the first page", good[..PAGE].to_vec(), "is damaged: restore a backup"),
        ("cut in the first page", good[..PAGE / 2].to_vec(), "is damaged: restore a backup"),
        ("another first word", with(&good, 0, b"garbage"), "cannot be read as a database"),
        ("an impossible page size", with(&good, 16, &[0, 3]), "cannot be read as a database"),
        ("an application id of nobody", with(&good, 68, &[0; 4]), "is a SQLite file of another program"),
        ("another program's", of_another_program(site.folder()), "is a SQLite file of another program"),
        ("a schema of noise", with(&good, 100, &[0xA5; PAGE - 100]), "is damaged: restore a backup"),
        ("a file of zeros", vec![0; good.len()], "cannot be read as a database"),
    ];
    for (what, bytes, sentence) in cases {
        fs::write(site.database(), &bytes).expect("written");
        let (code, out, said) = finish(&mut site.command());
        assert_eq!((code, out.as_str()), (1, ""), "{what}: {said}");
        assert!(said.starts_with("ngoma: ") && said.trim_end().lines().count() == 1, "{what}: one sentence: {said}");
        assert!(said.contains("ngoma.db") && said.contains(sentence), "{what}: {said}");
        assert!(fs::read(site.database()).expect("bytes") == bytes, "{what}: the file was changed");
        let (code, _, said) = run(site.folder(), &["check"]);
        assert_eq!(code, 1, "{what}: {said}");
        assert!(said.starts_with("ngoma: ") && said.contains("ngoma.db"), "{what}: {said}");
        assert!(fs::read(site.database()).expect("bytes") == bytes, "{what}: check changed the file");
    }
    fs::write(site.database(), &good).expect("restored");
    assert_eq!(run(site.folder(), &["check"]).0, 0);
    site.start().stop();
}

#[test]
fn check_finds_a_damaged_page_wherever_it_lies() {
    let (site, good) = stopped();
    let pages = good.len() / PAGE;
    // The first holds the schema, the second the map of pages; both are looked at by every start.
    let mut found = 0;
    for page in [2, pages / 4, pages / 2, pages * 3 / 4, pages - 1] {
        let damaged = with(&good, page * PAGE, &[0xFF; PAGE]);
        fs::write(site.database(), &damaged).expect("written");
        let (code, out, said) = run(site.folder(), &["check"]);
        assert_eq!((code, out.as_str()), (1, ""), "page {page} of {pages}: {said}");
        assert!(said.contains("ngoma.db"), "page {page} of {pages}: {said}");
        assert!(fs::read(site.database()).expect("bytes") == damaged, "check changed the file");
        found += 1;
    }
    println!("damage: {found} pages of {pages} spoiled, all found");
}
