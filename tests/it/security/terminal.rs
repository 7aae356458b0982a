//! Other people's text is escaped before it reaches a terminal: it moves no cursor, rings no bell, and changes no
//! colour or direction.

use std::process::Command;

use rusqlite::Connection;
use serde_json::{Value, json};

use crate::support::{
    browser,
    other_programs::python_with,
    program::{Running, ngoma, run, word_after},
    receiver::Receiver,
    world::{COOP, World},
};

/// Clears a screen, by ESC and by C1; goes back; deletes; turns the line round; begins a line.
const NASTY: &str = "a\u{1b}[2Jb\u{9b}2Jc\rd\u{8}e\u{7f}f\u{202e}g\u{2066}h\u{200f}i\u{61c}j\u{2028}k\nforged";

#[track_caller]
fn is_plain(text: &str) {
    let hidden = |c: char| {
        (c.is_control() && c != '\n')
            || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    assert!(!text.contains(hidden), "{text:?}");
    assert!(!text.lines().any(|line| line.starts_with("forged")), "{text:?}");
}

#[track_caller]
fn is_one_plain_line(text: &str) {
    is_plain(text);
    assert_eq!(text.trim_end_matches('\n').lines().count(), 1, "{text:?}");
}

#[test]
fn every_command_escapes_text_of_others() {
    let world = World::new();
    let receiver = Receiver::new();
    world.coop().webhook(&receiver.url(), &["*"], "s");
    world.coop().publish("dds.filed", json!({}));
    world.settle();
    std::fs::write(world.folder().join("config.toml"), "").expect("a config");
    // As an older version may have taken it, or another program written it.
    let conn = Connection::open(world.database()).expect("the file");
    conn.execute("UPDATE token SET label = ?", [NASTY]).expect("labels");
    conn.execute("UPDATE account SET id = ?1, alert_email = ?1 WHERE id = ?2", [NASTY, COOP]).expect("an account");
    conn.execute("UPDATE event SET kind = ?", [NASTY]).expect("a kind");
    let lists: [&[&str]; 3] = [&["token", "list"], &["account", "list"], &["deliveries"]];
    for list in lists {
        let (code, text, err) = run(world.folder(), list);
        assert_eq!((code, err.as_str()), (0, ""));
        assert!(text.contains("a\\u{1b}[2Jb\\u{9b}2Jc\\rd") && text.contains("\\u{202e}g\\u{2066}h"), "{text}");
        is_plain(&text);
        let (code, text, _) = run(world.folder(), &[list, &["--json"]].concat());
        assert_eq!(code, 0);
        is_plain(&text);
        let rows: Value = serde_json::from_str(&text).expect("JSON");
        let means = |row: &Value| row.as_object().is_some_and(|row| row.values().any(|value| value == NASTY));
        assert!(rows.as_array().expect("a list").iter().any(means), "it means the same: {text}");
    }
    let (code, _, err) = run(world.folder(), &["token", "revoke", NASTY]);
    assert!(code == 2 && err.contains("\\u{1b}[2J"), "{err}");
    is_plain(&err);
    let (code, out, err) = run(world.folder(), &["account", "delete", NASTY]);
    assert_eq!(code, 1);
    is_plain(&out.replace("\nforged", ""));
    is_plain(&err.replace("\nforged", ""));
}

#[test]
fn a_delivery_is_shown_escaped_by_listen() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut listen = Running::start(&mut ngoma(folder.path(), &["listen", "--port", "0"]));
    let url = word_after(&listen.line_with("listening on"), "on").to_owned();
    let bodies = [json!({ "note": NASTY, NASTY: 1 }).to_string(), NASTY.to_owned()];
    for (count, body) in bodies.iter().enumerate() {
        // Python's own client sends characters that other clients refuse.
        let script = "import sys, urllib.request as u; u.urlopen(u.Request(sys.argv[1], sys.argv[2].encode(), {'webhook-id': sys.argv[3]}))";
        let mut send: Command = python_with("json");
        let sent = send.args(["-c", script, &url, body, &format!("evt\u{9b}\u{a0}{count}")]).status();
        assert!(sent.expect("it runs").success());
        listen.line_with("-> 200");
    }
    let text = listen.seen.join("\n");
    assert!(text.contains("\\u{9b}2J") && text.contains("\\u{202e}"), "{text}");
    is_plain(&text);
}

#[test]
fn a_label_or_an_account_with_hidden_characters_is_refused_at_every_door() {
    let world = World::new();
    std::fs::write(world.folder().join("config.toml"), "").expect("a config");
    let (api, browser) = (world.operator(), browser::operator(&world));
    for c in ["\u{1b}", "\n", "\u{7f}", "\u{9b}", "\u{202e}", "\u{2066}", "\u{200f}"] {
        let label = format!("export{c}desk");
        let body = json!({ "account_id": COOP, "scopes": ["events"], "label": label });
        let refused = api.post("/operator/tokens", body);
        assert_eq!(refused.code(400), "INVALID_REQUEST", "{label:?}");
        assert!(refused.text.contains("label"), "{}", refused.text);
        let fields = [("holder", COOP), ("scope", "events"), ("label", &label)];
        let page = browser.get("/ui/accounts");
        let refused = browser.submit(&page, "/ui/tokens", &fields);
        assert_eq!(refused.status, 400, "{label:?}");
        assert!(refused.text.contains("label"), "{}", refused.text);
        let create = ["token", "create", "--account", COOP, "--scope", "events", "--label", &label];
        let (code, _, err) = run(world.folder(), &create);
        assert!(code == 2 && err.contains("label"), "{label:?}: {err}");
        is_plain(&err);
        let account = json!({ "account_id": label, "profile": "asilichain" });
        assert_eq!(api.post("/operator/accounts", account).code(400), "INVALID_REQUEST", "{label:?}");
        let (code, _, err) = run(world.folder(), &["account", "create", "--profile", "asilichain", "--id", &label]);
        assert!(code == 2 && err.contains("account id"), "{label:?}: {err}");
        is_one_plain_line(&err);
        let mail = format!("ops{c}@coop.example");
        for words in [
            &["account", "set", COOP, "--alert-email", &mail][..],
            &["account", "create", "--profile", &label, "--id", "X"],
            &["token", "create", "--account", COOP, "--scope", &label],
            &["recover", &label],
            &["webhooks", "show", &label],
        ] {
            let (code, _, err) = run(world.folder(), words);
            assert_eq!(code, 2, "{words:?}: {err}");
            is_one_plain_line(&err);
        }
    }
    let long = "l".repeat(201);
    let create = ["token", "create", "--account", COOP, "--scope", "events", "--label", &long];
    assert_eq!(run(world.folder(), &create).0, 2, "as long as at the other doors");
    let body = json!({ "account_id": COOP, "scopes": ["events"], "label": "Büro für Ausfuhr, 輸出 📦" });
    api.post("/operator/tokens", body).expect(201);
}
