//! The HTTP API: the routes of the vendors and of the operator, health, metrics, and the document that describes them.
//!
//! This file only puts the parts together. It is the one place of the API that knows every vendor.

pub mod asg;
pub mod asilichain;
mod health;
mod metrics;
pub(crate) mod openapi;
pub(crate) mod operator;
mod publishing;

use std::sync::LazyLock;

use poem::{
    Endpoint, EndpointExt, IntoEndpoint, Response,
    http::{HeaderValue, Method, StatusCode, header},
};
use poem_openapi::{
    ContactObject, LicenseObject, OpenApiService, ServerObject, Webhook,
    registry::{MetaWebhook, Registry},
};

use self::openapi::{
    document, error,
    operations::{OfContract, Operations},
};
use crate::{
    app::{App, Dialect},
    config::Config,
    domain::profile::Profiles,
    error::{Error, Result},
    http::{
        asset::Asset,
        auth::TokenCheck,
        context::{Door, Publishing, RequestContext},
        error::Problem,
    },
};

const DESCRIPTION: &str = "\
Ngoma delivers webhooks: it stores events durably, signs them, delivers them to every subscribed webhook, tries again on a \
published schedule that survives restarts, and suspends a webhook that stays down until somebody resumes it.

**How to run the server:** read [the guide](/guide).

**Try it here.** Start the server with `serve --dev`, press *Authorize* and paste one of the tokens that it prints.

**Verify every delivery.** Each has its platform's signature header and the [Standard Webhooks](https://www.standardwebhooks.com) \
headers. Deliveries are at least once: handle each `webhook-id` once. A library refuses a delivery whose `webhook-timestamp` is more \
than 5 minutes off its own clock.

**A receiver's framework may refuse an event.** `express.json()` answers 413 to more than 100 KiB, unless its `limit` is raised; \
Fastify answers 400 to a key `__proto__`, and to a key `constructor` with `prototype` in it, unless `onProtoPoisoning` and \
`onConstructorPoisoning` are set.";

/// The start page, with a link to every other page.
const INDEX: &str = include_str!("index.html");

/// The shape of errors on paths that belong to no vendor.
type CommonErrors = asilichain::Errors;

type Routes = (
    health::Routes<CommonErrors>,
    metrics::Routes<CommonErrors>,
    (asg::WebhookRoutes, asg::DeliveryRoutes, asg::RecoveryRoutes, asg::TaskRoutes),
    (asilichain::WebhookRoutes, asilichain::RecoveryRoutes, asilichain::EventRoutes),
    operator::Routes,
);

fn service() -> OpenApiService<Routes, Payloads> {
    let (health, metrics) = (health::Routes::default(), metrics::Routes::default());
    let asg = (asg::WebhookRoutes, asg::DeliveryRoutes, asg::RecoveryRoutes, asg::TaskRoutes);
    let asilichain = (asilichain::WebhookRoutes, asilichain::RecoveryRoutes, asilichain::EventRoutes::default());
    let routes = (health, metrics, asg, asilichain, operator::ROUTES);
    OpenApiService::new(routes, "Ngoma", env!("CARGO_PKG_VERSION"))
        .description(DESCRIPTION)
        .contact(ContactObject::new().name("The operator of this server"))
        .server(ServerObject::new("/").description("The server that this document comes from."))
        .license(LicenseObject::new("MIT").identifier("MIT"))
        .webhooks()
}

struct Payloads;

impl Webhook for Payloads {
    fn meta() -> Vec<MetaWebhook> {
        let mut all = <&dyn asg::Payloads as Webhook>::meta();
        all.extend(<&dyn asilichain::Payloads as Webhook>::meta());
        all.extend(<&dyn operator::Posts as Webhook>::meta());
        all.extend(<&dyn operator::ServerPosts as Webhook>::meta());
        all.extend(operator::Notices::meta());
        all
    }

    fn register(registry: &mut Registry) {
        <&dyn asg::Payloads as Webhook>::register(registry);
        <&dyn asilichain::Payloads as Webhook>::register(registry);
        <&dyn operator::Posts as Webhook>::register(registry);
        <&dyn operator::ServerPosts as Webhook>::register(registry);
        operator::Notices::register(registry);
    }
}

/// The contract, as it is served and committed: an OpenAPI 3.1 document.
///
/// # Errors
/// Only for a fault in the code that makes it.
pub fn contract() -> Result<String> {
    let supplements = [health::SUPPLEMENT, asg::SUPPLEMENT, asilichain::SUPPLEMENT, operator::SUPPLEMENT];
    let document = document::publish(&service().spec(), &supplements);
    let text = document.and_then(|document| serde_json::to_string_pretty(&document));
    text.map(|text| text.replace(operator::A_VENDOR, asilichain::NAME) + "\n")
        .map_err(|flaw| Error::Internal(format!("the contract: {flaw}")))
}

