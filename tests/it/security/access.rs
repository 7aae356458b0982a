//! Access: a matrix of every operation of the contract and every kind of caller, allowed or not.

use std::collections::BTreeSet;

use ngoma::store::tokens;
use serde_json::{Value, json};

use crate::support::{
    client::{Answer, Client},
    operations::{
        EXPECTED, Foreign, JSON, NO_WEBHOOK, Needs, Operation, Resources, operations, owner, task, text, with,
    },
    receiver::Receiver,
    world::{COOP, CUSTOMER, Holder, OTHER_COOP, World},
};

const OTHER_CUSTOMER: &str = "CUST-8";

/// A client whose token was good once.
fn revoked(world: &World, account: &str) -> Client {
    let holder = Holder::Account(account.to_owned());
    let scopes = ngoma::domain::token::Scopes::parse("webhooks,events").expect("scopes");
    let made = world.write(move |tx| tokens::create(tx, &holder, &scopes, None));
    let (id, token) = made.expect("a token");
    let client = world.client(token.expose());
    assert_ne!(client.get(if account == COOP { "/webhooks" } else { "/v1/webhooks" }).status, 401, "good once");
    world.write(move |tx| tokens::revoke(tx, id)).expect("revoked");
    client
}

/// The error without its request id.
fn error_of(answer: &Answer) -> Value {
    let mut body = answer.json();
    if let Some(error) = body["error"].as_object_mut() {
        error.remove("request_id");
    }
    body
}

/// Every caller who is refused, and the status.
fn refused(world: &World, operation: &Operation) -> Vec<(&'static str, Client, u16)> {
    let (needs, _, foreign) = operation.expected();
    let (own, other, other_vendor) =
        if operation.is_asg() { (CUSTOMER, OTHER_CUSTOMER, COOP) } else { (COOP, OTHER_COOP, CUSTOMER) };
    if needs == Needs::Nothing {
        return Vec::new();
    }
    let wrong = format!("ngm_{}", "a".repeat(49));
    let mut all = vec![
        ("no token", world.stranger(), 401),
        ("a bad token", world.client(&wrong), 401),
        ("a revoked token", revoked(world, own), 401),
        ("another vendor's token", owner(world, other_vendor), 403),
        ("the platform of another vendor", platform(world, if operation.is_asg() { "asilichain" } else { "asg" }), 403),
    ];
    match needs {
        Needs::Webhooks => all.push(("a token without the scope", with(world, own, "events"), 403)),
        Needs::Events => all.push(("a token without the scope", with(world, own, "webhooks"), 403)),
        Needs::Operator => all.push(("a token without the scope", owner(world, own), 403)),
        Needs::Token | Needs::Nothing => {}
    }
    match foreign {
        Foreign::Hidden => all.push(("a foreign account", owner(world, other), 404)),
        Foreign::Forbidden => all.push(("a foreign account", owner(world, other), 403)),
        Foreign::Own => {}
    }
    all
}

fn platform(world: &World, profile: &str) -> Client {
    world.client(&world.token_for(Holder::Platform(profile.to_owned()), "webhooks,events"))
}

#[test]
fn every_operation_answers_everybody_as_it_must_and_only_its_owner_well() {
    // Each operation has webhooks of its own.
    let world = World::with(|wish| wish.config.limits.webhooks_per_account = 1000);
    world.account("asg", OTHER_CUSTOMER, None);
    let receiver = Receiver::new();
    let operations = operations();
    let mut cells = 0;
    for (place, operation) in operations.iter().enumerate() {
        let (needs, own, foreign) = operation.expected();
        let resources = Resources::make(&world, &receiver, place);
        let before = resources.seen(&world);
        for (who, client, status) in refused(&world, operation) {
            let answer = operation.ask(&client, &resources);
            assert_eq!(answer.status, status, "{} as {who}: {}", operation.id, answer.text);
            let named = if status == 404 { operation.ask(&client, &resources.absent()) } else { answer };
            let told = error_of(&operation.ask(&client, &resources));
            assert_eq!(told, error_of(&named), "{} as {who}: what is foreign is as if it were not there", operation.id);
            cells += 1;
        }
        assert_eq!(resources.seen(&world), before, "{}: a refusal changes nothing", operation.id);
        if foreign == Foreign::Own && needs != Needs::Nothing {
            let other = if operation.is_asg() { OTHER_CUSTOMER } else { OTHER_COOP };
            let answer = operation.ask(&owner(&world, other), &resources);
            assert_eq!(answer.status, 200, "{} as a foreign account: {}", operation.id, answer.text);
            for id in [&resources.webhook, &resources.asg_webhook, &resources.url] {
                assert!(!answer.text.contains(id.as_str()), "{} leaks: {}", operation.id, answer.text);
            }
            cells += 1;
        }
        let account = if operation.is_asg() { CUSTOMER } else { COOP };
        let client = match needs {
            Needs::Nothing => world.stranger(),
            Needs::Operator => world.operator(),
            Needs::Webhooks => with(&world, account, "webhooks"),
            Needs::Events | Needs::Token => with(&world, account, "events"),
        };
        let answer = operation.ask(&client, &resources);
        assert_eq!(answer.status, own, "{} as its owner: {}", operation.id, answer.text);
        world.settle();
        cells += 1;
    }
    let ids: BTreeSet<&str> = operations.iter().map(|operation| operation.id.as_str()).collect();
    for (id, ..) in EXPECTED {
        assert!(ids.contains(id), "{id} is in EXPECTED, but no operation any more");
    }
    println!("access: {} operations, {cells} cells", operations.len());
}

