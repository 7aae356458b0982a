//! Walls between accounts: a matrix of every operation of the contract and everybody who may ask for it, or may not.

use std::collections::BTreeSet;

use ngoma::store::tokens;
use serde_json::{Value, json};

use crate::support::{
    receiver::Receiver,
    world::{Answer, COOP, CUSTOMER, Client, Holder, OTHER_COOP, World},
};

const OTHER_CUSTOMER: &str = "CUST-8";
const JSON: [(&str, &str); 1] = [("content-type", "application/json")];
const NO_WEBHOOK: &str = "01ARZ3NDEKTSV4RRFFQ69G5FAV";

/// What an operation asks of its caller.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Nothing: it is open to everybody.
    Nothing,
    /// A token of the vendor, of any scope.
    Token,
    Webhooks,
    Events,
    /// The operator's: nobody else, of whatever account, gets more than a 403.
    Operator,
}

/// What a token of a foreign account of the same vendor gets.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Foreign {
    /// 404 with the words of a thing that is not there.
    Hidden,
    /// 403: the body names an account that is not the token's.
    Forbidden,
    /// An answer that shows nothing of the owner.
    Own,
}

/// Operation, what it needs, what the owner gets, what a foreign account gets. A new route needs a new line.
#[rustfmt::skip]
const EXPECTED: &[(&str, Needs, u16, Foreign)] = &[
    ("live",               Needs::Nothing,  200, Foreign::Own),
    ("ready",              Needs::Nothing,  200, Foreign::Own),
    ("metrics",            Needs::Operator, 200, Foreign::Forbidden),
    ("asgRegisterWebhook", Needs::Webhooks, 201, Foreign::Forbidden),
    ("asgListWebhooks",    Needs::Webhooks, 200, Foreign::Own),
    ("asgDeleteWebhook",   Needs::Webhooks, 200, Foreign::Hidden),
    ("asgPublishEvent",    Needs::Events,   202, Foreign::Forbidden),
    ("asgPublishBatch",    Needs::Events,   202, Foreign::Forbidden),
    ("asgGetTask",         Needs::Events,   200, Foreign::Hidden),
    ("registerWebhook",    Needs::Webhooks, 201, Foreign::Forbidden),
    ("listWebhooks",       Needs::Webhooks, 200, Foreign::Own),
    ("getWebhook",         Needs::Webhooks, 200, Foreign::Hidden),
    ("updateWebhook",      Needs::Webhooks, 200, Foreign::Hidden),
    ("deleteWebhook",      Needs::Webhooks, 204, Foreign::Hidden),
    ("replayDelivery",     Needs::Webhooks, 202, Foreign::Hidden),
    ("testWebhook",        Needs::Webhooks, 200, Foreign::Hidden),
    ("listDeliveries",     Needs::Webhooks, 200, Foreign::Hidden),
    ("getDelivery",        Needs::Webhooks, 200, Foreign::Hidden),
    ("publishEvent",       Needs::Events,   202, Foreign::Forbidden),
    ("publishBatch",       Needs::Events,   202, Foreign::Forbidden),
    ("getEvent",           Needs::Events,   200, Foreign::Hidden),
    ("listEventTypes",     Needs::Token,    200, Foreign::Own),
    ("getOverview",        Needs::Operator, 200, Foreign::Forbidden),
    ("listAccounts",       Needs::Operator, 200, Foreign::Forbidden),
    ("createAccount",      Needs::Operator, 201, Foreign::Forbidden),
    ("getAccount",         Needs::Operator, 200, Foreign::Forbidden),
    ("listTokens",         Needs::Operator, 200, Foreign::Forbidden),
    ("createToken",        Needs::Operator, 201, Foreign::Forbidden),
    ("revokeToken",        Needs::Operator, 204, Foreign::Forbidden),
    ("listAllWebhooks",    Needs::Operator, 200, Foreign::Forbidden),
    ("getAnyWebhook",      Needs::Operator, 200, Foreign::Forbidden),
    ("listAllDeliveries",  Needs::Operator, 200, Foreign::Forbidden),
    ("getAnyDelivery",     Needs::Operator, 200, Foreign::Forbidden),
    ("retryDelivery",      Needs::Operator, 202, Foreign::Forbidden),
    ("cancelDelivery",     Needs::Operator, 200, Foreign::Forbidden),
    ("startRetry",         Needs::Operator, 202, Foreign::Forbidden),
    ("listRetries",        Needs::Operator, 200, Foreign::Forbidden),
    ("getRetry",           Needs::Operator, 200, Foreign::Forbidden),
    ("cancelRetry",        Needs::Operator, 200, Foreign::Forbidden),
    ("listAlerts",         Needs::Operator, 200, Foreign::Forbidden),
    ("listAudit",          Needs::Operator, 200, Foreign::Forbidden),
];

