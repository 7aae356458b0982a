//! What once went wrong, or could: each a story of its own.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    time::Duration,
};

use serde_json::{Value, json};

use crate::support::{
    program::{Running, finish, ngoma, word_after},
    receiver::{Receiver, Reply},
    world::{COOP, Client, Holder, Wish, World, together},
};

#[test]
fn an_array_is_no_object() {
    let world = World::new();
    let receiver = Receiver::new();
    let coop = world.coop();
    let webhook = coop.webhook(&receiver.url(), &["*"], "s");
    let patch = coop.patch(&format!("/webhooks/{webhook}"), json!([null, null, null, "SUSPENDED"]));
    assert_eq!(patch.code(400), "INVALID_REQUEST");
    assert_eq!(coop.post("/events", json!(["batch.exported", null, {}, null])).code(400), "INVALID_REQUEST");
    assert_eq!(coop.status(&webhook), "ACTIVE");
}

#[test]
fn a_test_that_is_replayed_suspends_nobody() {
    let world = World::new();
    let receiver = Receiver::new();
    let coop = world.coop();
    let webhook = coop.webhook(&receiver.url(), &["*"], "s");
    let test = coop.send("POST", &format!("/webhooks/{webhook}/test"), &[], None).expect(200);
    receiver.always(Reply::status(500));
    let path = format!("/webhooks/{webhook}/replay/{}", test["delivery_id"].as_str().expect("an id"));
    coop.send("POST", &path, &[], None).expect(202);
    world.settle();
    for wait in ["30s", "5m", "30m", "2h"] {
        world.advance(wait);
    }
    assert_eq!(coop.deliveries(&webhook)[0]["status"], "FAILED");
    assert_eq!(coop.status(&webhook), "ACTIVE");
}

#[test]
fn sending_a_new_secret_twice_keeps_the_former_one_signing() {
    let world = World::new();
    let receiver = Receiver::new();
    let coop = world.coop();
    let webhook = coop.webhook(&receiver.url(), &["*"], "old");
    for _ in 0..2 {
        coop.patch(&format!("/webhooks/{webhook}"), json!({ "secret": "new" })).expect(200);
    }
    coop.publish("dds.filed", json!({}));
    world.settle();
    let old = ngoma::domain::signature::SigningSecret::parse("old".to_owned()).expect("a secret");
    let post = receiver.only();
    let header = post.header("webhook-signature");
    assert!(old.verifies_standard(post.header("webhook-id"), world.now(), &post.body, header), "{header}");
}

#[test]
fn names_that_hang_keep_no_healthy_name_waiting() {
    let (release, hold) = mpsc::channel::<()>();
    let hold = std::sync::Mutex::new(hold);
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let world = World::with(|wish: &mut Wish| {
        wish.config.delivery.timeout = Duration::from_secs(5);
        wish.look_up = Arc::new(move |name, port| {
            if name == "healthy.example" {
                return Ok(vec![([127, 0, 0, 1], port).into()]);
            }
            count.fetch_add(1, Ordering::SeqCst);
            // Until the story ends: the sender is dropped then.
            let _ = crate::support::receiver::lock(&hold).recv();
            Err(std::io::ErrorKind::NotFound.into())
        });
    });
    let coop = world.coop();
    let receiver = Receiver::new();
    coop.webhook(&format!("http://healthy.example:{}/", receiver.port()), &["dds.filed"], "s");
    let register = |number: usize| -> Box<dyn FnOnce() + Send> {
        let url = format!("http://hanging-{number}.example/");
        let body = json!({ "url": url, "events": ["loan.repaid"], "cooperative_id": COOP });
        let coop = coop.clone();
        Box::new(move || drop(coop.post("/webhooks", body).expect(201)))
    };
    // More than there are threads.
    together((0..40).map(register).collect());
    for _ in 0..3 {
        // Addresses are remembered for a second.
        world.move_clock(Duration::from_secs(2));
        coop.publish("loan.repaid", json!({}));
        coop.publish("dds.filed", json!({}));
    }
    receiver.wait_for(3);
    assert_eq!(asked.load(Ordering::SeqCst), 8, "they have half of the threads, one for each name");
    drop(release);
    world.settle();
}

#[test]
fn a_task_that_several_customers_have_is_shown_to_the_platform_by_name() {
    let world = World::new();
    world.account("asg", "CUST-8", None);
    let platform = world.client(&world.token_for(Holder::Platform("asg".to_owned()), "events"));
    let task = |account: &str, label: &str| {
        json!({ "event": "task.settled", "account": account, "task_id": "t", "consensus_label": label, "confidence": 1,
                "bsv_txid": "x", "settled_at": "2026-04-08T21:05:00Z" })
    };
    platform.post("/v1/events", task("CUST-7", "cat")).expect(202);
    assert_eq!(platform.get("/v1/tasks/t").expect(200)["consensus_label"], "cat");
    platform.post("/v1/events", task("CUST-8", "dog")).expect(202);
    assert!(platform.get("/v1/tasks/t").sentence(400).contains("?account="));
    assert_eq!(platform.get("/v1/tasks/t?account=CUST-8").expect(200)["consensus_label"], "dog");
    assert_eq!(world.customer().get("/v1/tasks/t").expect(200)["consensus_label"], "cat");
    world.customer().get("/v1/tasks/t?account=CUST-8").sentence(403);
}

