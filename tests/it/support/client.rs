//! An API client of a server, and the answers it gets.

use ngoma::error::Result;
use serde_json::Value;

use crate::support::{leaks, receiver::PATIENCE, world::COOP};

/// An API client.
#[derive(Clone)]
pub struct Client {
    base: String,
    token: Option<String>,
    agent: ureq::Agent,
}

impl Client {
    /// A client of the server at `http://...`.
    pub fn at(base: &str, token: &str) -> Self {
        Self { base: base.to_owned(), token: Some(token.to_owned()), agent: agent() }
    }

    /// The same client without a token.
    pub fn without_token(self) -> Self {
        Self { token: None, ..self }
    }

    pub fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], None)
    }

    pub fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, &[], None)
    }

    pub fn post(&self, path: &str, body: Value) -> Answer {
        self.post_text(path, &body.to_string())
    }

    pub fn patch(&self, path: &str, body: Value) -> Answer {
        self.send("PATCH", path, &[("content-type", "application/json")], Some(body.to_string().as_bytes()))
    }

    pub fn post_text(&self, path: &str, body: &str) -> Answer {
        self.send("POST", path, &[("content-type", "application/json")], Some(body.as_bytes()))
    }

    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&[u8]>) -> Answer {
        self.try_send(method, path, headers, body).expect("the server answers")
    }

    /// Sends a request to a server that may go away.
    pub fn try_send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&[u8]>,
    ) -> Result<Answer, ureq::Error> {
        let mut request = ureq::http::Request::builder().method(method).uri(format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = match body {
            Some(body) => self.agent.run(request.body(body).expect("a request")),
            None => self.agent.run(request.body(()).expect("a request")),
        };
        let mut response = response?;
        let headers = response.headers().iter();
        let headers =
            headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap_or("").to_owned())).collect();
        let text = response.body_mut().read_to_string()?;
        leaks::exchange(path, body, response.status().as_u16(), &text);
        Ok(Answer { status: response.status().as_u16(), headers, text })
    }

    // Shorthands for the two pages.

    /// Registers an AsiliChain webhook and gives its id.
    pub fn webhook(&self, url: &str, events: &[&str], secret: &str) -> String {
        let body = serde_json::json!({ "url": url, "events": events, "cooperative_id": COOP, "secret": secret });
        self.post("/webhooks", body).expect(201)["webhook_id"].as_str().expect("an id").to_owned()
    }

    /// Publishes an AsiliChain event and gives the answer's body.
    #[track_caller]
    pub fn publish(&self, event: &str, data: Value) -> Value {
        let body = serde_json::json!({ "event": event, "cooperative_id": COOP, "data": data });
        self.post("/events", body).expect(202)
    }

    /// The deliveries of a webhook, newest first.
    pub fn deliveries(&self, webhook: &str) -> Vec<Value> {
        let page = self.get(&format!("/webhooks/{webhook}/deliveries?limit=100")).expect(200);
        page["deliveries"].as_array().expect("a list").clone()
    }

    /// One delivery with its attempts.
    pub fn delivery(&self, webhook: &str, delivery: &str) -> Value {
        self.get(&format!("/webhooks/{webhook}/deliveries/{delivery}")).expect(200)
    }

    /// The status of a webhook.
    pub fn status(&self, webhook: &str) -> String {
        self.get(&format!("/webhooks/{webhook}")).expect(200)["status"].as_str().expect("a status").to_owned()
    }
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder().http_status_as_error(false).proxy(None).timeout_global(Some(PATIENCE)).build().into()
}

/// An answer of the API.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    /// The body of an answer with this status.
    #[track_caller]
    pub fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        if self.text.is_empty() { Value::Null } else { self.json() }
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(given, _)| given.eq_ignore_ascii_case(name)).map_or("", |(_, value)| value)
    }

    /// The code of an AsiliChain error of this status.
    #[track_caller]
    pub fn code(&self, status: u16) -> String {
        let body = self.expect(status);
        let error = &body["error"];
        assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()), "{body}");
        assert!(error["request_id"].as_str().is_some_and(|id| id.starts_with("req_")), "{body}");
        error["code"].as_str().expect("a code").to_owned()
    }

    /// The sentence of an ASG error of this status.
    #[track_caller]
    pub fn sentence(&self, status: u16) -> String {
        let body = self.expect(status);
        assert_eq!(body.as_object().expect("an object").len(), 1, "{body}");
        body["error"].as_str().expect("a sentence").to_owned()
    }
}
