//! What a watching program gets: the metrics in both formats, rules that raise alerts, and a dashboard for Grafana.

use std::{collections::BTreeSet, fmt::Write as _, fs};

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

/// The series of a healthy server, one sample a minute.
const HEALTHY: [(&str, &str); 20] = [
    ("up{job='ngoma',instance='i'}", "1x1800"),
    ("ngoma_build_info{instance='i'}", "1x1800"),
    ("ngoma_oldest_due_seconds{instance='i'}", "2x1800"),
    ("ngoma_webhooks{profile='asg',state='suspended'}", "0x1800"),
    ("ngoma_webhooks{profile='asg',state='paused'}", "3x1800"),
    ("ngoma_alerts_unsent{instance='i'}", "0x1800"),
    ("ngoma_attempts_total{profile='asg',outcome='delivered'}", "0+60x1800"),
    ("ngoma_attempts_total{profile='asg',outcome='status'}", "0+3x1800"),
    ("ngoma_requests_total{what='publish',class='2xx'}", "0+60x1800"),
    ("ngoma_requests_total{what='publish',class='4xx'}", "0+1x1800"),
    ("ngoma_publish_seconds_bucket{form='single',le='0.01'}", "0+60x1800"),
    ("ngoma_publish_seconds_bucket{form='single',le='0.5'}", "0+60x1800"),
    ("ngoma_publish_seconds_bucket{form='single',le='+Inf'}", "0+60x1800"),
    ("ngoma_disk_free_bytes{instance='i'}", "50000000000x1800"),
    ("ngoma_backup_age_seconds{instance='i'}", "3600x1800"),
    ("ngoma_certificate_expiration_timestamp_seconds{instance='i'}", "7776000x1800"),
    ("ngoma_certificate_not_before_timestamp_seconds{instance='i'}", "0x1800"),
    ("ngoma_database_used_bytes{instance='i'}", "1000000x1800"),
    ("ngoma_database_limit_bytes{instance='i'}", "2000000x1800"),
    ("ngoma_wal_bytes{instance='i'}", "0x1800"),
];

/// For each rule a series that makes it fire, in the place of that of the healthy server.
const TROUBLES: [(&str, &str, &str); 20] = [
    ("NgomaDown", "up{job='ngoma',instance='i'}", "0x1800"),
    ("NgomaDeliveriesLate", "ngoma_oldest_due_seconds{instance='i'}", "400x1800"),
    ("NgomaWebhooksSuspended", "ngoma_webhooks{profile='asg',state='suspended'}", "1x1800"),
    ("NgomaAlertsUnsent", "ngoma_alerts_unsent{instance='i'}", "1x1800"),
    ("NgomaAttemptsBlockedOrDamaged", "ngoma_attempts_total{profile='asg',outcome='damaged'}", "0+1x1800"),
    ("NgomaAttemptsFail", "ngoma_attempts_total{profile='asg',outcome='status'}", "0+90x1800"),
    ("NgomaAttemptsInterrupted", "ngoma_attempts_total{profile='asg',outcome='interrupted'}", "0+10x1800"),
    ("NgomaPublishRefused", "ngoma_requests_total{what='publish',class='4xx'}", "0+20x1800"),
    ("NgomaServerErrors", "ngoma_requests_total{what='publish',class='5xx'}", "0+1x1800"),
    ("NgomaPublishSlow", "ngoma_publish_seconds_bucket{form='single',le='0.01'}", "0+1x1800"),
    ("NgomaDiskNearlyFull", "ngoma_disk_free_bytes{instance='i'}", "500000000x1800"),
    ("NgomaBackupOld", "ngoma_backup_age_seconds{instance='i'}", "200000x1800"),
    ("NgomaNoBackup", "ngoma_backup_age_seconds{instance='i'}", "_x1800"),
    ("NgomaCertificateEnds", "ngoma_certificate_expiration_timestamp_seconds{instance='i'}", "120000x1800"),
    ("NgomaRoomReached", "ngoma_removed_early_total{instance='i'}", "0+1x1800"),
    ("NgomaRoomFull", "ngoma_database_used_bytes{instance='i'}", "3000000x1800"),
    ("NgomaLogOfDatabaseLarge", "ngoma_wal_bytes{instance='i'}", "2000000000x1800"),
    ("NgomaClockSet", "ngoma_clock_steps_total{instance='i'}", "0+1x1800"),
    ("NgomaLogLinesDropped", "ngoma_log_lines_dropped_total{instance='i'}", "0+1x1800"),
    ("NgomaMetricsOld", "ngoma_survey_failed{instance='i'}", "1x1800"),
];

#[test]
fn each_rule_fires_for_its_own_trouble_and_none_for_a_healthy_server() {
    let folder = tempfile::tempdir().expect("a folder");
    let rules = include_str!("../../../src/guide/prometheus-rules.yml");
    fs::write(folder.path().join("rules.yml"), rules).expect("written");
    let named: BTreeSet<_> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert_eq!(TROUBLES.iter().map(|(alert, ..)| *alert).collect::<BTreeSet<_>>(), named, "one trouble for each rule");
    let mut text = String::from("rule_files: [rules.yml]\nevaluation_interval: 1m\ntests:\n");
    let mut judge = |fires: Option<&str>, series: &[(&str, &str)]| {
        text.push_str("  - interval: 1m\n    input_series:\n");
        for (name, values) in series {
            writeln!(text, "      - {{series: \"{name}\", values: \"{values}\"}}").expect("a text");
        }
        text.push_str("    promql_expr_test:\n      - eval_time: 29h\n");
        text.push_str("        expr: count by (alertname) (ALERTS{alertstate=\"firing\"})\n        exp_samples:\n");
        match fires {
            Some(alert) => {
                writeln!(text, "          - {{labels: '{{alertname=\"{alert}\"}}', value: 1}}").expect("a text")
            }
            None => text.push_str("          []\n"),
        }
    };
    judge(None, &HEALTHY);
    // A quiet one, whose only attempt at night has failed.
    let is_of_attempts = |name: &str| name.starts_with("ngoma_attempts_total");
    let others = HEALTHY.into_iter().filter(|(name, _)| !is_of_attempts(name));
    let attempts = [
        ("ngoma_attempts_total{profile='asg',outcome='delivered'}", "7x1800"),
        ("ngoma_attempts_total{profile='asg',outcome='status'}", "0x1700 1x100"),
    ];
    judge(None, &others.chain(attempts).collect::<Vec<_>>());
    for (alert, name, values) in TROUBLES {
        let others = HEALTHY.into_iter().filter(|(healthy, _)| *healthy != name);
        judge(Some(alert), &others.chain([(name, values)]).collect::<Vec<_>>());
    }
    fs::write(folder.path().join("tests.yml"), text).expect("written");
    let mut judged = promtool(&["test", "rules"]);
    let judged = judged.arg(folder.path().join("tests.yml")).output().expect("it starts");
    let said = String::from_utf8_lossy(&judged.stdout).into_owned() + &String::from_utf8_lossy(&judged.stderr);
    assert!(judged.status.success(), "{said}");
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
