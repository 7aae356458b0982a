//! What a request does not have to say is refused where silence would hurt: unknown members of a body, and unknown
//! parameters of a query. Each is named. Publishing takes members that it does not know.

use serde_json::{Value, json};

use crate::support::{
    client::{Answer, Client},
    operations::{JSON, Needs, Operation, Resources, operations, owner},
    receiver::Receiver,
    world::{COOP, CUSTOMER, World},
};

/// Operations of monitors, which may send parameters of their own.
const OF_MONITORS: [&str; 3] = ["live", "ready", "metrics"];
const PUBLISHING: [&str; 4] = ["publishEvent", "publishBatch", "asgPublishEvent", "asgPublishBatch"];

/// A client that may ask for this operation.
fn client(world: &World, operation: &Operation) -> Client {
    match operation.needs() {
        Needs::Nothing => world.stranger(),
        Needs::Operator => world.operator(),
        _ => owner(world, if operation.is_asg() { CUSTOMER } else { COOP }),
    }
}

/// The sentence of a refusal with this status, in the shape of either vendor.
#[track_caller]
fn refusal(answer: &Answer, status: u16) -> String {
    let body = answer.expect(status);
    let sentence = body["error"]["message"].as_str().or(body["error"].as_str());
    sentence.expect("a sentence").to_owned()
}

#[test]
fn every_body_with_an_unknown_member_is_refused_except_a_publish_and_the_member_is_named() {
    let world = World::with(|wish| wish.config.limits.webhooks_per_account = 1000);
    let receiver = Receiver::new();
    let mut checked = 0;
    for (place, operation) in operations().iter().enumerate().filter(|(_, operation)| operation.takes_body) {
        let (resources, client) = (Resources::make(&world, &receiver, place), client(&world, operation));
        let before = resources.seen(&world);
        let (path, body) = operation.request(&resources);
        let mut body: Value = serde_json::from_str(&body.expect("a body")).expect("JSON");
        body["colour"] = json!({ "red": true });
        let answer = client.send(&operation.method, &path, &JSON, Some(body.to_string().as_bytes()));
        if PUBLISHING.contains(&operation.id.as_str()) {
            assert_eq!(answer.status, 202, "{}: {}", operation.id, answer.text);
        } else {
            let said = refusal(&answer, 400);
            assert!(said.contains("colour") && said.contains("It takes "), "{}: {said}", operation.id);
            assert_eq!(resources.seen(&world), before, "{}: a refusal changes nothing", operation.id);
        }
        checked += 1;
    }
    assert!(checked >= 15, "operations are missing: {checked}");
}

#[test]
fn every_query_with_an_unknown_parameter_is_refused_and_every_documented_one_is_taken() {
    let world = World::with(|wish| wish.config.limits.webhooks_per_account = 1000);
    let receiver = Receiver::new();
    let resources = Resources::make(&world, &receiver, 0);
    let before = resources.seen(&world);
    let contract: Value = serde_json::from_str(&ngoma::api::contract().expect("a contract")).expect("JSON");
    let (mut checked, mut taken) = (0, 0);
    for operation in operations() {
        let (client, (path, body)) = (client(&world, &operation), operation.request(&resources));
        let ask = |query: &str| {
            let headers = if body.is_some() { &JSON[..] } else { &[] };
            let path = format!("{path}?{query}");
            client.send(&operation.method, &path, headers, body.as_deref().map(str::as_bytes))
        };
        if OF_MONITORS.contains(&operation.id.as_str()) {
            assert_eq!(ask("colour=red").status, 200, "{}: a monitor gets its answer", operation.id);
            continue;
        }
        let said = refusal(&ask("colour=red"), 400);
        assert!(said.contains("colour") && said.contains("takes "), "{}: {said}", operation.id);
        assert_eq!(client.stranger_asks(&operation, &path), 401, "{}: first comes the token", operation.id);
        checked += 1;
        let documented = contract["paths"][&operation.path][operation.method.to_lowercase()]["parameters"].as_array();
        for parameter in documented.into_iter().flatten().filter(|parameter| parameter["in"] == "query") {
            let name = parameter["name"].as_str().expect("a name");
            let twice = ask(&format!("{name}=x&{name}=x"));
            assert!(twice.status == 400 && twice.text.contains("twice"), "{} {name}: {}", operation.id, twice.text);
            let answer = ask(&format!("{name}=x"));
            assert!(!answer.text.contains("unknown parameter"), "{} {name}: {}", operation.id, answer.text);
            taken += 1;
        }
    }
    assert_eq!(resources.seen(&world), before, "a refusal changes nothing");
    assert!(checked >= 50 && taken >= 40, "operations are missing: {checked}, {taken}");
}

impl Client {
    /// The status for the same request, with an unknown parameter and without a token.
    fn stranger_asks(&self, operation: &Operation, path: &str) -> u16 {
        self.clone().without_token().send(&operation.method, &format!("{path}?colour=red"), &[], None).status
    }
}