#[test]
fn the_platform_reaches_its_vendor_s_accounts_and_the_operator_all() {
    let world = World::new();
    let receiver = Receiver::new();
    let resources = Resources::make(&world, &receiver, 0);
    let other = owner(&world, OTHER_COOP)
        .post("/webhooks", json!({ "url": receiver.url(), "events": ["*"], "cooperative_id": OTHER_COOP }));
    let other = text(&other.expect(201)["webhook_id"]);
    for (client, sees_asg) in [(platform(&world, "asilichain"), 403), (world.operator(), 200)] {
        let listed = client.get("/webhooks").expect(200);
        let ids: Vec<String> = listed.as_array().expect("a list").iter().map(|one| text(&one["webhook_id"])).collect();
        assert_eq!(ids, [resources.webhook.clone(), resources.paused.clone(), other.clone()]);
        assert_eq!(client.get(&format!("/webhooks/{other}")).status, 200);
        assert_eq!(client.get("/v1/webhooks").status, sees_asg);
        // An id of one vendor under the other's prefix, or route, names nothing.
        let bare = resources.asg_webhook.strip_prefix("whk_").expect("a prefix");
        assert_eq!(client.get(&format!("/webhooks/wh_{bare}")).code(404), "WEBHOOK_NOT_FOUND");
        assert_eq!(client.get(&format!("/webhooks/{}", resources.asg_webhook)).code(404), "WEBHOOK_NOT_FOUND");
    }
}

#[test]
fn lists_and_cursors_show_nothing_of_another_webhook() {
    let world = World::new();
    let receiver = Receiver::new();
    let coop = owner(&world, COOP);
    let [first, second] = ["a", "b"].map(|path| coop.webhook(&format!("{}/{path}", receiver.url()), &["*"], "s"));
    let foreign = owner(&world, OTHER_COOP);
    let body = json!({ "url": receiver.url(), "events": ["*"], "cooperative_id": OTHER_COOP });
    let theirs = text(&foreign.post("/webhooks", body).expect(201)["webhook_id"]);
    for count in 0..3 {
        coop.publish("dds.filed", json!({ "count": count }));
        let body = json!({ "event": "dds.filed", "cooperative_id": OTHER_COOP, "data": { "count": count } });
        foreign.post("/events", body).expect(202);
    }
    world.settle();
    let ids = |client: &Client, webhook: &str| -> Vec<String> {
        client.deliveries(webhook).iter().map(|delivery| text(&delivery["delivery_id"])).collect()
    };
    let (own, sister, strange) = (ids(&coop, &first), ids(&coop, &second), ids(&foreign, &theirs));
    assert_eq!((own.len(), sister.len(), strange.len()), (3, 3, 3));
    let page = coop.get(&format!("/webhooks/{first}/deliveries?limit=2")).expect(200);
    let next = text(&page["next_cursor"]);
    let rest = coop.get(&format!("/webhooks/{first}/deliveries?cursor={next}")).expect(200);
    assert_eq!((rest["deliveries"].as_array().map(Vec::len), &rest["next_cursor"]), (Some(1), &Value::Null));
    let absent = format!("dlv_{NO_WEBHOOK}");
    for cursor in strange.iter().chain(&sister).chain([&absent, &"nonsense".to_owned(), &theirs, &"".to_owned()]) {
        let answer = coop.get(&format!("/webhooks/{first}/deliveries?cursor={cursor}"));
        assert_eq!(answer.code(400), "INVALID_REQUEST", "{cursor}");
    }
    for delivery in strange.iter().chain(&sister) {
        let answer = coop.get(&format!("/webhooks/{first}/deliveries/{delivery}"));
        assert_eq!(answer.code(404), "DELIVERY_NOT_FOUND", "through one's own webhook");
        let answer = coop.post(&format!("/webhooks/{first}/replay/{delivery}"), json!({}));
        assert_eq!(answer.code(404), "DELIVERY_NOT_FOUND");
    }
    assert_eq!(receiver.posts().len(), 9, "nothing more was sent");
    let recent = coop.get(&format!("/webhooks/{first}")).expect(200);
    let recent = recent["recent_deliveries"].as_array().expect("a list");
    assert_eq!(recent.iter().map(|one| text(&one["delivery_id"])).collect::<Vec<_>>(), own);
}

#[test]
fn an_idempotency_key_and_a_task_id_are_their_account_s_own() {
    let world = World::new();
    world.account("asg", OTHER_CUSTOMER, None);
    let publish = |account: &str, data: Value| {
        let body = json!({ "event": "dds.filed", "cooperative_id": account, "data": data }).to_string();
        let headers = [JSON[0], ("idempotency-key", "the-same-key")];
        owner(&world, account).send("POST", "/events", &headers, Some(body.as_bytes()))
    };
    let own = publish(COOP, json!({ "whose": "ours" })).expect(202);
    let foreign = publish(OTHER_COOP, json!({ "whose": "theirs" })).expect(202);
    assert_ne!(own["event_id"], foreign["event_id"], "the same key in another account is another key");
    assert_eq!(publish(COOP, json!({ "whose": "ours" })).expect(202), own, "and in the same one the same");
    assert_eq!(publish(COOP, json!({ "whose": "theirs" })).code(422), "IDEMPOTENCY_KEY_REUSED");
    let tasks = [CUSTOMER, OTHER_CUSTOMER].map(|account| {
        let mut body = task("the-same-task");
        body["account"] = account.into();
        body["consensus_label"] = account.into();
        let client = owner(&world, account);
        client.post("/v1/events", body).expect(202);
        client.get("/v1/tasks/the-same-task").expect(200)
    });
    assert_eq!(tasks.map(|task| text(&task["consensus_label"])), [CUSTOMER, OTHER_CUSTOMER]);
}
