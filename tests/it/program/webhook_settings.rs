//! A webhook registered and changed on the command line, by the rules of the API.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use crate::support::{
    leaks,
    program::finish,
    receiver::Receiver,
    site::Site,
    world::{COOP, CUSTOMER},
};

#[track_caller]
fn ended(command: &mut Command, code: i32) -> String {
    let (ended, out, err) = finish(command);
    assert_eq!(ended, code, "{command:?}: {out}{err}");
    out + &err
}

#[track_caller]
fn json_of(site: &Site, arguments: &[&str]) -> Value {
    let text = ended(&mut site.command_of(&[arguments, &["--json"]].concat()), 0);
    serde_json::from_str(&text).unwrap_or_else(|_| panic!("one JSON value: {text}"))
}

#[test]
fn a_webhook_is_registered_on_the_command_line_and_its_secret_is_shown_once() {
    let site = Site::new();
    let receiver = Receiver::new();
    let server = site.start();
    let create = ["webhooks", "create", "--account", COOP, "--url", &receiver.url(), "--events", "batch.*,dds.filed"];
    let made = json_of(&site, &create);
    let (id, secret) = (made["webhook_id"].as_str().expect("an id"), made["secret"].as_str().expect("a secret"));
    leaks::secret(secret);
    assert!(id.starts_with("wh_") && secret.starts_with("whsec_"), "{id}");
    assert_eq!(made["events"], json!(["batch.*", "dds.filed"]));
    server.coop().publish("dds.filed", json!({}));
    assert!(receiver.wait_for(1)[0].json()["event"] == "dds.filed");
    assert!(json_of(&site, &["webhooks", "show", id]).get("secret").is_none());

    // For a script: nothing but the id and the secret.
    let quiet = ended(&mut site.command_of(&[&create[..], &["--quiet"]].concat()), 0);
    let lines: Vec<&str> = quiet.lines().collect();
    assert!(lines.len() == 2 && lines[0].starts_with("wh_") && lines[1].starts_with("whsec_"), "{} lines", lines.len());
    leaks::secret(lines[1]);
    let file = site.folder().join("secret.txt");
    std::fs::write(&file, "a secret of my own\n").expect("written");
    let own = ["--account", CUSTOMER, "--url", &receiver.url(), "--events", "*", "--secret-file", "secret.txt"];
    let made = json_of(&site, &[&["webhooks", "create"], &own[..]].concat());
    assert!(made["webhook_id"].as_str().is_some_and(|id| id.starts_with("whk_")) && made.get("secret").is_none());

    for (wrong, said) in [
        (["--account", COOP, "--url", &receiver.url(), "--events", "nothing"], "'nothing'"),
        (["--account", COOP, "--url", "ftp://r.example", "--events", "*"], "cannot be used"),
        (["--account", COOP, "--url", "http://10.0.0.1/", "--events", "*"], "10.0.0.1"),
    ] {
        let refused = ended(&mut site.command_of(&[&["webhooks", "create"], &wrong[..]].concat()), 2);
        assert!(refused.contains(said), "{refused}");
    }
}

#[test]
fn the_own_settings_of_a_webhook_are_changed_by_the_rules_of_the_api_and_values_of_headers_are_masked() {
    let site = Site::new();
    let receiver = Receiver::new();
    let server = site.start();
    let coop = server.coop();
    let id = coop.webhook(&receiver.url(), &["*"], "s");
    let set = |more: &[&str]| json_of(&site, &[&["webhooks", "set", &id], more].concat());
    let changed = set(&[
        "--rate-limit",
        "5",
        "--ordered",
        "--name",
        "till",
        "--description",
        "the till of Mbale",
        "--metadata",
        "a=1",
        "--metadata",
        "b=x=y",
        "--header",
        "X-Api-Key: not-in-the-list",
        "--header",
        "X-Till: 2",
    ]);
    assert_eq!((&changed["rate_limit"], &changed["ordered"]), (&json!(5.0), &json!(true)));
    assert_eq!((&changed["name"], &changed["description"]), (&json!("till"), &json!("the till of Mbale")));
    assert_eq!(changed["metadata"], json!({ "a": "1", "b": "x=y" }));
    assert_eq!(changed["headers"], json!({ "X-Api-Key": "***", "X-Till": "***" }));
    coop.publish("dds.filed", json!({}));
    let post = &receiver.wait_for(1)[0];
    assert_eq!((post.header("x-api-key"), post.header("x-till")), ("not-in-the-list", "2"));
    let seen = coop.get(&format!("/webhooks/{id}")).expect(200);
    assert_eq!((&seen["rate_limit"], &seen["metadata"]["b"]), (&json!(5.0), &json!("x=y")));

    // Settings, headers and texts that are not named stay; a value may come from a file or from standard input.
    std::fs::write(site.folder().join("key.txt"), "X-Api-Key: from-a-file\n").expect("written");
    set(&["--header", "@key.txt", "--no-header", "x-till", "--metadata", "a=2"]);
    coop.publish("dds.filed", json!({}));
    assert_eq!(receiver.wait_for(2)[1].header("x-api-key"), "from-a-file");
    let mut piped = site.command_of(&["webhooks", "set", &id, "--header", "@-"]);
    let mut piped = piped.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
    piped.stdin.take().expect("piped").write_all(b"X-Token: from-a-pipe\n").expect("written");
    let shown = String::from_utf8(piped.wait_with_output().expect("it ends").stdout).expect("text");
    for part in ["X-Api-Key: ***, X-Token: ***", "a=2, b=x=y", "one at a time", "at most 5 a second"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    coop.publish("dds.filed", json!({}));
    assert_eq!(receiver.wait_for(3)[2].header("x-token"), "from-a-pipe");

    let none = set(&["--no-rate-limit", "--no-ordered", "--no-name", "--no-description", "--no-metadata"]);
    let now = ["rate_limit", "ordered", "name", "description", "metadata"].map(|name| none[name].clone());
    assert_eq!(json!(now), json!([null, false, null, null, {}]));
    let listed = json_of(&site, &["webhooks", "list"]);
    assert_eq!(listed[0]["headers"], json!({ "X-Api-Key": "***", "X-Token": "***" }));
    for (more, said) in [
        (&[][..], "nothing is to be changed"),
        (&["--rate-limit", "5000"], "rate_limit is 5000: expected deliveries per second"),
        (&["--header", "Host: a"], "headers has Host: the server sets it"),
        (&["--header", "no colon, but a-secret-word"], "a header has no colon"),
        (&["--no-header", "X-Gone"], "headers has no X-Gone to remove: it has X-Api-Key, X-Token"),
        (&["--metadata", "a"], "KEY=TEXT"),
        (&["--ordered", "--no-ordered"], "cannot be used with"),
        (&["--events", "nothing"], "'nothing'"),
    ] {
        let refused = ended(&mut site.command_of(&[&["webhooks", "set", &id], more].concat()), 2);
        assert!(refused.contains(said) && !refused.contains("a-secret-word"), "{refused}");
    }
    let gone = ended(&mut site.command_of(&["webhooks", "set", "wh_01HXYZ3KJ9Q8R7S6T5V4W3X2Y1", "--ordered"]), 1);
    assert!(gone.contains("ngoma webhooks list"), "{gone}");
}
