//! Values that a receiver could not read are refused at the door, with a sentence that names the value and its place:
//! times, numbers, and texts that are no JSON.

use std::process::Command;

use ngoma::domain::timestamp::Timestamp;
use serde_json::json;

use crate::support::{
    browser,
    client::Client,
    other_programs::{ask, python_with},
    program::{finish, ngoma},
    receiver::Receiver,
    world::{COOP, World},
};

/// RFC 3339 to the letter, and of what Python, JavaScript, Go and Java read alike.
const TIMES: [&str; 17] = [
    "2026-04-20T11:55:00Z",
    "2026-04-20T11:55:00.1Z",
    "2026-04-20T11:55:00.250Z",
    "2026-04-20T11:55:00.123456Z",
    "2026-04-20T11:55:00.999999999Z",
    "2026-04-20T11:55:00.000000001+03:00",
    "2026-04-20T11:55:00+05:45",
    "2026-04-20T11:55:00-11:00",
    "2026-04-20T11:55:00+00:00",
    "2026-04-20T11:55:00-00:00",
    "2026-04-20T11:55:00+18:00",
    "2026-04-20T11:55:00-18:00",
    "2024-02-29T23:59:59Z",
    "2000-02-29T00:00:00Z",
    "1969-12-31T23:59:59Z",
    "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59Z",
];

/// Texts that are no RFC 3339, each with one fault.
const NO_TIMES: [&str; 44] = [
    "",
    "today",
    "1776686100",
    "2026-04-20",
    "2026-04-20T11:55:00",
    "2026-04-20T11:55Z",
    "2026-04-20T11Z",
    "2026-04-20X11:55:00Z",
    "2026-04-20 11:55:00Z",
    "2026-04-20_11:55:00Z",
    "2026-04-20t11:55:00Z",
    "2026-04-20T11:55:00z",
    "2026-04-20T11:55:00 Z",
    " 2026-04-20T11:55:00Z",
    "2026-04-20T11:55:00Z ",
    "2026-04-20T11:55:00Z\n",
    "20260420T115500Z",
    "2026-110T11:55:00Z",
    "2026-W17-1T11:55:00Z",
    "26-04-20T11:55:00Z",
    "+002026-04-20T11:55:00Z",
    "-2026-04-20T11:55:00Z",
    "2026-4-20T11:55:00Z",
    "2026/04/20T11:55:00Z",
    "2026-06-30T23:59:60Z",
    "2026-06-30T23:59:60+00:00",
    "2026-04-20T24:00:00Z",
    "2026-04-20T11:60:00Z",
    "2026-02-29T11:55:00Z",
    "1900-02-29T11:55:00Z",
    "2026-04-31T11:55:00Z",
    "2026-13-01T11:55:00Z",
    "2026-04-00T11:55:00Z",
    "2026-04-20T11:55:00.Z",
    "2026-04-20T11:55:00,5Z",
    "2026-04-20T11:55:00.0000000001Z",
    "2026-04-20T11:55:00+0300",
    "2026-04-20T11:55:00+03",
    "2026-04-20T11:55:00+03:60",
    "2026-04-20T11:55:00+24:00",
    // Java knows no offset beyond 18 hours, Python no year 0 or 10000, also in UTC.
    "2026-04-20T11:55:00+18:01",
    "0000-01-01T00:00:00Z",
    "9999-12-31T23:59:59-01:00",
    "２０２６-04-20T11:55:00Z",
];

fn settled(id: &str, at: &str) -> serde_json::Value {
    json!({ "event": "task.settled", "task_id": id, "consensus_label": "cat", "confidence": 1.0, "bsv_txid": "x",
            "settled_at": at })
}

