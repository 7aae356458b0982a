//! The command line, as its help teaches it.

use std::{
    net::TcpStream,
    path::Path,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::support::{
    client::Client,
    database::make,
    program::{Running, finish, ngoma, refusal, run, word_after, wrong},
    receiver::{Receiver, Reply},
    world::World,
};

fn json_of(folder: &Path, arguments: &[&str]) -> Value {
    let (code, out, err) = run(folder, arguments);
    assert_eq!(code, 0, "{err}");
    serde_json::from_str(&out).unwrap_or_else(|_| panic!("one JSON value: {out}"))
}

#[test]
fn accounts_are_made_and_listed() {
    let folder = tempfile::tempdir().expect("a folder");
    make(folder.path());
    let create =
        ["account", "create", "--profile", "asilichain", "--id", "COOP-1", "--alert-email", "a@b.example", "--json"];
    assert_eq!(json_of(folder.path(), &create), json!({ "id": "COOP-1" }));
    assert!(refusal(folder.path(), &create).contains("already"));
    assert!(
        refusal(folder.path(), &["account", "create", "--profile", "asg", "--id", "COOP-1"]).contains("already"),
        "unique over all profiles"
    );
    assert!(
        wrong(folder.path(), &["account", "create", "--profile", "acme", "--id", "X"]).contains("asg or asilichain")
    );
    assert!(wrong(folder.path(), &["account", "create", "--profile", "asg", "--id", "a b"]).contains("'a b'"));
    let mail = ["account", "create", "--profile", "asg", "--id", "X", "--alert-email", "nobody"];
    assert!(wrong(folder.path(), &mail).contains("'nobody'"));
    let listed = json_of(folder.path(), &["account", "list", "--json"]);
    assert_eq!(listed[0]["id"], "COOP-1");
    assert_eq!(listed[0]["profile"], "asilichain");
    assert_eq!(listed[0]["alert_email"], "a@b.example");
    assert_eq!(listed.as_array().map(Vec::len), Some(1));
}

#[test]
fn tokens_are_made_listed_and_revoked() {
    let folder = tempfile::tempdir().expect("a folder");
    make(folder.path());
    run(folder.path(), &["account", "create", "--profile", "asilichain", "--id", "COOP-1"]);
    let create = ["token", "create", "--account", "COOP-1", "--scope", "webhooks,events", "--label", "shop", "--json"];
    let made = json_of(folder.path(), &create);
    let (id, token) = (made["id"].as_str().expect("an id"), made["token"].as_str().expect("a token"));
    assert!(id.starts_with("tok_") && token.starts_with("ngm_") && token.len() == 53, "{made}");
    json_of(folder.path(), &["token", "create", "--platform", "asg", "--scope", "events", "--json"]);
    json_of(folder.path(), &["token", "create", "--scope", "operator", "--json"]);
    let listed = json_of(folder.path(), &["token", "list", "--json"]);
    let keys: Vec<&String> = listed[0].as_object().expect("an object").keys().collect();
    assert_eq!(keys, ["id", "account", "profile", "scopes", "label", "created_at", "last_used_at", "expires_at"]);
    assert_eq!(listed[0]["scopes"], json!(["webhooks", "events"]));
    assert_eq!((&listed[1]["account"], &listed[1]["profile"]), (&Value::Null, &json!("asg")));
    assert!(!listed.to_string().contains(token), "never the token itself");
    assert_eq!(run(folder.path(), &["token", "revoke", id]).0, 0);
    assert_eq!(json_of(folder.path(), &["token", "list", "--json"]).as_array().map(Vec::len), Some(2));
    assert!(refusal(folder.path(), &["token", "revoke", id]).contains(id));
}

#[test]
fn a_token_can_be_made_to_expire() {
    let folder = tempfile::tempdir().expect("a folder");
    make(folder.path());
    json_of(folder.path(), &["account", "create", "--profile", "asg", "--id", "CUST-1", "--json"]);
    let create = ["token", "create", "--account", "CUST-1", "--scope", "webhooks", "--label", "shop"];
    let made = json_of(folder.path(), &[&create[..], &["--expires", "90d", "--json"]].concat());
    let forever = json_of(folder.path(), &[&create[..], &["--json"]].concat());
    assert_eq!(forever.as_object().map(|made| made.len()), Some(2), "{forever}");
    let listed = json_of(folder.path(), &["token", "list", "--json"]);
    assert_eq!((&listed[0]["expires_at"], &listed[1]["expires_at"]), (&made["expires_at"], &Value::Null));
    let moment = |text: &Value| text.as_str().expect("a time").parse::<humantime::Timestamp>().expect("RFC 3339");
    let lasts = std::time::SystemTime::from(moment(&made["expires_at"]))
        .duration_since(moment(&listed[0]["created_at"]).into())
        .expect("later");
    assert_eq!(lasts, Duration::from_secs(90 * 86_400));
    let (_, shown, _) = run(folder.path(), &["token", "list"]);
    assert!(shown.contains(&format!("until {}", made["expires_at"].as_str().expect("a time"))), "{shown}");
    let refused = wrong(folder.path(), &[&create[..], &["--expires", "30s"]].concat());
    assert!(refused.contains("at least 1 minute"), "{refused}");
}

#[test]
fn a_token_without_a_sensible_scope_or_holder_is_refused_with_a_remedy() {
    let folder = tempfile::tempdir().expect("a folder");
    make(folder.path());
    let cases: [(&[&str], &str); 5] = [
        (&["token", "create", "--scope", "webhooks"], "--account"),
        (&["token", "create", "--scope", "everything", "--account", "X"], "'everything'"),
        (&["token", "create", "--scope", "events", "--account", "X"], "no account X"),
        (&["token", "create", "--scope", "events", "--platform", "acme"], "'acme'"),
        (&["token", "create", "--scope", "operator", "--platform", "asg"], "every account"),
    ];
    for (arguments, word) in cases {
        let is_word = word != "no account X";
        let sentence = if is_word { wrong(folder.path(), arguments) } else { refusal(folder.path(), arguments) };
        assert!(sentence.contains(word), "{sentence}");
    }
}

#[test]
fn revoking_works_at_once_also_from_another_process() {
    let world = World::new();
    let config = world.folder().join("config.toml");
    std::fs::write(&config, "").expect("a config");
    let made =
        json_of(world.folder(), &["token", "create", "--account", "COOP-MBALE-001", "--scope", "webhooks", "--json"]);
    let client = world.client(made["token"].as_str().expect("a token"));
    client.get("/webhooks").expect(200);
    run(world.folder(), &["token", "revoke", made["id"].as_str().expect("an id")]);
    assert_eq!(client.get("/webhooks").code(401), "UNAUTHORIZED");
}

#[test]
fn using_a_token_is_noted() {
    let world = World::new();
    std::fs::write(world.folder().join("config.toml"), "").expect("a config");
    let made =
        json_of(world.folder(), &["token", "create", "--account", "COOP-MBALE-001", "--scope", "webhooks", "--json"]);
    let client = world.client(made["token"].as_str().expect("a token"));
    client.get("/webhooks").expect(200);
    world.settle();
    let listed = json_of(world.folder(), &["token", "list", "--json"]);
    assert_eq!(listed.as_array().expect("a list").last().expect("one")["last_used_at"], "2026-04-20T11:55:00Z");
}

#[test]
fn check_looks_through_config_and_database() {
    let folder = tempfile::tempdir().expect("a folder");
    let (code, out, _) = run(folder.path(), &["check"]);
    assert!(code == 0 && out.contains("not there yet"), "{out}");
    make(folder.path());
    let (code, out, _) = run(folder.path(), &["check"]);
    assert!(code == 0 && out.contains("ngoma.db ok"), "{out}");
    std::fs::write(
        folder.path().join("ngoma.db"),
        "not a database at all, but long enough to be looked at as one: ".repeat(40),
    )
    .expect("damage");
    assert!(refusal(folder.path(), &["check"]).contains("ngoma.db"));
}

#[test]
fn check_prints_json_of_settings_that_cannot_be_used_too() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("config.toml"), "[server]\nlisten = \"18081\"\n").expect("written");
    let (code, out, err) = run(folder.path(), &["check", "--json"]);
    let found: Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("JSON: {out}{err}"));
    let problem = found["problems"][0].as_str().expect("a sentence");
    assert!(code == 1 && problem.contains("server.listen") && err.contains(problem), "{found} {err}");
    assert_eq!((&found["database"], &found["warnings"]), (&Value::Null, &json!([])));
}

