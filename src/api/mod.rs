//! The doors: HTTP in, one verb of the store, HTTP out. poem lives here and nowhere lower.

pub mod asg;
pub mod asilichain;
mod auth;
mod body;
pub mod connections;
mod contract;
mod failure;
mod head;
mod health;
mod history;
mod operator;
mod pages;
mod places;
mod problem;
mod quota;
mod reasons;
mod refused;

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, LazyLock},
    time::Duration,
};

use poem::{
    Endpoint, EndpointExt, IntoEndpoint, IntoResponse, Request, Response,
    http::{HeaderValue, StatusCode, header},
};
use poem_openapi::{
    ContactObject, LicenseObject, OpenApiService, ServerObject, Tags, Webhook,
    registry::{MetaWebhook, Registry},
};
use serde_json::Value;

pub use self::quota::Quota;
use self::{
    body::{MaxBody, SecretText},
    pages::Page,
    problem::Problem,
    quota::Spent,
};
use crate::{
    clock::SharedClock,
    config::{Config, Limits},
    domain::{
        delivery::Attempt,
        endpoint::TargetUrl,
        ids::{DeliveryId, RequestId},
        profile::Profiles,
        signature::SigningSecret,
    },
    error::{Error, Result},
    store::{Db, Target, random},
};

/// What a future in a box resolves to.
type Boxed<T> = Pin<Box<dyn Future<Output = Result<T>> + Send>>;
/// The engine's judgement of a target, handed in by `app`.
pub type Vet = Arc<dyn Fn(TargetUrl) -> Boxed<()> + Send + Sync>;
/// The engine's way to send a test delivery at once, handed in by `app`: account, target, event, stored body.
pub type SendTest = Arc<dyn Fn(String, Target, String, String) -> Boxed<(DeliveryId, Attempt)> + Send + Sync>;

/// What the doors need.
#[derive(Clone)]
pub struct Deps {
    /// The database.
    pub db: Db,
    /// The time.
    pub clock: SharedClock,
    /// The judgement of a target.
    pub vet: Vet,
    /// The way to send a test delivery.
    pub send_test: SendTest,
    /// Every vendor that is served.
    pub profiles: Profiles,
    /// How long a former secret signs too.
    pub secret_overlap: Duration,
    /// What one client may take.
    pub limits: Limits,
    /// Counts the management requests of each token.
    pub quota: Arc<Quota>,
}

/// A signing secret, and whether it was made here: then, and only then, it is shown.
struct Secret {
    secret: SigningSecret,
    made: bool,
}

impl Secret {
    /// What the answer shows of it.
    fn shown(&self) -> Option<SecretText> {
        self.made.then(|| SecretText(self.secret.expose().to_owned().into()))
    }
}

impl Deps {
    /// The subscriber's own secret, or a new one.
    fn secret(&self, own: Option<SecretText>) -> Result<Secret> {
        match own {
            Some(own) => Ok(Secret { secret: SigningSecret::parse(own.0)?, made: false }),
            None => Ok(Secret { secret: SigningSecret::from_random(&*random()?), made: true }),
        }
    }

    /// A subscriber's URL.
    fn target(&self, text: &str) -> Result<TargetUrl> {
        TargetUrl::parse(text, self.limits.url_bytes)
    }

    /// Asks the egress guard.
    async fn vet(&self, url: &TargetUrl) -> Result<()> {
        (self.vet)(url.clone()).await
    }
}

/// The parts of the contract.
#[derive(Tags)]
enum Tag {
    /// Webhooks for `task.settled`. Errors: `{"error": "<sentence>"}`.
    #[oai(rename = "ASG Gateway")]
    Asg,
    /// Webhooks for the 15 events of AsiliChain. Errors: `{"error": {"code", "message", "request_id"}}`.
    #[oai(rename = "AsiliChain")]
    AsiliChain,
    /// For whoever runs the server: all accounts, what is under way, what failed, and who changed what. Needs a token with
    /// the scope `operator`. Errors: `{"error": {"code", "message", "request_id"}}`.
    Operator,
    /// For whoever watches the server.
    Health,
}

const DESCRIPTION: &str = "\
Ngoma delivers webhooks: it stores events durably, signs them, delivers them to every subscribed webhook, retries on a \
published schedule that survives restarts, and suspends what stays dead until somebody resumes it.

**Try it here.** Start the server with `serve --dev`, press *Authorize* and paste one of the tokens that it prints.

**Verify every delivery.** Each carries its vendor's signature header and the [Standard Webhooks](https://www.standardwebhooks.com) \
headers. Deliveries are at least once: handle each `webhook-id` once.";

type Routes = (health::Routes, asg::Routes, asilichain::WebhookRoutes, asilichain::EventRoutes, operator::Routes);

fn service() -> OpenApiService<Routes, Payloads> {
    let (webhooks, events) = (asilichain::WebhookRoutes, asilichain::EventRoutes);
    let routes = (health::Routes::default(), asg::Routes, webhooks, events, operator::ROUTES);
    OpenApiService::new(routes, "Ngoma", env!("CARGO_PKG_VERSION"))
        .description(DESCRIPTION)
        .contact(ContactObject::new().name("Whoever runs this server"))
        .server(ServerObject::new("/").description("The server that this document comes from."))
        .license(LicenseObject::new("MIT").identifier("MIT"))
        .webhooks()
}

/// The shape of errors on paths that are no vendor's.
type Errors = asilichain::Errors;

/// What is sent to webhooks, over all vendors.
struct Payloads;

impl Webhook for Payloads {
    fn meta() -> Vec<MetaWebhook> {
        let mut all = <&dyn asg::Payloads as Webhook>::meta();
        all.extend(<&dyn asilichain::Payloads as Webhook>::meta());
        all
    }