#[test]
fn a_path_that_is_no_text_is_not_found_and_a_wrong_parameter_is_named() {
    let world = World::new();
    let coop = world.coop();
    assert_eq!(coop.get("/webhooks/%FF").code(404), "NOT_FOUND");
    let webhook = coop.webhook("http://127.0.0.1:1/", &["*"], "s");
    let answer = coop.get(&format!("/webhooks/{webhook}/deliveries?status=foo"));
    assert_eq!(answer.code(400), "INVALID_REQUEST");
    assert!(answer.text.contains("status is not one of the values"), "{}", answer.text);
}

#[test]
fn a_log_level_that_is_none_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let (code, _, sentence) = finish(ngoma(folder.path(), &["check"]).env("NGOMA_LOG__LEVEL", "wran"));
    assert!(code == 1 && sentence.contains("log.level = wran") && sentence.contains("debug"), "{sentence}");
}

#[test]
fn a_limit_that_is_broken_is_named_with_its_value_and_source() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_, _, sentence) = finish(ngoma(folder.path(), &["check"]).env("WEBHOOK_RETRY_MAX", "0"));
    assert!(sentence.contains("asg.max_attempts = 0 in the WEBHOOK_RETRY_MAX"), "{sentence}");
    std::fs::write(folder.path().join("config.toml"), "[delivery]\ntimeout = \"70s\"").expect("a config");
    let (_, _, sentence) = finish(&mut ngoma(folder.path(), &["check"]));
    assert!(sentence.contains("delivery.timeout = 70s in config.toml"), "{sentence}");
}

#[test]
fn a_client_waits_at_least_as_long_as_a_test_delivery_takes() {
    let folder = tempfile::tempdir().expect("a folder");
    let check = |client: &str, attempt: &str| {
        let mut command = ngoma(folder.path(), &["check"]);
        finish(command.env("NGOMA_LIMITS__CLIENT_TIMEOUT", client).env("NGOMA_DELIVERY__TIMEOUT", attempt)).2
    };
    for (client, attempt) in [("30s", "25100ms"), ("64s", "60s"), ("5s", "1s")] {
        let sentence = check(client, attempt);
        let named = ["limits.client_timeout", client, "delivery.timeout + 5s"];
        assert!(named.iter().all(|word| sentence.contains(word)), "{client} {attempt}: {sentence}");
    }
    for (client, attempt) in [("30s", "25s"), ("65s", "60s"), ("6s", "1s")] {
        assert!(!check(client, attempt).contains("client_timeout"), "{client} {attempt}");
    }
}

#[test]
fn dev_listens_on_this_machine_only() {
    let folder = tempfile::tempdir().expect("a folder");
    let (code, _, sentence) = finish(&mut ngoma(folder.path(), &["serve", "--dev", "--listen", "0.0.0.0:0"]));
    assert!(code == 1 && sentence.contains("127.0.0.1"), "{sentence}");
}

#[test]
fn looking_makes_no_files() {
    let folder = tempfile::tempdir().expect("a folder");
    for arguments in
        [&["token", "list"][..], &["account", "list"], &["token", "revoke", "tok_01HXYZ3KJ9Q8R7S6T5V4W3X2Y1"]]
    {
        let (code, _, sentence) = finish(&mut ngoma(folder.path(), arguments));
        assert!(code == 1 && !sentence.is_empty(), "{arguments:?}: {sentence}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).expect("the folder").count(), 0);
}

#[test]
fn a_stop_answers_the_requests_that_are_under_way() {
    let folder = tempfile::tempdir().expect("a folder");
    let receiver = Receiver::new();
    receiver.always(Reply::Gate(200));
    let mut server = Running::start(&mut ngoma(folder.path(), &["serve", "--dev", "--listen", "127.0.0.1:0"]));
    let address = word_after(&server.line_with("address"), "address").to_owned();
    server.line_with("Demo accounts");
    let coop = Client::at(&address, word_after(&server.line_with("asilichain"), "token"));
    let body = json!({ "url": receiver.url(), "events": ["*"], "cooperative_id": "DEMO-ASILICHAIN" });
    let webhook = coop.post("/webhooks", body).expect(201)["webhook_id"].as_str().expect("an id").to_owned();
    let asking = coop.clone();
    let test = std::thread::spawn(move || asking.send("POST", &format!("/webhooks/{webhook}/test"), &[], None));
    receiver.wait_for(1);
    server.signal("TERM");
    let port = address.trim_start_matches("http://").to_owned();
    while std::net::TcpStream::connect(&port).is_ok() {}
    receiver.open_gate();
    let answer: Value = test.join().expect("no panic").expect(200);
    assert_eq!(answer["delivered"], true);
    assert!(server.wait().success());
}