/// An operation of the contract.
pub struct Operation {
    pub id: String,
    pub method: String,
    pub path: String,
    pub takes_body: bool,
}

pub fn operations() -> Vec<Operation> {
    let contract: Value = serde_json::from_str(&ngoma::api::contract().expect("a contract")).expect("JSON");
    let mut all = Vec::new();
    for (path, item) in contract["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("operations") {
            let id = operation["operationId"].as_str().expect("an id").to_owned();
            let takes_body = operation["requestBody"].is_object();
            all.push(Operation { id, method: method.to_uppercase(), path: path.clone(), takes_body });
        }
    }
    all
}

impl Operation {
    pub fn is_asg(&self) -> bool {
        self.path.starts_with("/v1/")
    }

    pub fn needs(&self) -> Needs {
        self.expected().0
    }

    fn expected(&self) -> (Needs, u16, Foreign) {
        let found = EXPECTED.iter().find(|(id, ..)| *id == self.id);
        let (_, needs, own, foreign) =
            found.unwrap_or_else(|| panic!("{} {} is new: say in EXPECTED who may ask for it", self.method, self.path));
        (*needs, *own, *foreign)
    }

    /// The path and the body with which the owner of these things would ask for it.
    pub fn request(&self, things: &Things) -> (String, Option<String>) {
        let webhook = if self.is_asg() { &things.asg_webhook } else { &things.webhook };
        let delivery = if self.id == "cancelDelivery" { &things.held } else { &things.delivery };
        let path = self.path.replace("{webhook_id}", webhook).replace("{delivery_id}", delivery);
        let path = path.replace("{account_id}", COOP).replace("{token_id}", &things.token);
        let path = path.replace("{retry_id}", &things.retry);
        let path = path.replace("{event_id}", &things.event).replace("{task_id}", &things.task);
        assert!(!path.contains('{'), "{path}: a parameter that Things lacks");
        let url = &things.url;
        let body = match self.id.as_str() {
            "registerWebhook" => json!({ "url": url, "events": ["*"], "cooperative_id": COOP }),
            "publishEvent" => json!({ "event": "dds.filed", "cooperative_id": COOP, "data": {} }),
            "publishBatch" => {
                let event = json!({ "event": "dds.filed", "cooperative_id": COOP, "data": {} });
                json!({ "events": [event, event] })
            }
            "updateWebhook" => json!({ "status": "SUSPENDED" }),
            "asgRegisterWebhook" => json!({ "callback_url": url, "account": CUSTOMER }),
            "createAccount" => json!({ "account_id": format!("NEW-{}", things.webhook), "profile": "asg" }),
            "startRetry" => json!({ "account_id": COOP }),
            "createToken" => json!({ "account_id": COOP, "scopes": ["events"] }),
            "asgPublishEvent" => task(&format!("{}-more", things.task)),
            "asgPublishBatch" => json!({ "events": [task(&format!("{}-batch", things.task))] }),
            _ => json!({}),
        };
        (path, (!matches!(self.method.as_str(), "GET" | "DELETE")).then(|| body.to_string()))
    }