    fn register(registry: &mut Registry) {
        <&dyn asg::Payloads as Webhook>::register(registry);
        <&dyn asilichain::Payloads as Webhook>::register(registry);
    }
}

/// The contract, as it is served and committed: an OpenAPI 3.1 document.
///
/// # Errors
/// Only for a fault in the code that makes it.
pub fn contract() -> Result<String> {
    let supplements = [health::SUPPLEMENT, asg::SUPPLEMENT, asilichain::SUPPLEMENT, operator::SUPPLEMENT];
    let document = contract::publish(&service().spec(), &supplements);
    let text = document.and_then(|document| serde_json::to_string_pretty(&document));
    text.map(|text| text.replace(operator::A_VENDOR, asilichain::NAME) + "\n")
        .map_err(|flaw| Error::Internal(format!("the contract: {flaw}")))
}

/// The docs page, which embeds the document that poem-openapi wrote: ours takes its place.
fn docs() -> Result<String> {
    let service = service();
    Ok(service.swagger_ui_html().replace(&service.spec(), &contract()?.replace("</", "<\\/")))
}

/// Every route.
pub fn routes(deps: Deps, config: &Config) -> impl Endpoint<Output = Response> + 'static {
    let pages = Arc::new([
        ("/", Page::new("text/html; charset=utf-8", || Ok(pages::INDEX.to_owned()))),
        ("/docs", Page::new("text/html; charset=utf-8", docs)),
        ("/openapi.json", Page::new("application/json", contract)),
    ]);
    let routes = service()
        .into_endpoint()
        .data(MaxBody(config.server.max_body_bytes))
        .data(config.asilichain.clone())
        .data(deps.clone());
    let limits = Arc::new(deps.limits);
    routes.around(move |routes, mut request: Request| {
        let (pages, now) = (Arc::clone(&pages), deps.clock.now());
        let limits = Arc::clone(&limits);
        async move {
            let request_id = RequestId::mint(now).to_string();
            let path = request.uri().path().to_owned();
            let spent = Spent::default();
            request.set_data(spent.clone());
            let has_body = request.headers().contains_key(header::TRANSFER_ENCODING)
                || request.header(header::CONTENT_LENGTH).is_some_and(|length| length != "0");
            let page = pages.iter().find(|(at, _)| *at == path);
            let answer = match (head::check(&request, &limits), page) {
                (Err(refused), _) => Err(refused),
                (Ok(()), Some((_, page))) => page.call(request).await,
                (Ok(()), None) => routes.call(request).await.map(IntoResponse::into_response),
            };
            let response = match answer {
                Ok(response) => response,
                Err(error) => {
                    let mut refusal = refuse(&path, &request_id, &error);
                    if has_body && refusal.status().is_client_error() {
                        // The body may not have been read: what follows on this connection would not be a request.
                        refusal.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
                    }
                    refusal
                }
            };
            Ok::<_, poem::Error>(spent.show(with_request_id(response, &request_id)))
        }
    })
}

/// An error in the shape of the vendor whose path was asked for.
fn refuse(path: &str, request_id: &str, error: &poem::Error) -> Response {
    let problem = Problem::of(error);
    if let Some(Error::Internal(reason)) = &problem.error {
        tracing::error!(request.id = request_id, reason, "a request failed by our fault");
    }
    let mut response = if path.starts_with("/v1/") {
        asg::shape(&problem)
    } else if path.starts_with("/operator/") {
        failure::shape(&problem, request_id)
    } else {
        asilichain::shape(&problem, request_id)
    };
    let headers = response.headers_mut();
    match problem.status {
        StatusCode::UNAUTHORIZED => drop(headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))),
        StatusCode::TOO_MANY_REQUESTS => {
            if let Some(Error::TooMany(wait)) = problem.error {
                headers.insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)));
            }
        }
        StatusCode::SERVICE_UNAVAILABLE => drop(headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"))),
        StatusCode::METHOD_NOT_ALLOWED => {
            if let Ok(methods) = HeaderValue::from_str(&ALLOWED.at(path)) {
                headers.insert(header::ALLOW, methods);
            }
        }
        _ => {}
    }
    response
}

fn with_request_id(mut response: Response, request_id: &str) -> Response {
    if let Ok(id) = HeaderValue::from_str(request_id) {
        response.headers_mut().insert("x-request-id", id);
    }
    response
}

/// What takes a GET takes a HEAD too.
const READ: &str = "GET, HEAD";

/// Which methods each path takes, read from the contract: RFC 9110 asks a 405 to say so.
struct Allowed(Vec<(Vec<String>, String)>);

/// Read when somebody first asks so.
static ALLOWED: LazyLock<Allowed> = LazyLock::new(|| Allowed::read(&contract().unwrap_or_default()));

impl Allowed {
    fn read(contract: &str) -> Self {
        let document: Value = serde_json::from_str(contract).unwrap_or_default();
        let paths = document["paths"].as_object().cloned().unwrap_or_default();
        Self(
            paths
                .iter()
                .map(|(path, item)| {
                    let methods = item.as_object().into_iter().flatten().map(|(method, _)| match method.as_str() {
                        "get" => READ.to_owned(),
                        method => method.to_uppercase(),
                    });
                    (path.split('/').map(str::to_owned).collect(), methods.collect::<Vec<_>>().join(", "))
                })
                .collect(),
        )
    }

    fn at(&self, path: &str) -> String {
        let parts: Vec<&str> = path.split('/').collect();
        let fits = |template: &[String]| {
            template.len() == parts.len()
                && template.iter().zip(&parts).all(|(part, given)| part.starts_with('{') || part == given)
        };
        self.0
            .iter()
            .find(|(template, _)| fits(template))
            .map_or_else(|| READ.to_owned(), |(_, methods)| methods.clone())
    }
}