#[test]
fn a_time_that_is_not_rfc_3339_to_the_letter_is_refused_wherever_one_is_taken() {
    let world = World::new();
    let (coop, customer) = (world.coop(), world.customer());
    let operator = world.operator();
    let browser = browser::operator(&world);
    for time in NO_TIMES {
        let names = |text: &str, field: &str| {
            assert!(
                text.contains(field) && text.contains("RFC 3339") && text.contains("2026-04-20T11:55:00Z"),
                "{text}"
            );
        };
        let event = coop.post("/events", json!({ "event": "dds.filed", "data": {}, "created_at": time }));
        assert_eq!(event.code(400), "INVALID_REQUEST", "{time}");
        names(&event.text, "created_at");
        let batch = json!({ "events": [{ "event": "dds.filed", "data": {}, "created_at": time }] });
        names(&coop.post("/events/batch", batch).text, "events[0].created_at");
        names(&customer.post("/v1/events", settled("t", time)).sentence(400), "settled_at");
        names(&operator.post("/operator/recoveries", json!({ "since": time, "dry_run": true })).text, "since");
        let written: String = url::form_urlencoded::byte_serialize(time.as_bytes()).collect();
        let found = operator.get(&format!("/operator/deliveries?created_to={written}"));
        assert_eq!(found.code(400), "INVALID_REQUEST", "{time}");
        names(&found.text, "created_to");
        // What a browser's field gives is taken there: a day, or a time without an offset; and space around it goes.
        if time.trim().len() != time.len() || ["", "2026-04-20", "2026-04-20T11:55:00"].contains(&time) {
            continue;
        }
        let page = browser.get(&format!("/ui/deliveries?from={written}"));
        assert_eq!(page.status, 400, "{time}");
        names(&page.text, "from");
    }
    customer.get("/v1/tasks/t").sentence(404);
}

#[test]
fn a_time_on_the_command_line_keeps_to_the_same_rule() {
    let world = World::new();
    for time in ["2026-04-20 11:55:00Z", "2026-04-20t11:55:00z", "2026-06-30T23:59:60Z", "2026-04-20T11:55:00+24:00"] {
        let (code, _, err) = finish(&mut ngoma(world.folder(), &["deliveries", "--since", time]));
        assert!(code == 2 && err.contains("--since") && err.contains("2026-04-20T11:55:00Z"), "{time}: {err}");
    }
    for time in ["2026-04-20T11:55:00Z", "2026-04-20T14:55:00.250+03:00", "2h"] {
        let (code, _, err) = finish(&mut ngoma(world.folder(), &["deliveries", "--since", time]));
        assert_eq!(code, 0, "{time}: {err}");
    }
}

#[test]
fn a_time_that_is_taken_is_sent_as_it_came_and_python_and_javascript_read_the_same_moment() {
    let world = World::new();
    let (coop, customer) = (world.coop(), world.customer());
    let (events, tasks) = (Receiver::new(), Receiver::new());
    coop.webhook(&events.url(), &["*"], "s");
    customer.post("/v1/webhooks", json!({ "callback_url": tasks.url() })).expect(201);
    for (number, time) in TIMES.iter().enumerate() {
        coop.post("/events", json!({ "event": "dds.filed", "data": {}, "created_at": time })).expect(202);
        customer.post("/v1/events", settled(&format!("t{number}"), time)).expect(202);
    }
    let sorted = |mut times: Vec<String>| {
        times.sort();
        times
    };
    let stated = |receiver: &Receiver, field: &str| {
        let posts = receiver.wait_for(TIMES.len());
        sorted(posts.iter().map(|post| post.json()[field].as_str().expect("a time").to_owned()).collect())
    };
    let times = sorted(TIMES.map(str::to_owned).to_vec());
    assert_eq!(stated(&events, "created_at"), times);
    assert_eq!(stated(&tasks, "settled_at"), times);

    let seconds: String =
        times.iter().map(|time| format!("{}\n", Timestamp::parse(time).expect("a time").unix_seconds())).collect();
    let lines = times.join("\n");
    let mut python = python_with("standardwebhooks");
    python.args([
        "-c",
        "import sys\nfrom datetime import datetime, timezone\nfor line in sys.stdin:\n    at = datetime.fromisoformat(line.strip()).astimezone(timezone.utc)\n    print((at - datetime(1970, 1, 1, tzinfo=timezone.utc)) // __import__('datetime').timedelta(seconds=1))",
    ]);
    assert_eq!(String::from_utf8(ask(python, lines.clone().into_bytes())).expect("text"), seconds, "Python");
    let mut node = Command::new("node");
    node.args([
        "-e",
        "for (const line of require('fs').readFileSync(0, 'utf8').split('\\n')) console.log(Math.floor(new Date(line) / 1000))",
    ]);
    assert_eq!(String::from_utf8(ask(node, lines.into_bytes())).expect("text"), seconds, "JavaScript");
}

