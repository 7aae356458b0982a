//! The pages: `/` leads to everything, `/docs` works with no internet, and a slow link loads it once.

use std::io::Read;

use ngoma::metrics::Format;

use crate::support::{
    world::{World, together},
    writer::hold_writer,
};

#[test]
fn the_first_page_leads_to_everything() {
    let world = World::new();
    let page = world.stranger().get("/");
    assert_eq!((page.status, page.header("content-type")), (200, "text/html; charset=utf-8"));
    for link in ["/docs", "/guide", "/openapi.json", "/health/ready", "/health/live"] {
        assert!(page.text.contains(&format!("href=\"{link}\"")), "{link}");
        assert_eq!(world.stranger().get(link).status, 200, "{link}");
    }
}

#[test]
fn the_docs_hold_the_contract_and_load_nothing_from_elsewhere() {
    let world = World::new();
    let page = world.stranger().get("/docs").text;
    let contract: serde_json::Value = serde_json::from_str(&ngoma::api::contract().expect("a contract")).expect("JSON");
    let start = page.find("let spec = ").expect("the document") + "let spec = ".len();
    let mut reader = serde_json::Deserializer::from_str(&page[start..]).into_iter::<serde_json::Value>();
    assert_eq!(reader.next().expect("a value").expect("JSON"), contract, "the page shows the served contract");
    for outside in ["src=\"http", "href=\"http", "@import", "url(http"] {
        assert!(!page.contains(outside), "nothing is loaded from elsewhere: {outside}");
    }
}

#[test]
fn the_docs_fit_a_phone_and_a_dark_room_and_lead_back() {
    let page = World::new().stranger().get("/docs").text;
    assert!(page.trim_start().starts_with("<!doctype html>"), "no quirks of old browsers");
    for part in [
        "<title>API docs · Ngoma</title>",
        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">",
        "<meta name=\"color-scheme\" content=\"light dark\">",
        "@media (prefers-color-scheme: dark)",
        "<a href=\"/\">Ngoma</a>",
        "<a href=\"/ui\">Dashboard</a>",
        "if (!parameter.required) delete parameter.example;",
    ] {
        assert_eq!(page.matches(part).count(), 1, "{part}");
    }
}

#[test]
fn pages_are_sent_compressed_and_once() {
    let world = World::new();
    let plain = world.stranger().send("GET", "/docs", &[("accept-encoding", "identity")], None);
    let url = format!("http://{}/docs", world.address());
    let agent: ureq::Agent = ureq::Agent::config_builder().accept_encoding("gzip").build().into();
    let mut response = agent.get(&url).call().expect("an answer");
    assert_eq!(response.headers()["content-encoding"], "gzip");
    let bytes = response.body_mut().read_to_vec().expect("a body");
    assert!(bytes.len() < 500_000, "{} bytes on a slow link", bytes.len());
    let mut text = String::new();
    flate2::read::GzDecoder::new(&bytes[..]).read_to_string(&mut text).expect("gzip");
    assert!(text == plain.text);
    let etag = plain.header("etag").to_owned();
    let again = world.stranger().send("GET", "/docs", &[("if-none-match", &etag)], None);
    assert_eq!((again.status, again.text.len()), (304, 0));
}

#[test]
fn pages_may_run_only_their_own_scripts() {
    let world = World::new();
    for (path, scripts) in [("/", "script-src 'none'"), ("/docs", "script-src 'sha256-")] {
        let page = world.stranger().get(path);
        let policy = page.header("content-security-policy");
        for part in ["default-src 'none'", scripts, "connect-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"] {
            assert!(policy.contains(part), "{path}: {part}: {policy}");
        }
        assert!(!policy.contains("http") && !policy.contains("script-src 'unsafe"), "{policy}");
    }
}

#[test]
fn every_answer_names_its_request() {
    let world = World::new();
    for path in ["/", "/health/live", "/nothing", "/v1/webhooks"] {
        assert!(world.stranger().get(path).header("x-request-id").starts_with("req_"), "{path}");
    }
}

#[test]
fn health_says_whether_it_lives_and_can_work() {
    let world = World::new();
    for path in ["/health/live", "/health/ready"] {
        assert_eq!(world.stranger().get(path).expect(200)["status"], "ok");
    }
}

#[test]
fn health_requests_without_other_writes_share_one_trial_write() {
    let world = World::new();
    let stranger = world.stranger();
    let ready = || stranger.get("/health/ready").status;
    let written = || -> f64 {
        let text = world.db().metrics().text(Format::OpenMetrics);
        let sum = text.lines().find_map(|line| line.strip_prefix("ngoma_commit_writes_sum ")).expect("a sum");
        sum.parse().expect("a number")
    };
    world.advance("5s");
    let before = written();
    let (open, held) = hold_writer(world.db());
    // Nothing was written for a while: eight ask, and share a write.
    let asking = (0..8).map(|_| {
        let stranger = stranger.clone();
        Box::new(move || stranger.get("/health/ready").status) as Box<dyn FnOnce() -> u16 + Send>
    });
    let asking: Vec<_> = asking.collect();
    let opener = std::thread::spawn(move || {
        // Later requests get the first one's answer.
        open.send(()).expect("the writer waits");
        held.join().expect("no panic");
    });
    assert_eq!(together(asking), [200; 8]);
    opener.join().expect("no panic");
    // The write that held the writer, the trial write, and perhaps a turn of the engine.
    assert!(written() - before <= 4.0, "{} writes", written() - before);

    let before = written();
    assert_eq!((ready(), written()), (200, before), "what was written of late tells");
    world.advance("5s");
    let before = written();
    assert_eq!(ready(), 200);
    assert!(written() > before, "it tries again");
}
