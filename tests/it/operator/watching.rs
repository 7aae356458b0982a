//! What a watching program gets: the metrics in both formats, rules that raise alerts, and a dashboard for Grafana.

use std::{collections::BTreeSet, fs};

use serde_json::Value;

use crate::support::{
    client::Client,
    metrics::metric,
    other_programs::{ask, promtool},
    world::{Holder, World},
};

/// Metrics that exist only when there is what they show.
const SOMETIMES: [&str; 3] = ["ngoma_backup_", "ngoma_certificate_", "ngoma_database_limit_"];

fn operator(world: &World) -> Client {
    world.client(&world.token_for(Holder::Operator, "operator"))
}

/// The metrics as a program gets them that asks in this way.
fn metrics(client: &Client, accept: &str) -> (String, String) {
    let answer = client.send("GET", "/metrics", &[("accept", accept)], None);
    assert_eq!(answer.status, 200, "{}", answer.text);
    (answer.header("content-type").to_owned(), answer.text)
}

/// The names of the samples in a text of either format.
fn samples(text: &str) -> BTreeSet<&str> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split(['{', ' ']).next()).collect()
}

/// The words of a query that are names of metrics.
fn named(query: &str) -> impl Iterator<Item = &str> {
    let words = query.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words.filter(|word| word.starts_with("ngoma_") || word.starts_with("process_"))
}

#[test]
fn who_asks_for_the_text_format_gets_what_promtool_takes() {
    let world = World::new();
    let client = operator(&world);
    let (kind, text) = metrics(&client, "text/plain;version=0.0.4");
    assert_eq!(kind, "text/plain; version=0.0.4; charset=utf-8");
    // It complains on its output, and fails.
    assert_eq!(String::from_utf8_lossy(&ask(promtool(&["check", "metrics"]), text.clone().into_bytes())), "");
    let (kind, open) = metrics(&client, "application/openmetrics-text;version=1.0.0,text/plain;q=0.5");
    assert_eq!(kind, "application/openmetrics-text; version=1.0.0; charset=utf-8");
    assert_eq!(metrics(&client, "*/*").0, kind);
    assert_eq!(samples(&text), samples(&open), "both have the same samples");
}

#[test]
fn the_format_is_the_one_that_the_request_likes_better() {
    let world = World::new();
    let client = operator(&world);
    for (accept, kind) in [
        ("application/openmetrics-text;q=0.1, text/plain;q=0.9", "text/plain"),
        ("text/plain;q=0, */*", "application/openmetrics-text"),
        ("TEXT/PLAIN", "text/plain"),
        ("text/*", "text/plain"),
        ("application/*;q=0.2, text/*;q=0.3", "text/plain"),
        ("*/*;q=0.9, text/plain;q=0.1", "application/openmetrics-text"),
        ("text/plain, application/openmetrics-text", "application/openmetrics-text"),
        ("image/png", "application/openmetrics-text"),
        (
            "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
            "application/openmetrics-text",
        ),
        ("text/plain;version=0.0.4;q=0.5,application/openmetrics-text;version=1.0.0;q=0.4,*/*;q=0.2", "text/plain"),
    ] {
        let given = metrics(&client, accept).0;
        assert_eq!(given.split(';').next(), Some(kind), "{accept}");
    }
}

#[test]
fn the_rules_are_taken_by_promtool_and_rules_and_dashboard_name_only_metrics_that_exist() {
    let world = World::new();
    let stranger = world.stranger();
    let rules = stranger.get("/guide/prometheus-rules.yml");
    assert_eq!((rules.status, rules.header("content-type")), (200, "text/plain; charset=utf-8"));
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("rules.yml");
    fs::write(&file, &rules.text).expect("written");
    let mut judged = promtool(&["check", "rules"]);
    let judged = judged.arg(&file).output().expect("it starts");
    assert!(judged.status.success(), "{}", String::from_utf8_lossy(&judged.stderr));

    let dashboard: Value = serde_json::from_str(&stranger.get("/guide/grafana.json").text).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().expect("targets"));
    let queries = targets.map(|target| target["expr"].as_str().expect("a query").to_owned());
    let conditions = rules.text.lines().filter_map(|line| Some(line.trim().strip_prefix("expr: ")?.to_owned()));
    let queries: Vec<String> = queries.chain(conditions).collect();
    assert!(queries.len() > 20);
    let (_, text) = metrics(&operator(&world), "text/plain");
    let known = samples(&text);
    for query in &queries {
        for name in named(query) {
            let known = known.contains(name) || SOMETIMES.iter().any(|some| name.starts_with(some));
            assert!(known, "{query} names {name}, which does not exist");
        }
    }
}

#[test]
fn the_age_of_the_newest_backup_and_the_start_of_the_server_are_metrics() {
    let world = World::new();
    let value = |name: &str| metric(&world, name);
    assert_eq!(value("ngoma_backup_age_seconds"), None);
    let started = value("process_start_time_seconds").expect("it is there");
    let now = world.now().millis() as f64 / 1000.0;
    assert!(started > 0.0 && started <= now, "{started} is not before {now}");
    let folder = world.database().with_file_name("backups");
    fs::create_dir(&folder).expect("a folder");
    let made = world.now();
    let backup = folder.join(format!("{}.db", made.to_string().replace(':', "-")));
    world.db().back_up(&world.config.storage, &backup, drop).expect("a backup");
    world.advance("2h");
    let age = value("ngoma_backup_age_seconds").expect("there is a backup");
    assert!((7199.0..7260.0).contains(&age), "{age}");
}