    /// Asks for it as the owner of these things would.
    fn ask(&self, client: &Client, things: &Things) -> Answer {
        match self.request(things) {
            (path, None) => client.send(&self.method, &path, &[], None),
            (path, Some(body)) => client.send(&self.method, &path, &JSON, Some(body.as_bytes())),
        }
    }
}

fn task(id: &str) -> Value {
    json!({ "event": "task.settled", "account": CUSTOMER, "task_id": id, "consensus_label": "cat", "confidence": 1.0,
            "bsv_txid": "x", "settled_at": "2026-04-08T21:05:00Z" })
}

/// What the owners have: a webhook of each vendor, and something delivered to it.
#[derive(Clone)]
pub struct Things {
    pub url: String,
    pub webhook: String,
    pub event: String,
    pub delivery: String,
    pub paused: String,
    pub held: String,
    pub token: String,
    pub retry: String,
    asg_webhook: String,
    task: String,
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

impl Things {
    /// New ones for each operation, as one may delete or suspend them.
    pub fn make(world: &World, receiver: &Receiver, place: usize) -> Self {
        let url = format!("{}/{place}", receiver.url());
        let (coop, customer) = (owner(world, COOP), owner(world, CUSTOMER));
        let webhook = coop.webhook(&url, &["*"], "s3cret");
        let paused = coop.webhook(&url, &["loan.repaid"], "s3cret");
        coop.patch(&format!("/webhooks/{paused}"), json!({ "status": "SUSPENDED" })).expect(200);
        coop.publish("loan.repaid", json!({}));
        let operator = operator(world);
        let token = operator.post("/operator/tokens", json!({ "account_id": COOP, "scopes": ["events"] })).expect(201);
        let retry = operator.post("/operator/retries", json!({ "account_id": COOP })).expect(202);
        let accepted = coop.publish("dds.filed", json!({ "place": place }));
        let made = customer.post("/v1/webhooks", json!({ "callback_url": url, "secret": "s3cret" })).expect(201);
        let task_id = format!("task-{place}");
        customer.post("/v1/events", task(&task_id)).expect(202);
        world.settle();
        let delivery = coop.deliveries(&webhook)[0]["delivery_id"].clone();
        Self {
            url,
            paused: paused.clone(),
            held: text(&coop.deliveries(&paused)[0]["delivery_id"]),
            token: text(&token["token_id"]),
            retry: text(&retry["retry_id"]),
            webhook,
            event: text(&accepted["event_id"]),
            delivery: text(&delivery),
            asg_webhook: text(&made["webhook_id"]),
            task: task_id,
        }
    }

    /// Ids of the right form that name nothing.
    fn absent(&self) -> Self {
        Self {
            webhook: format!("wh_{NO_WEBHOOK}"),
            event: format!("evt_{NO_WEBHOOK}"),
            delivery: format!("dlv_{NO_WEBHOOK}"),
            held: format!("dlv_{NO_WEBHOOK}"),
            token: format!("tok_{NO_WEBHOOK}"),
            retry: format!("ret_{NO_WEBHOOK}"),
            asg_webhook: format!("whk_{NO_WEBHOOK}"),
            task: "task-nowhere".to_owned(),
            ..self.clone()
        }
    }