#[test]
fn a_task_with_a_number_that_a_receiver_cannot_hold_is_refused_and_any_other_keeps_its_literal() {
    let world = World::new();
    let customer = world.customer();
    let receiver = Receiver::new();
    customer.post("/v1/webhooks", json!({ "callback_url": receiver.url() })).expect(201);
    let with = |id: usize, confidence: &str| {
        let body = settled(&format!("t{id}"), "2026-04-08T21:05:00Z").to_string();
        body.replace("\"confidence\":1.0", &format!("\"confidence\":{confidence}"))
    };
    let long = "1".repeat(400);
    let fraction = format!("0.{long}");
    for (number, words) in [
        ("1e309", "too large"),
        ("-1e309", "too large"),
        ("1.8e308", "too large"),
        ("1e999999999999", "too large"),
        ("1e-999999999999", "exponent"),
        ("0e1000", "exponent"),
        ("9007199254740992", "2^53 - 1"),
        ("-9007199254740992", "2^53 - 1"),
        ("18446744073709551616", "2^53 - 1"),
        (&long, "64 bytes"),
        (&fraction, "64 bytes"),
    ] {
        let sentence = customer.post_text("/v1/events", &with(0, number)).sentence(422);
        assert!(sentence.starts_with("confidence ") && sentence.contains(words), "{number}: {sentence}");
        let batch = format!(r#"{{"events":[{},{}]}}"#, with(1, "1.0"), with(2, number));
        let sentence = customer.post_text("/v1/events/batch", &batch).sentence(422);
        assert!(sentence.starts_with("events[1].confidence ") && sentence.contains(words), "{number}: {sentence}");
    }
    let numbers =
        ["1.0", "-0", "-0.0", "0e0", "1e-400", "5E-324", "1.7976931348623157e+308", "9007199254740991", "0.10"];
    for (id, number) in numbers.into_iter().enumerate() {
        customer.post_text("/v1/events", &with(100 + id, number)).expect(202);
        let text = format!("\"task_id\":\"t{}\",\"consensus_label\":\"cat\",\"confidence\":{number},", 100 + id);
        let posts = receiver.wait_for(id + 1);
        assert!(posts.iter().any(|post| post.text().contains(&text)), "{number}");
    }
}

/// Bodies that cannot be read, each with the words of its refusal.
fn broken() -> Vec<(&'static [u8], &'static [&'static str])> {
    vec![
        (b"", &["the body is empty", "JSON object"]),
        (b" \r\n\t", &["the body is empty", "JSON object"]),
        (b"{", &["not JSON", "ends in the middle of an object", "line 1, column 1"]),
        (b"{\"event\":", &["not JSON", "ends in the middle of", "line 1, column 9"]),
        (b"{\"event\":\"dds", &["not JSON", "ends in the middle of a string", "line 1, column 13"]),
        (b"{\"events\":[1", &["not JSON", "ends in the middle of a list", "line 1, column 12"]),
        (b"{event:1}", &["not JSON", "key in double quotes", "line 1, column 2"]),
        (b"{'event':1}", &["not JSON", "key in double quotes", "line 1, column 2"]),
        (b"{1:1}", &["not JSON", "key in double quotes", "line 1, column 2"]),
        (b"{\n  \"event\": \"x\",\n}", &["not JSON", "comma", "line 3, column 1"]),
        (b"{\"event\":[1,]}", &["not JSON", "a value was expected", "line 1, column 13"]),
        (b"{\"event\" 1}", &["not JSON", "colon", "line 1, column 10"]),
        (b"{\"event\":\"x\" \"data\":{}}", &["not JSON", "comma", "line 1, column 14"]),
        (b"{\"event\":x}", &["not JSON", "a value was expected", "line 1, column 10"]),
        (b"{\"event\":tru}", &["not JSON", "true, false or null", "line 1, column 13"]),
        (b"{\"event\":NaN}", &["not JSON", "a value was expected", "line 1, column 10"]),
        (b"{\"event\":01}", &["not JSON", "number", "line 1, column 11"]),
        (b"{\"event\":1.}", &["not JSON", "number", "line 1, column 12"]),
        (b"{\"event\":\"\\x\"}", &["not JSON", "escape", "line 1, column 12"]),
        (b"{\"event\":\"\\u12\"}", &["not JSON", "escape", "line 1, column"]),
        (b"{\"event\":\"a\nb\"}", &["not JSON", "control character", "line 1, column 11"]),
        (b"{\"event\":\"a\0b\"}", &["not JSON", "control character", "line 1, column 1"]),
        (b"{\"event\":\"x\"} {}", &["not JSON", "follows", "line 1, column 15"]),
        (b"\0", &["not JSON", "a value was expected", "line 1, column 1"]),
        (b"nope", &["not JSON", "true, false or null", "line 1, column 2"]),
        (b"event=dds.filed", &["not JSON", "a value was expected", "line 1, column 1"]),
        (b"<event/>", &["not JSON", "a value was expected", "line 1, column 1"]),
        (b"\xef\xbb\xbf{}", &["byte order mark"]),
        (b"\xff\xfe{\0}\0", &["UTF-8", "byte 1"]),
        (b"{\0}\0", &["not JSON", "line 1, column 2"]),
        (b"{\"event\":\"\xff\"}", &["UTF-8", "byte 11"]),
        (b"{\"event\":\"\xed\xa0\x80\"}", &["UTF-8", "byte 11"]),
        (b"[]", &["array", "expected an object"]),
        (b"7", &["the body", "integer", "expected an object"]),
        (b"\"dds.filed\"", &["the body", "string", "expected an object"]),
        (b"null", &["the body", "null", "expected an object"]),
        (b"{}", &["missing field `event`"]),
        (b"{\"event\":\"x\",\"event\":\"y\"}", &["duplicate field `event`", "line 1"]),
        (b"{\"event\":7}", &["event: ", "expected a string"]),
    ]
}

#[test]
fn broken_json_of_every_kind_is_answered_with_the_fault_and_its_position() {
    let world = World::new();
    let (coop, customer) = (world.coop(), world.customer());
    let send = |client: &Client, path: &str, body: &[u8]| {
        client.send("POST", path, &[("content-type", "application/json")], Some(body))
    };
    for (body, words) in broken() {
        let shown = String::from_utf8_lossy(body);
        let event = send(&coop, "/events", body);
        assert_eq!(event.code(400), "INVALID_REQUEST", "{shown}");
        let said = [
            event.json()["error"]["message"].as_str().expect("a sentence").to_owned(),
            send(&customer, "/v1/events", body).sentence(400),
        ];
        for said in said {
            assert!(words.iter().all(|word| said.contains(word)), "{shown}: {said}");
            assert!(!said.contains('?') && !said.contains("struct"), "{shown}: {said}");
        }
    }
    // Within a batch, the event at fault is named.
    for (event, words) in [
        ("1", ["events[1]", "expected an object"]),
        (r#"["task.settled",null,"t","cat",1,"x","2026-04-08T21:05:00Z",null]"#, ["events[1]", "expected an object"]),
        (r#"{"event":7}"#, ["events[1].event", "expected a string"]),
        (r#"{"event":"task.settled","consensus_label":"\ud83e"}"#, ["events[1].consensus_label", "surrogate"]),
    ] {
        let body = format!(r#"{{"events":[{},{event}]}}"#, settled("t", "2026-04-08T21:05:00Z"));
        let said = customer.post_text("/v1/events/batch", &body).sentence(400);
        assert!(words.iter().all(|word| said.contains(word)), "{event}: {said}");
    }
    // It is JSON, and of another type than the documented one.
    let webhook = coop.webhook("http://127.0.0.1:1/", &["*"], "s");
    let said = coop.patch(&format!("/webhooks/{webhook}"), json!({ "status": 7 })).text;
    assert!(said.contains("status: ") && !said.contains("not JSON"), "{said}");
    let body = format!(r#"{{"url":"http://127.0.0.1:1/","events":["*"],"cooperative_id":"{COOP}",}}"#);
    let said = coop.post_text("/webhooks", &body).text;
    assert!(said.contains("not JSON") && said.contains("comma"), "{said}");
}

#[test]
fn events_that_no_vendor_has_are_answered_with_the_vendor_s_own() {
    let world = World::new();
    let (coop, customer) = (world.coop(), world.customer());
    let body = json!({ "callback_url": "http://127.0.0.1:1/", "events": ["task.foo"] });
    let said = customer.post("/v1/webhooks", body).sentence(422);
    assert!(["'task.foo'", "task.settled", "task.*"].iter().all(|word| said.contains(word)), "{said}");
    assert!(!said.contains("batch"), "{said}");
    let body = json!({ "url": "http://127.0.0.1:1/", "events": ["task.settled"], "cooperative_id": COOP });
    let said = coop.post("/webhooks", body).text;
    assert!(["'task.settled'", "farmer.*", "batch.exported"].iter().all(|word| said.contains(word)), "{said}");
}
