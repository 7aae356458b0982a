//! The receivers of the guide, run as they stand there: what people copy works.

use std::{net::TcpListener, path::Path, process::Command};

use ngoma::{
    clock::{Clock, SystemClock},
    domain::{signature::SigningSecret, timestamp::Timestamp},
};
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::{
    program::readme::{blocks, chapter},
    support::{
        client::Client,
        other_programs::modules,
        program::Running,
        world::{COOP, World},
    },
};

/// The port of the guide. A story takes a free one instead.
const PORT: &str = "9000";

/// A receiver of the guide, in a folder of its own.
struct Recipe {
    folder: tempfile::TempDir,
    file: String,
    /// What builds it, if it must be built, and what runs it.
    commands: Vec<String>,
    text: String,
    port: String,
}

impl Recipe {
    /// Reads the receiver of this language, and the way to run it, from the guide.
    fn of(language: &str) -> Self {
        let guide = chapter("receive");
        let row = guide.lines().find(|line| line.starts_with(&format!("| {language} |"))).expect("its row");
        let cells: Vec<&str> = row.split('|').map(|cell| cell.trim_matches([' ', '`'])).collect();
        let (file, command) = (cells[2].to_owned(), cells[3]);
        let fence = file.rsplit('.').next().map_or("", |ending| if ending == "mjs" { "js" } else { ending });
        let free = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its address");
        let port = free.port().to_string();
        let commands = command.split(" && ").map(|command| command.replace(PORT, &port)).collect();
        let text = blocks(&guide, fence).remove(0).replace(PORT, &port);
        Self { folder: tempfile::tempdir().expect("a folder"), file, commands, text, port }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn command(&self, command: &str) -> Command {
        let mut words = command.split(' ');
        let program = words.next().expect("a program");
        let found = program.strip_prefix("./").map_or_else(|| Path::new(program).to_owned(), |built| self.path(built));
        let mut command = Command::new(found);
        command.args(words).current_dir(self.folder.path());
        command
    }

    fn path(&self, file: &str) -> std::path::PathBuf {
        self.folder.path().join(file)
    }

    /// Runs it, with this text as its work and this secret, once it listens.
    fn start(&self, text: &str, secret: &str) -> Running {
        std::fs::write(self.path(&self.file), text).expect("written");
        let (run, build) = self.commands.split_last().expect("a command");
        for step in build {
            let built = self.command(step).output().expect("it is installed: run the suite by tests/run");
            assert!(built.status.success(), "{step}: {}", String::from_utf8_lossy(&built.stderr));
        }
        let mut running = Running::start(self.command(run).env("SECRET", secret));
        if run.starts_with("php") {
            running.error_with("started");
        } else {
            running.line_with("listening");
        }
        running
    }

    /// Sends it a POST that is signed with this secret, `seconds` from now, and returns the status of the answer.
    fn post(&self, secret: &str, seconds: i64, body: &str) -> u16 {
        let at = Timestamp::from_millis(SystemClock.now().millis() + seconds * 1000);
        let signature = SigningSecret::from_stored(secret.to_owned()).sign_standard("evt_1", at, body.as_bytes());
        // After a change of the secret there are two.
        let signatures = format!("v1,AAAA {signature}");
        self.send(&[("webhook-timestamp", &at.unix_seconds().to_string()), ("webhook-signature", &signatures)], body)
    }

    fn send(&self, headers: &[(&str, &str)], body: &str) -> u16 {
        let headers = [headers, &[("webhook-id", "evt_1"), ("content-type", "application/json")]].concat();
        Client::at(&self.url(), "").without_token().send("POST", "/", &headers, Some(body.as_bytes())).status
    }
}

fn registered(coop: &Client, url: &str) -> (String, String) {
    let body = json!({ "url": url, "events": ["*"], "cooperative_id": COOP });
    let made = coop.post("/webhooks", body).expect(201);
    let text = |field: &str| made[field].as_str().expect("a text").to_owned();
    (text("webhook_id"), text("secret"))
}

/// The status of the newest delivery, and that of its answer.
fn newest(coop: &Client, webhook: &str) -> (String, Value) {
    let delivery = coop.deliveries(webhook).remove(0);
    (delivery["status"].as_str().expect("a status").to_owned(), delivery["response_status"].clone())
}

fn delivered() -> (String, Value) {
    ("DELIVERED".to_owned(), json!(200))
}

/// The promises at the head of the chapter.
fn keeps_its_promises(language: &str) {
    let (world, recipe) = (World::new(), Recipe::of(language));
    let (coop, customer) = (world.coop(), world.customer());
    let (webhook, secret) = registered(&coop, &recipe.url());
    let mut running = recipe.start(&recipe.text, &secret);
    world.clock.set(SystemClock.now());

    // Both platforms' events verify, over the bytes as they came.
    let published = coop.publish("batch.exported", json!({ "grade": "é", "weight_kg": 67.50 }));
    world.settle();
    assert_eq!(newest(&coop, &webhook), delivered());
    let first = running.line_with("batch.exported");
    let id = published["event_id"].as_str().expect("an id");
    assert!(first.starts_with(&format!("{id} {{")) && first.contains("\"grade\":\"é\""), "{first}");
    customer.post("/v1/webhooks", json!({ "callback_url": recipe.url(), "secret": secret })).expect(201);
    let task = json!({ "event": "task.settled", "task_id": "t", "consensus_label": "é", "confidence": 1.0,
                       "bsv_txid": "x", "settled_at": "2026-04-08T21:05:00Z" });
    customer.post("/v1/events", task).expect(202);
    assert!(running.line_with("task.settled").contains("\"confidence\":1.0"));

    // A duplicate is answered 200 and not handled again.
    let delivery = coop.deliveries(&webhook)[0]["delivery_id"].as_str().expect("an id").to_owned();
    coop.post(&format!("/webhooks/{webhook}/replay/{delivery}"), json!({})).expect(202);
    world.settle();
    assert_eq!(newest(&coop, &webhook), delivered());

    // A request that is signed with another secret or at another time is refused, as the server sees too.
    for (secret, seconds) in [("another", 0), (&*secret, -310), (&*secret, 310)] {
        assert_eq!(recipe.post(secret, seconds, "refused"), 401, "{seconds} s from now");
    }
    let now = SystemClock.now();
    let other_body = SigningSecret::from_stored(secret.clone()).sign_standard("evt_1", now, b"another body");
    let seconds = now.unix_seconds().to_string();
    let headers = [("webhook-timestamp", &*seconds), ("webhook-signature", &*other_body)];
    assert_eq!(recipe.send(&headers, "refused"), 401, "another body");
    assert_eq!(recipe.send(&[("webhook-timestamp", &*seconds), ("webhook-signature", "")], "refused"), 401);
    let (stranger, _) = registered(&coop, &recipe.url());
    let test = coop.post(&format!("/webhooks/{stranger}/test"), json!({})).expect(200);
    assert_eq!((&test["delivered"], &test["response_status"]), (&json!(false), &json!(401)), "{test}");
    assert_eq!(recipe.post(&secret, -200, "the last"), 200);

    running.line_with("the last");
    let handled = running.seen.iter().filter(|line| line.contains("evt_")).count();
    assert_eq!(handled, 3, "each event once, and nothing that was refused: {:?}", running.seen);
    drop(running);

    // A secret that is a text is taken as bytes, also one that only begins as the base64 of a key does: nobody may sign
    // with the empty key.
    for secret in ["s3cret é", "whsec_...", "whsec_my_secret_2026", "whsec_your-webhook-secret", "whsec_a b c d"] {
        let running = recipe.start(&recipe.text, secret);
        assert_eq!(recipe.post(secret, 0, "{}"), 200, "{secret}");
        assert_eq!(recipe.post("another", 0, "{}"), 401, "{secret}");
        assert_eq!(recipe.post("whsec_", 0, "{}"), 401, "{secret}: the empty key");
        drop(running);
    }
}

#[test]
fn the_receiver_in_python_keeps_what_the_guide_promises() {
    keeps_its_promises("Python 3");
}

#[test]
fn the_receiver_in_node_keeps_what_the_guide_promises() {
    keeps_its_promises("Node.js");
}

#[test]
fn the_receiver_in_go_keeps_what_the_guide_promises() {
    keeps_its_promises("Go");
}

#[test]
fn the_receiver_in_php_keeps_what_the_guide_promises() {
    keeps_its_promises("PHP 8");
}

#[test]
fn the_receiver_in_java_keeps_what_the_guide_promises() {
    keeps_its_promises("Java 17");
}

#[test]
fn the_receiver_in_c_sharp_keeps_what_the_guide_promises() {
    keeps_its_promises("C#");
}

#[test]
fn a_receiver_with_a_table_knows_a_duplicate_after_a_restart_and_gets_again_what_it_could_not_handle() {
    for (language, work, fails) in [
        ("Python 3", "print(id, body.decode(), flush=True)", "raise RuntimeError"),
        ("PHP 8", "file_put_contents('php://stdout', \"$id $body\\n\")", "throw new Exception('no')"),
    ] {
        let (world, recipe) = (World::new(), Recipe::of(language));
        let coop = world.coop();
        let (webhook, secret) = registered(&coop, &recipe.url());
        world.clock.set(SystemClock.now());
        let failing = recipe.start(&recipe.text.replace(work, fails), &secret);
        coop.publish("batch.exported", json!({}));
        world.settle();
        assert_eq!(newest(&coop, &webhook).0, "PENDING", "{language}");
        drop(failing);

        let mut running = recipe.start(&recipe.text, &secret);
        world.advance("30s");
        assert_eq!(newest(&coop, &webhook), delivered(), "{language}");
        running.line_with("batch.exported");
        drop(running);

        let mut running = recipe.start(&recipe.text, &secret);
        let delivery = coop.deliveries(&webhook)[0]["delivery_id"].as_str().expect("an id").to_owned();
        coop.post(&format!("/webhooks/{webhook}/replay/{delivery}"), json!({})).expect(202);
        world.settle();
        assert_eq!(newest(&coop, &webhook), delivered(), "{language}");
        coop.publish("dds.filed", json!({}));
        running.line_with("dds.filed");
        assert!(running.seen.iter().all(|line| !line.contains("batch.exported")), "{language}: {:?}", running.seen);
    }
}

/// A program in the folder, with the packages of tests/package.json.
fn with_packages(recipe: &Recipe) {
    std::os::unix::fs::symlink(modules(), recipe.path("node_modules")).expect("linked");
}

#[test]
fn express_and_fastify_refuse_events_unless_they_take_the_raw_bytes_as_the_guide_says() {
    let (large, proto) = (format!(r#"{{"a":"{}"}}"#, "x".repeat(200_000)), r#"{"a":{"__proto__":{"b":1}}}"#);
    let usual = [
        "import express from 'express';\nconst app = express();\napp.post('/', express.json(), (req, res) => res.send(''));\napp.listen(9000, '127.0.0.1', () => console.log('listening'));",
        "import fastify from 'fastify';\nconst app = fastify();\napp.post('/', (req, reply) => reply.send(''));\nawait app.listen({ port: 9000, host: '127.0.0.1' });\nconsole.log('listening');",
    ];
    let snippets = &blocks(&chapter("receive"), "js")[1..];
    for (place, (name, refused)) in [("express", (&*large, 413)), ("fastify", (proto, 400))].into_iter().enumerate() {
        let recipe = Recipe::of("Node.js");
        with_packages(&recipe);
        let text = usual[place].replace(PORT, &recipe.port);
        let running = recipe.start(&text, "s3cret");
        assert_eq!(recipe.post("s3cret", 0, refused.0), refused.1, "{name} by itself");
        drop(running);

        assert!(snippets[place].contains(&format!("from '{name}'")), "{}", snippets[place]);
        let (receiver, _) = recipe.text.split_once("const server = createServer(").expect("the server comes last");
        let text = format!("{receiver}{}", snippets[place].replace(PORT, &recipe.port));
        let mut running = recipe.start(&text, "s3cret");
        assert_eq!(recipe.post("another", 0, proto), 401, "{name}");
        assert_eq!(recipe.post("s3cret", -400, proto), 401, "{name}");
        assert_eq!(recipe.post("s3cret", 0, refused.0), 200, "{name}");
        assert!(running.line_with("evt_1").ends_with(refused.0), "{name}: the bytes as they came");
    }
}

#[test]
fn the_statements_of_the_guide_find_a_duplicate_and_keep_the_newest() {
    let db = Connection::open_in_memory().expect("a database");
    let statements = blocks(&chapter("receive"), "sql");
    let (table, once) = statements[0].split_once("\n\n").expect("a table, and what comes with each delivery");
    db.execute_batch(table).expect("it is SQL");
    let kept: [u32; 2] = [once, once].map(|once| {
        db.execute_batch(once).expect("it is SQL");
        db.query_row("SELECT count(*) FROM received", [], |row| row.get(0)).expect("a number")
    });
    assert_eq!(kept, [1, 1], "the second is a duplicate");

    db.execute_batch("CREATE TABLE batch (batch_id TEXT, status TEXT, changed_at TEXT)").expect("a table");
    for (changed_at, status) in [("2026-04-20T11:54:59Z", "exported"), ("2026-04-20T11:55:01Z", "settled")] {
        db.execute("DELETE FROM batch", []).expect("empty");
        let row = ["BATCH-2026-004821", "settled", changed_at];
        db.execute("INSERT INTO batch VALUES (?1, ?2, ?3)", row).expect("a row");
        db.execute_batch(&statements[1]).expect("it is SQL");
        let kept: String = db.query_row("SELECT status FROM batch", [], |row| row.get(0)).expect("a row");
        assert_eq!(kept, status, "its time was {changed_at}");
    }
}