#[test]
fn openapi_prints_the_committed_contract() {
    let folder = tempfile::tempdir().expect("a folder");
    let printed = run(folder.path(), &["openapi"]).1;
    assert!(printed == include_str!("../../../openapi/openapi.json"), "cargo run -- openapi > openapi/openapi.json");
}

#[test]
fn plain_serve_on_an_empty_database_prints_the_commands_that_come_first() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut server = Running::start(&mut ngoma(folder.path(), &["serve", "--listen", "127.0.0.1:0"]));
    server.line_with("ngoma account create");
    server.line_with("ngoma token create");
    assert!(!server.seen.join("\n").contains("ngm_"), "never a token: logs are kept");
}

#[test]
fn the_commands_that_come_first_name_the_settings_file_of_the_server() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("settings.toml").display().to_string();
    std::fs::write(&file, "[storage]\npath = \"other.db\"\n").expect("settings");
    let arguments = ["--config", &file, "serve", "--listen", "127.0.0.1:0"];
    let mut server = Running::start(&mut ngoma(folder.path(), &arguments));
    for command in ["ngoma account create", "ngoma token create"] {
        let line = server.line_with(command);
        assert!(line.ends_with(&format!(" --config {file}")), "{line}");
    }
}

#[test]
fn dev_makes_demo_accounts_and_an_operator_s_token_and_revokes_the_tokens_of_the_last_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut tokens, mut operators) = (Vec::new(), Vec::new());
    for _ in 0..2 {
        let mut server = Running::start(&mut ngoma(folder.path(), &["serve", "--dev", "--listen", "127.0.0.1:0"]));
        let address = word_after(&server.line_with("address"), "address").to_owned();
        server.line_with("Demo accounts");
        let token = word_after(&server.line_with("asilichain"), "token").to_owned();
        tokens.push(token.clone());
        let statuses: Vec<u16> =
            tokens.iter().map(|token| Client::at(&address, token).get("/webhooks").status).collect();
        assert_eq!(statuses.last(), Some(&200));
        assert!(statuses.len() == 1 || statuses[0] == 401, "the last start's token is revoked");
        // As in the README's pictures: every account.
        operators.push(word_after(&server.line_with("operator"), "token").to_owned());
        let statuses: Vec<u16> =
            operators.iter().map(|token| Client::at(&address, token).get("/operator/overview").status).collect();
        assert!(statuses == [200] || statuses == [401, 200], "{statuses:?}");
        server.signal("TERM");
        assert!(server.wait().success(), "exit 0");
    }
}