/// The head of the docs page: its title, for phones, and in dark mode.
const DOCS_HEAD: &str = include_str!("docs_head.html");
/// What stands above the docs: the way back.
const DOCS_TOP: &str = include_str!("docs_top.html");
/// "Try it out" begins with empty filters: the examples of optional parameters are not filled in.
const DOCS_FILTERS: &str = "
    for (const item of Object.values(spec.paths))
        for (const operation of Object.values(item))
            for (const parameter of operation.parameters ?? [])
                if (!parameter.required) delete parameter.example;
";

/// The docs page. It embeds the document of poem-openapi, which the contract replaces.
fn docs() -> Result<String> {
    let service = service();
    let page = service.swagger_ui_html().replace(&service.spec(), &contract()?.replace("</", "<\\/"));
    let page = page.replacen("<html charset=\"UTF-8\">", "<!doctype html>\n<html lang=\"en\">", 1);
    let page = page.replacen("<title>Swagger UI</title>", DOCS_HEAD, 1);
    let page = page.replacen("<div id=\"ui\"></div>", DOCS_TOP, 1);
    Ok(page.replacen("    let oauth2RedirectUrl;", &format!("{DOCS_FILTERS}    let oauth2RedirectUrl;"), 1))
}

/// The pages that never change, by their path.
pub(crate) fn pages() -> Vec<(&'static str, Asset)> {
    vec![
        ("/", Asset::new("text/html; charset=utf-8", || Ok(INDEX.to_owned()))),
        ("/docs", Asset::new("text/html; charset=utf-8", docs)),
        ("/openapi.json", Asset::new("application/json", contract)),
    ]
}

/// The door of a request, unless it is the dashboard's.
pub(crate) fn door(method: &Method, path: &str) -> Door {
    match path {
        "/" | "/docs" | "/openapi.json" => Door::Page,
        "/metrics" => Door::Metrics,
        _ if path.starts_with("/health/") => Door::Health,
        _ if path.starts_with("/operator/") => Door::Operator,
        _ => {
            let v1 = path.strip_prefix("/v1/").map(|rest| (asg::NAME, rest));
            let (vendor, rest) = v1.unwrap_or((asilichain::NAME, path.strip_prefix('/').unwrap_or(path)));
            Door::Vendor(vendor, publishing(method, rest))
        }
    }
}

/// How a request publishes, if it does. `path` is the path below the vendor's routes.
fn publishing(method: &Method, path: &str) -> Option<Publishing> {
    match path {
        "events" if method == Method::POST => Some(Publishing::One),
        "events/batch" if method == Method::POST => Some(Publishing::Batch),
        _ => None,
    }
}

/// The operations of the contract, read when the first request needs them.
static OPERATIONS: LazyLock<Operations> = LazyLock::new(|| {
    let contract =
        contract().inspect_err(|error| tracing::error!(%error, "the operations of the contract are unknown"));
    Operations::read(&contract.unwrap_or_default())
});

pub(crate) fn explain(error: &poem::Error) -> Problem {
    error::explain(error)
}

/// A problem in the shape of the door's errors.
pub(crate) fn refuse(context: &RequestContext, path: &str, problem: &Problem) -> Response {
    let mut response = match context.door() {
        Door::Vendor(asg::NAME, _) => asg::shape(problem),
        Door::Operator => error::shape(problem, context.id()),
        _ => asilichain::shape(problem, context.id()),
    };
    if problem.status == StatusCode::METHOD_NOT_ALLOWED
        && let Ok(methods) = HeaderValue::from_str(&OPERATIONS.allow(path))
    {
        response.headers_mut().insert(header::ALLOW, methods);
    }
    response
}

/// Every vendor that is served, as the engine knows it.
pub fn profiles(config: &Config) -> Profiles {
    let profiles = Profiles::new(vec![
        asg::profile(&config.asg, &config.delivery),
        asilichain::profile(&config.asilichain, &config.delivery),
    ]);
    if config.alerts.warn { profiles } else { profiles.without_warnings() }
}

/// Every vendor that is served, with its name and its catalogue.
pub(crate) fn dialects(config: &Config) -> Vec<Dialect> {
    vec![asilichain::dialect(&config.asilichain, &config.delivery), asg::dialect(&config.asg, &config.delivery)]
}

pub(crate) fn routes(app: App, tokens: TokenCheck, config: &Config) -> impl Endpoint<Output = Response> + 'static {
    let routes = service().into_endpoint().data(config.asilichain.clone()).data(app).data(tokens);
    routes.data(OfContract(&OPERATIONS)).map_to_response()
}
