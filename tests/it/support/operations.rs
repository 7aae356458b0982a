//! Every operation of the contract: the right that it needs, and a request that its owner may make.

use serde_json::{Value, json};

use crate::support::{
    client::{Answer, Client},
    receiver::Receiver,
    world::{COOP, CUSTOMER, Holder, World},
};

pub const JSON: [(&str, &str); 1] = [("content-type", "application/json")];
pub const NO_WEBHOOK: &str = "01ARZ3NDEKTSV4RRFFQ69G5FAV";

/// The right that an operation needs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Nothing: it is open to everybody.
    Nothing,
    /// A token of the vendor, of any scope.
    Token,
    Webhooks,
    Events,
    /// The operator's: every other caller gets a 403 at best.
    Operator,
}

/// The answer to a token of another account of the same vendor.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Foreign {
    /// 404, with the words for a missing resource.
    Hidden,
    /// 403: the body names an account that is not the token's.
    Forbidden,
    /// An answer that shows nothing of the owner.
    Own,
}

/// Operation, needed right, status for the owner, answer to another account. A new route needs a new line.
#[rustfmt::skip]
pub const EXPECTED: &[(&str, Needs, u16, Foreign)] = &[
    ("live",               Needs::Nothing,  200, Foreign::Own),
    ("ready",              Needs::Nothing,  200, Foreign::Own),
    ("metrics",            Needs::Operator, 200, Foreign::Forbidden),
    ("asgRegisterWebhook", Needs::Webhooks, 201, Foreign::Forbidden),
    ("asgListWebhooks",    Needs::Webhooks, 200, Foreign::Own),
    ("asgGetWebhookStats", Needs::Webhooks, 200, Foreign::Hidden),
    ("asgGetWebhook",      Needs::Webhooks, 200, Foreign::Hidden),
    ("asgUpdateWebhook",   Needs::Webhooks, 200, Foreign::Hidden),
    ("asgRotateSecret",    Needs::Webhooks, 201, Foreign::Hidden),
    ("asgTestWebhook",     Needs::Webhooks, 200, Foreign::Hidden),
    ("asgDeleteWebhook",   Needs::Webhooks, 200, Foreign::Hidden),
    ("asgReplayDelivery",  Needs::Webhooks, 202, Foreign::Hidden),
    ("asgListDeliveries",  Needs::Webhooks, 200, Foreign::Hidden),
    ("asgGetDelivery",     Needs::Webhooks, 200, Foreign::Hidden),
    ("asgPublishEvent",    Needs::Events,   202, Foreign::Forbidden),
    ("asgPublishBatch",    Needs::Events,   202, Foreign::Forbidden),
    ("asgGetTask",         Needs::Events,   200, Foreign::Hidden),
    ("registerWebhook",    Needs::Webhooks, 201, Foreign::Forbidden),
    ("listWebhooks",       Needs::Webhooks, 200, Foreign::Own),
    ("getWebhook",         Needs::Webhooks, 200, Foreign::Hidden),
    ("getWebhookStats",    Needs::Webhooks, 200, Foreign::Hidden),
    ("updateWebhook",      Needs::Webhooks, 200, Foreign::Hidden),
    ("rotateSecret",       Needs::Webhooks, 201, Foreign::Hidden),
    ("deleteWebhook",      Needs::Webhooks, 204, Foreign::Hidden),
    ("replayDelivery",     Needs::Webhooks, 202, Foreign::Hidden),
    ("testWebhook",        Needs::Webhooks, 200, Foreign::Hidden),
    ("listDeliveries",     Needs::Webhooks, 200, Foreign::Hidden),
    ("getDelivery",        Needs::Webhooks, 200, Foreign::Hidden),
    ("publishEvent",       Needs::Events,   202, Foreign::Forbidden),
    ("publishBatch",       Needs::Events,   202, Foreign::Forbidden),
    ("listEvents",         Needs::Events,   200, Foreign::Own),
    ("getEvent",           Needs::Events,   200, Foreign::Hidden),
    ("listEventTypes",     Needs::Token,    200, Foreign::Own),
    ("getOverview",        Needs::Operator, 200, Foreign::Forbidden),
    ("listAccounts",       Needs::Operator, 200, Foreign::Forbidden),
    ("createAccount",      Needs::Operator, 201, Foreign::Forbidden),
    ("getAccount",         Needs::Operator, 200, Foreign::Forbidden),
    ("changeAccount",      Needs::Operator, 200, Foreign::Forbidden),
    ("listTokens",         Needs::Operator, 200, Foreign::Forbidden),
    ("createToken",        Needs::Operator, 201, Foreign::Forbidden),
    ("revokeToken",        Needs::Operator, 204, Foreign::Forbidden),
    ("createSignInLink",   Needs::Operator, 201, Foreign::Forbidden),
    ("listAllWebhooks",    Needs::Operator, 200, Foreign::Forbidden),
    ("getAnyWebhook",      Needs::Operator, 200, Foreign::Forbidden),
    ("listAllDeliveries",  Needs::Operator, 200, Foreign::Forbidden),
    ("getAnyDelivery",     Needs::Operator, 200, Foreign::Forbidden),
    ("retryDelivery",      Needs::Operator, 202, Foreign::Forbidden),
    ("cancelDelivery",     Needs::Operator, 200, Foreign::Forbidden),
    ("asgRecoverWebhook",  Needs::Webhooks, 202, Foreign::Hidden),
    ("asgListRecoveries",  Needs::Webhooks, 200, Foreign::Own),
    ("asgGetRecovery",     Needs::Webhooks, 200, Foreign::Hidden),
    ("asgCancelRecovery",  Needs::Webhooks, 200, Foreign::Hidden),
    ("recoverWebhook",     Needs::Webhooks, 202, Foreign::Hidden),
    ("listRecoveries",     Needs::Webhooks, 200, Foreign::Own),
    ("getRecovery",        Needs::Webhooks, 200, Foreign::Hidden),
    ("cancelRecovery",     Needs::Webhooks, 200, Foreign::Hidden),
    ("replayAnyDelivery",  Needs::Operator, 202, Foreign::Forbidden),
    ("startRecovery",      Needs::Operator, 202, Foreign::Forbidden),
    ("listAllRecoveries",  Needs::Operator, 200, Foreign::Forbidden),
    ("getAnyRecovery",     Needs::Operator, 200, Foreign::Forbidden),
    ("cancelAnyRecovery",  Needs::Operator, 200, Foreign::Forbidden),
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

    pub fn expected(&self) -> (Needs, u16, Foreign) {
        let found = EXPECTED.iter().find(|(id, ..)| *id == self.id);
        let (_, needs, own, foreign) =
            found.unwrap_or_else(|| panic!("{} {} is new: say in EXPECTED who may ask for it", self.method, self.path));
        (*needs, *own, *foreign)
    }

    /// The path and the body with which the owner of these resources would ask for it.
    pub fn request(&self, resources: &Resources) -> (String, Option<String>) {
        let webhook = if self.is_asg() { &resources.asg_webhook } else { &resources.webhook };
        let delivery = match self.id.as_str() {
            "cancelDelivery" => &resources.held,
            "asgReplayDelivery" | "asgGetDelivery" => &resources.asg_delivery,
            _ => &resources.delivery,
        };
        let path = self.path.replace("{webhook_id}", webhook).replace("{delivery_id}", delivery);
        let path = path.replace("{account_id}", COOP).replace("{token_id}", &resources.token);
        let recovery = match self.id.as_str() {
            "asgGetRecovery" | "asgCancelRecovery" => &resources.asg_recovery,
            "getRecovery" | "cancelRecovery" => &resources.own_recovery,
            _ => &resources.recovery,
        };
        let path = path.replace("{recovery_id}", recovery).replace("{retry_id}", recovery);
        let path = path.replace("{event_id}", &resources.event).replace("{task_id}", &resources.task);
        assert!(!path.contains('{'), "{path}: a parameter that Resources lacks");
        let url = &resources.url;
        let body = match self.id.as_str() {
            "registerWebhook" => json!({ "url": url, "events": ["*"], "cooperative_id": COOP }),
            "publishEvent" => json!({ "event": "dds.filed", "cooperative_id": COOP, "data": {} }),
            "publishBatch" => {
                let event = json!({ "event": "dds.filed", "cooperative_id": COOP, "data": {} });
                json!({ "events": [event, event] })
            }
            "updateWebhook" => json!({ "status": "SUSPENDED" }),
            "asgUpdateWebhook" => json!({ "active": false }),
            "asgRegisterWebhook" => json!({ "callback_url": url, "account": CUSTOMER }),
            "createAccount" => json!({ "account_id": format!("NEW-{}", resources.webhook), "profile": "asg" }),
            "changeAccount" => json!({ "alert_email": "" }),
            "startRetry" | "startRecovery" => json!({ "account_id": COOP }),
            "recoverWebhook" | "asgRecoverWebhook" => json!({ "since": "2026-04-20T00:00:00Z" }),
            "createSignInLink" => json!({ "account": COOP }),
            "createToken" => json!({ "account_id": COOP, "scopes": ["events"] }),
            "asgPublishEvent" => task(&format!("{}-more", resources.task)),
            "asgPublishBatch" => json!({ "events": [task(&format!("{}-batch", resources.task))] }),
            _ => json!({}),
        };
        (path, (!matches!(self.method.as_str(), "GET" | "DELETE")).then(|| body.to_string()))
    }

    /// Asks for it as the owner of these resources would.
    pub fn ask(&self, client: &Client, resources: &Resources) -> Answer {
        match self.request(resources) {
            (path, None) => client.send(&self.method, &path, &[], None),
            (path, Some(body)) => client.send(&self.method, &path, &JSON, Some(body.as_bytes())),
        }
    }
}