#[test]
fn listen_verifies_the_vendors_and_the_standard_signatures_and_prints_readably() {
    let world = World::new();
    let mut listen = Running::start(&mut ngoma(world.folder(), &["listen", "--port", "0", "--secret", "s3cret"]));
    let url = word_after(&listen.line_with("listening on"), "on").to_owned();
    let coop = world.coop();
    coop.webhook(&format!("{url}/hook"), &["*"], "s3cret");
    coop.publish("dds.filed", json!({ "dds_id": "DDS-9" }));
    world.settle();
    assert!(listen.line_with("POST /hook").contains("attempt 1"));
    assert!(listen.line_with("X-AsiliChain-Signature").contains("verified "), "{:?}", listen.seen);
    assert!(listen.line_with("webhook-signature").contains("verified "), "{:?}", listen.seen);
    listen.line_with("\"dds_id\": \"DDS-9\"");
    world.customer().post("/v1/webhooks", json!({ "callback_url": url, "secret": "another" })).expect(201);
    let task = json!({ "event": "task.settled", "task_id": "t", "consensus_label": "cat", "confidence": 1, "bsv_txid": "x", "settled_at": "2026-04-08T21:05:00Z" });
    world.customer().post("/v1/events", task).expect(202);
    world.settle();
    assert!(listen.line_with("X-ASG-Signature").contains("WRONG SIGNATURE"), "{:?}", listen.seen);
}

#[test]
fn listen_can_fail_on_request() {
    let world = World::new();
    let mut listen = Running::start(&mut ngoma(world.folder(), &["listen", "--port", "0", "--status", "503"]));
    let url = word_after(&listen.line_with("listening on"), "on").to_owned();
    let coop = world.coop();
    let webhook = coop.webhook(&url, &["*"], "s3cret");
    coop.publish("dds.filed", json!({}));
    world.settle();
    assert!(listen.line_with("X-AsiliChain-Signature").contains("not verified (no --secret)"));
    assert_eq!(coop.deliveries(&webhook)[0]["response_status"], 503);
}

#[test]
fn listen_can_fail_at_first_so_that_a_retry_is_seen() {
    let world = World::new();
    let mut listen = Running::start(&mut ngoma(world.folder(), &["listen", "--port", "0", "--fail-first", "1"]));
    let url = word_after(&listen.line_with("listening on"), "on").to_owned();
    let customer = world.customer();
    customer.post("/v1/webhooks", json!({ "callback_url": url })).expect(201);
    let task = json!({ "event": "task.settled", "task_id": "t", "consensus_label": "cat", "confidence": 1, "bsv_txid": "x", "settled_at": "2026-04-08T21:05:00Z" });
    customer.post("/v1/events", task).expect(202);
    world.settle();
    assert!(listen.line_with("POST /").contains("attempt 1"));
    assert_eq!(listen.line_with("  -> "), "  -> 500 Internal Server Error");
    world.advance("1s");
    assert!(listen.line_with("POST /").contains("attempt 2"));
    assert_eq!(listen.line_with("  -> "), "  -> 200 OK");
}