#[test]
fn a_state_where_a_status_was_meant_is_named_and_resumes_nothing() {
    let (world, receiver) = (World::new(), Receiver::new());
    let coop = world.coop();
    let webhook = coop.webhook(&receiver.url(), &["*"], "s3cret");
    let path = format!("/webhooks/{webhook}");
    coop.patch(&path, json!({ "status": "SUSPENDED" })).expect(200);
    let said = refusal(&coop.patch(&path, json!({ "state": "ACTIVE" })), 400);
    assert!(said.contains("unknown here: state.") && said.contains("status"), "{said}");
    assert_eq!(coop.status(&webhook), "SUSPENDED");
    let many = json!({ "a": 1, "b": 2, "c": 3, "d": 4, "e": 5, "f": 6, "status": "ACTIVE" });
    let said = refusal(&coop.patch(&path, many), 400);
    assert!(said.contains("a, b, c, d, e and others"), "{said}");
    assert_eq!(coop.status(&webhook), "SUSPENDED");
    let said = refusal(&coop.post(&format!("{path}/test"), json!({ "kind": "dds.filed" })), 400);
    assert!(said.contains("unknown here: kind.") && said.contains("event"), "{said}");
    assert_eq!(receiver.posts().len(), 0, "nothing was sent");
}

#[test]
fn null_removes_a_setting_and_is_refused_where_nothing_can_be_removed() {
    let (world, receiver) = (World::new(), Receiver::new());
    let (coop, customer) = (world.coop(), world.customer());
    let own = format!("/webhooks/{}", coop.webhook(&receiver.url(), &["*"], "s3cret"));
    let made = customer.post("/v1/webhooks", json!({ "callback_url": receiver.url() })).expect(201);
    let asg = format!("/v1/webhooks/{}", made["webhook_id"].as_str().expect("an id"));
    for (client, path, resume) in [(&coop, &own, "status"), (&customer, &asg, "active")] {
        let settings = json!({ "name": "n", "description": "d", "metadata": { "a": "1" }, "headers": { "X-K": "v1234" },
                               "rate_limit": 2 });
        client.patch(path, settings.clone()).expect(200);
        for name in settings.as_object().expect("an object").keys() {
            assert!(client.get(path).expect(200).get(name).is_some(), "{name}");
            assert_eq!(client.patch(path, json!({ name: null })).expect(200).get(name), None, "{name}");
        }
        let before = client.get(path).text;
        for name in ["url", "callback_url", "events", "secret", "status", "active", "resend_failed", "ordered"] {
            let said = refusal(&client.patch(path, json!({ name: null })), 400);
            assert!(said.contains(name), "{said}");
        }
        for alone in [json!({ "resend_failed": true }), json!({ "resend_failed": false, "name": "x" })] {
            let said = refusal(&client.patch(path, alone), 400);
            assert!(said.contains("resend_failed goes with") && said.contains(resume), "{said}");
        }
        assert_eq!(client.get(path).text, before, "a refusal changes nothing");
    }
}

#[test]
fn a_filter_by_an_event_that_no_vendor_has_is_refused_and_not_empty() {
    let (world, receiver) = (World::new(), Receiver::new());
    let (coop, customer, of_operator) = (world.coop(), world.customer(), world.operator());
    let own = format!("/webhooks/{}", coop.webhook(&receiver.url(), &["*"], "s3cret"));
    let made = customer.post("/v1/webhooks", json!({ "callback_url": receiver.url() })).expect(201);
    let asg = format!("/v1/webhooks/{}", made["webhook_id"].as_str().expect("an id"));
    let since = "2026-04-20T00:00:00Z";
    for (client, lists, recover) in [
        (&coop, vec![format!("{own}/deliveries"), "/events".to_owned()], format!("{own}/recover")),
        (&customer, vec![format!("{asg}/deliveries")], format!("{asg}/recover")),
        (&of_operator, vec!["/operator/deliveries".to_owned()], "/operator/recoveries".to_owned()),
    ] {
        for list in lists {
            let answer = client.get(&format!("{list}?event=nope"));
            assert!(answer.status == 422 && answer.text.contains("'nope' is unknown"), "{list}: {}", answer.text);
        }
        let answer = client.post(&recover, json!({ "since": since, "event": "nope", "dry_run": true }));
        assert!(answer.status == 422 && answer.text.contains("'nope' is unknown"), "{recover}: {}", answer.text);
    }
    assert_eq!(coop.get(&format!("{own}/deliveries?event=task.settled")).status, 422, "of the other vendor");
    of_operator.get("/operator/deliveries?event=task.settled").expect(200);
}

#[test]
fn the_registrations_of_both_pages_are_taken_with_every_member_that_they_show() {
    let (world, receiver) = (World::new(), Receiver::new());
    let events = ["batch.delivered", "batch.exported", "batch.settled", "dds.generated"];
    let body = json!({ "url": receiver.url(), "events": events, "cooperative_id": COOP, "secret": "your_webhook_signing_secret" });
    world.coop().post("/webhooks", body).expect(201);
    let body = json!({ "callback_url": receiver.url(), "secret": "whsec_MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0", "events": ["task.settled"] });
    world.customer().post("/v1/webhooks", body).expect(201);
}
