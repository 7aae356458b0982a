//! A text that only the oldest payload holds: looked for page by page, through every payload.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::{
    prepare::Account,
    process::{Folder, Process},
    store,
    table::{Table, ms, whole},
};

const EVENTS: usize = 100_000;
const EVENTS_LONG: usize = 1_000_000;
/// In the payload of the first event alone: its number is 0.
const TEXT: &str = "%3A0%2C";

pub fn run(long: bool) {
    let events = if long { EVENTS_LONG } else { EVENTS };
    let folder = Folder::new();
    let store = folder.store();
    let account = store.account("COOP-1", vec!["http://127.0.0.1:9/".to_owned()]);
    store.publish(&account.id, events);
    store::deliver(&folder, &store, events);
    store.close();
    let server = folder.serve();
    println!("{events} events of 600 bytes, each delivered to one webhook. A page looks through payloads for 2 s.\n");
    let table = Table::new(26, &["list", "pages", "longest ms", "all of it ms", "payloads/s"]);
    let webhooks = get(&server, &account, "/webhooks");
    let webhook = webhooks[0]["webhook_id"].as_str().expect("an id").to_owned();
    for (name, path, entries) in [
        ("events", "/events".to_owned(), "events"),
        ("deliveries of a webhook", format!("/webhooks/{webhook}/deliveries"), "deliveries"),
    ] {
        let (pages, longest, took) = search(&server, &account, &path, entries);
        let rate = events as f64 / took.as_secs_f64();
        table.row(&[name.to_owned(), pages.to_string(), ms(longest), ms(took), whole(rate)]);
    }
}

/// Follows the cursors to the end: the number of pages, how long the longest took, and how long all took.
fn search(server: &Process, account: &Account, path: &str, entries: &str) -> (usize, Duration, Duration) {
    let (mut pages, mut found, mut longest, mut cursor) = (0, 0, Duration::ZERO, String::new());
    let begun = Instant::now();
    loop {
        let watch = Instant::now();
        let page = get(server, account, &format!("{path}?q={TEXT}{cursor}"));
        (pages, longest) = (pages + 1, longest.max(watch.elapsed()));
        found += page[entries].as_array().expect("a list").len();
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(found, 1, "only the oldest has it");
    (pages, longest, begun.elapsed())
}

fn get(server: &Process, account: &Account, path: &str) -> Value {
    let request = ureq::get(format!("http://{}{path}", server.address));
    let mut answer = request.header("authorization", format!("Bearer {}", account.token)).call().expect("an answer");
    let text = answer.body_mut().read_to_string().expect("a text");
    serde_json::from_str(&text).expect("JSON")
}