#[test]
fn a_sample_of_each_of_the_16_events_arrives_from_the_built_program() {
    let folder = tempfile::tempdir().expect("a folder");
    let (asg, asilichain) = (Receiver::new(), Receiver::new());
    let mut server = Running::start(&mut ngoma(folder.path(), &["serve", "--dev", "--listen", "127.0.0.1:0"]));
    let address = word_after(&server.line_with("address"), "address").to_owned();
    server.line_with("Demo accounts");
    let customer = Client::at(&address, word_after(&server.line_with("asg"), "token"));
    let coop = Client::at(&address, word_after(&server.line_with("asilichain"), "token"));
    customer.post("/v1/webhooks", json!({ "callback_url": asg.url() })).expect(201);
    let body = json!({ "url": asilichain.url(), "events": ["*"], "cooperative_id": "DEMO-ASILICHAIN" });
    coop.post("/webhooks", body).expect(201);
    let types = coop.get("/event-types").expect(200);
    for event in types.as_array().expect("a list") {
        coop.post("/events", json!({ "event": event["name"], "data": event["sample"] })).expect(202);
    }
    let task = json!({ "event": "task.settled", "task_id": "tsk_1", "consensus_label": "cat", "confidence": 1.0, "bsv_txid": "x", "settled_at": "2026-04-08T21:05:00Z" });
    customer.post("/v1/events", task).expect(202);
    let mut arrived: Vec<(String, Value)> = asilichain
        .wait_for(15)
        .iter()
        .map(|post| (post.json()["event"].as_str().expect("a name").to_owned(), post.json()["data"].clone()))
        .collect();
    let mut published: Vec<(String, Value)> = types
        .as_array()
        .expect("a list")
        .iter()
        .map(|event| (event["name"].as_str().expect("a name").to_owned(), event["sample"].clone()))
        .collect();
    arrived.sort_by(|a, b| a.0.cmp(&b.0));
    published.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(arrived, published);
    assert_eq!(asg.wait_for(1)[0].json()["task_id"], "tsk_1");
    server.signal("TERM");
    assert!(server.wait().success());
}

#[test]
fn a_port_that_is_taken_is_a_sentence() {
    let folder = tempfile::tempdir().expect("a folder");
    let taken = Receiver::new();
    let listen = format!("127.0.0.1:{}", taken.port());
    let serve = &mut ngoma(folder.path(), &["serve", "--listen", &listen]);
    let (code, _, err) = finish(serve.env("NGOMA_LOG__LEVEL", "info"));
    assert!(code == 1 && err.contains(&listen) && err.starts_with("ngoma: cannot listen"), "{err}");
}

#[test]
fn a_stop_waits_for_attempts_in_flight_and_a_second_signal_ends_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let receiver = Receiver::new();
    receiver.always(Reply::Hang);
    let mut server = Running::start(&mut ngoma(folder.path(), &["serve", "--dev", "--listen", "127.0.0.1:0"]));
    let address = word_after(&server.line_with("address"), "address").to_owned();
    server.line_with("Demo accounts");
    let coop = Client::at(&address, word_after(&server.line_with("asilichain"), "token"));
    let body = json!({ "url": receiver.url(), "events": ["*"], "cooperative_id": "DEMO-ASILICHAIN" });
    coop.post("/webhooks", body).expect(201);
    coop.post("/events", json!({ "event": "dds.filed", "data": {} })).expect(202);
    receiver.wait_for(1);
    let begun = Instant::now();
    server.signal("TERM");
    // It has noticed when it accepts no more; two signals at once may count as one.
    let port = address.trim_start_matches("http://").to_owned();
    while TcpStream::connect(&port).is_ok() {
        assert!(begun.elapsed() < Duration::from_secs(9), "it goes on accepting");
    }
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(1));
    assert!(begun.elapsed() < Duration::from_secs(9), "it did not wait for the attempt's ten seconds");
    let mut again = Running::start(&mut ngoma(folder.path(), &["serve", "--dev", "--listen", "127.0.0.1:0"]));
    again.line_with("Demo accounts");
    receiver.wait_for(2);
    assert_eq!(receiver.last().header("ngoma-attempt"), "2", "what was cut off is made again");
}

#[test]
fn dev_listens_on_this_machine_only() {
    let folder = tempfile::tempdir().expect("a folder");
    let (code, _, sentence) = finish(&mut ngoma(folder.path(), &["serve", "--dev", "--listen", "0.0.0.0:0"]));
    assert!(code == 2 && sentence.contains("127.0.0.1"), "{sentence}");
}