pub fn task(id: &str) -> Value {
    json!({ "event": "task.settled", "account": CUSTOMER, "task_id": id, "consensus_label": "cat", "confidence": 1.0,
            "bsv_txid": "x", "settled_at": "2026-04-08T21:05:00Z" })
}

/// The owners' resources: a webhook of each vendor, and deliveries to them.
#[derive(Clone)]
pub struct Resources {
    pub url: String,
    pub webhook: String,
    pub event: String,
    pub delivery: String,
    pub paused: String,
    pub held: String,
    pub token: String,
    pub recovery: String,
    pub own_recovery: String,
    pub asg_recovery: String,
    pub asg_webhook: String,
    pub asg_delivery: String,
    pub task: String,
}

pub fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

impl Resources {
    /// New resources for each operation, as an operation may delete or suspend them.
    pub fn make(world: &World, receiver: &Receiver, place: usize) -> Self {
        let url = format!("{}/{place}", receiver.url());
        let (coop, customer) = (owner(world, COOP), owner(world, CUSTOMER));
        let webhook = coop.webhook(&url, &["*"], "s3cret");
        let paused = coop.webhook(&url, &["loan.repaid"], "s3cret");
        coop.patch(&format!("/webhooks/{paused}"), json!({ "status": "SUSPENDED" })).expect(200);
        coop.publish("loan.repaid", json!({}));
        let operator = world.operator();
        let token = operator.post("/operator/tokens", json!({ "account_id": COOP, "scopes": ["events"] })).expect(201);
        let recovery = operator.post("/operator/recoveries", json!({ "account_id": COOP })).expect(202);
        let accepted = coop.publish("dds.filed", json!({ "place": place }));
        let made = customer.post("/v1/webhooks", json!({ "callback_url": url, "secret": "s3cret" })).expect(201);
        let since = json!({ "since": "2026-04-20T00:00:00Z" });
        let own_recovery = coop.post(&format!("/webhooks/{webhook}/recover"), since.clone()).expect(202);
        let asg_webhook = text(&made["webhook_id"]);
        let asg_recovery = customer.post(&format!("/v1/webhooks/{asg_webhook}/recover"), since).expect(202);
        let task_id = format!("task-{asg_webhook}");
        customer.post("/v1/events", task(&task_id)).expect(202);
        world.settle();
        let delivery = coop.deliveries(&webhook)[0]["delivery_id"].clone();
        let asg_page = customer.get(&format!("/v1/webhooks/{asg_webhook}/deliveries")).expect(200);
        Self {
            url,
            paused: paused.clone(),
            held: text(&coop.deliveries(&paused)[0]["delivery_id"]),
            token: text(&token["token_id"]),
            recovery: text(&recovery["recovery_id"]),
            own_recovery: text(&own_recovery["recovery_id"]),
            asg_recovery: text(&asg_recovery["recovery_id"]),
            webhook,
            event: text(&accepted["event_id"]),
            delivery: text(&delivery),
            asg_webhook,
            asg_delivery: text(&asg_page["deliveries"][0]["delivery_id"]),
            task: task_id,
        }
    }

    /// Ids of the right form that do not exist.
    pub fn absent(&self) -> Self {
        Self {
            webhook: format!("wh_{NO_WEBHOOK}"),
            event: format!("evt_{NO_WEBHOOK}"),
            delivery: format!("dlv_{NO_WEBHOOK}"),
            held: format!("dlv_{NO_WEBHOOK}"),
            token: format!("tok_{NO_WEBHOOK}"),
            recovery: format!("rec_{NO_WEBHOOK}"),
            own_recovery: format!("rec_{NO_WEBHOOK}"),
            asg_recovery: format!("rec_{NO_WEBHOOK}"),
            asg_webhook: format!("whk_{NO_WEBHOOK}"),
            asg_delivery: format!("dlv_{NO_WEBHOOK}"),
            task: "task-nowhere".to_owned(),
            ..self.clone()
        }
    }

    /// Every view of the resources that their owners have.
    pub fn seen(&self, world: &World) -> Vec<Value> {
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

pub fn owner(world: &World, account: &str) -> Client {
    with(world, account, "webhooks,events")
}

pub fn with(world: &World, account: &str, scopes: &str) -> Client {
    world.client(&world.token_for(Holder::Account(account.to_owned()), scopes))
}