    /// All that the owners see of them.
    fn seen(&self, world: &World) -> Vec<Value> {
        let (coop, customer) = (owner(world, COOP), owner(world, CUSTOMER));
        vec![
            coop.get("/webhooks").expect(200),
            coop.get(&format!("/webhooks/{}", self.webhook)).expect(200),
            coop.get(&format!("/events/{}", self.event)).expect(200),
            customer.get("/v1/webhooks").expect(200),
            customer.get(&format!("/v1/tasks/{}", self.task)).expect(200),
        ]
    }
}

fn owner(world: &World, account: &str) -> Client {
    with(world, account, "webhooks,events")
}

fn operator(world: &World) -> Client {
    world.client(&world.token_for(Holder::Operator, "operator"))
}

fn with(world: &World, account: &str, scopes: &str) -> Client {
    world.client(&world.token_for(Holder::Account(account.to_owned()), scopes))
}

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

/// The error without what differs from request to request.
fn error_of(answer: &Answer) -> Value {
    let mut body = answer.json();
    if let Some(error) = body["error"].as_object_mut() {
        error.remove("request_id");
    }
    body
}

/// Everybody who is refused, and how.
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
    let world = World::new();
    world.account("asg", OTHER_CUSTOMER, None);
    let receiver = Receiver::new();
    let operations = operations();
    let mut cells = 0;
    for (place, operation) in operations.iter().enumerate() {
        let (needs, own, foreign) = operation.expected();
        let things = Things::make(&world, &receiver, place);
        let before = things.seen(&world);
        for (who, client, status) in refused(&world, operation) {
            let answer = operation.ask(&client, &things);
            assert_eq!(answer.status, status, "{} as {who}: {}", operation.id, answer.text);
            let named = if status == 404 { operation.ask(&client, &things.absent()) } else { answer };
            let told = error_of(&operation.ask(&client, &things));
            assert_eq!(told, error_of(&named), "{} as {who}: what is foreign is as if it were not there", operation.id);
            cells += 1;
        }
        assert_eq!(things.seen(&world), before, "{}: a refusal changes nothing", operation.id);
        if foreign == Foreign::Own && needs != Needs::Nothing {
            let other = if operation.is_asg() { OTHER_CUSTOMER } else { OTHER_COOP };
            let answer = operation.ask(&owner(&world, other), &things);
            assert_eq!(answer.status, 200, "{} as a foreign account: {}", operation.id, answer.text);
            for id in [&things.webhook, &things.asg_webhook, &things.url] {
                assert!(!answer.text.contains(id.as_str()), "{} leaks: {}", operation.id, answer.text);
            }
            cells += 1;
        }
        let account = if operation.is_asg() { CUSTOMER } else { COOP };
        let client = match needs {
            Needs::Nothing => world.stranger(),
            Needs::Operator => operator(&world),
            Needs::Webhooks => with(&world, account, "webhooks"),
            Needs::Events | Needs::Token => with(&world, account, "events"),
        };
        let answer = operation.ask(&client, &things);
        assert_eq!(answer.status, own, "{} as its owner: {}", operation.id, answer.text);
        world.settle();
        cells += 1;
    }
    let ids: BTreeSet<&str> = operations.iter().map(|operation| operation.id.as_str()).collect();
    for (id, ..) in EXPECTED {
        assert!(ids.contains(id), "{id} is in EXPECTED, but no operation any more");
    }
    println!("walls: {} operations, {cells} cells", operations.len());
}

#[test]
fn the_platform_and_the_operator_reach_what_is_theirs() {
    let world = World::new();
    let receiver = Receiver::new();
    let things = Things::make(&world, &receiver, 0);
    let other = owner(&world, OTHER_COOP)
        .post("/webhooks", json!({ "url": receiver.url(), "events": ["*"], "cooperative_id": OTHER_COOP }));
    let other = text(&other.expect(201)["webhook_id"]);
    for (client, sees_asg) in [(platform(&world, "asilichain"), 403), (operator(&world), 200)] {
        let listed = client.get("/webhooks").expect(200);
        let ids: Vec<String> = listed.as_array().expect("a list").iter().map(|one| text(&one["webhook_id"])).collect();
        assert_eq!(ids, [things.webhook.clone(), things.paused.clone(), other.clone()]);
        assert_eq!(client.get(&format!("/webhooks/{other}")).status, 200);
        assert_eq!(client.get("/v1/webhooks").status, sees_asg);
        // An id of one vendor under the other's prefix, or route, names nothing.
        let bare = things.asg_webhook.strip_prefix("whk_").expect("a prefix");
        assert_eq!(client.get(&format!("/webhooks/wh_{bare}")).code(404), "WEBHOOK_NOT_FOUND");
        assert_eq!(client.get(&format!("/webhooks/{}", things.asg_webhook)).code(404), "WEBHOOK_NOT_FOUND");
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
