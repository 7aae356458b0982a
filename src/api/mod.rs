//! The doors: HTTP in, one verb of the store, HTTP out. poem lives here and nowhere lower.

mod allowed;
pub mod asg;
mod aside;
pub mod asilichain;
mod auth;
mod batch;
mod body;
mod budget;
mod client;
pub mod connections;
mod contract;
mod dialect;
mod exchange;
mod failure;
mod head;
mod health;
mod history;
mod idle;
mod line;
mod look;
mod metrics;
mod operator;
mod pages;
mod places;
mod problem;
mod publishing;
mod quota;
mod reasons;
mod refused;
mod ui;
mod unreadable;

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use poem::{Endpoint, EndpointExt, IntoEndpoint, Request, Response};
use poem_openapi::{
    ContactObject, LicenseObject, OpenApiService, ServerObject, Tags, Webhook,
    registry::{MetaWebhook, Registry},
};

use self::{
    body::SecretText, exchange::Way, line::Lines, pages::Page, places::Places, problem::Problem, ui::Dashboard,
};
pub use self::{budget::Budgets, quota::Quota};
use crate::{
    clock::SharedClock,
    config::{Config, DEFAULTS, Limits, Watch},
    domain::{
        delivery::Attempt,
        endpoint::{Blocked, TargetUrl},
        grant::Grant,
        ids::DeliveryId,
        profile::Profiles,
        signature::SigningSecret,
        token::Caller,
    },
    error::{Error, Result},
    guide::CHAPTERS,
    store::{Db, Target, random},
};

/// What a future in a box resolves to.
type Boxed<T> = Pin<Box<dyn Future<Output = Result<T>> + Send>>;
/// The engine's judgement of a target, handed in by `app`.
pub type Vet = Arc<dyn Fn(TargetUrl) -> Boxed<Result<(), Blocked>> + Send + Sync>;
/// The engine's way to send a test delivery at once, handed in by `app`: the right to act, account, target, event, stored body.
pub type SendTest = Arc<dyn Fn(Grant, String, Target, String, String) -> Boxed<(DeliveryId, Attempt)> + Send + Sync>;

/// The engine's way to send a test mail to an address at once, handed in by `app`.
pub type SendTestMail = Arc<dyn Fn(String) -> Boxed<()> + Send + Sync>;

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
    /// The way to send a test mail.
    pub send_test_mail: SendTestMail,
    /// Every vendor that is served.
    pub profiles: Profiles,
    /// How long a former secret signs too.
    pub secret_overlap: Duration,
    /// When the engine last looked for work, as the machine's uptime.
    pub looked: Arc<dyn Fn() -> Duration + Send + Sync>,
    /// What whoever watches the server is told.
    pub watch: Watch,
    /// What one client may take.
    pub limits: Limits,
    /// Counts the management requests of each token.
    pub quota: Arc<Quota>,
    /// The memory that requests and answers share.
    pub budgets: Arc<Budgets>,
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
            Some(own) => Ok(Secret { secret: own.read("Leave it out to have one made.")?, made: false }),
            None => Ok(Secret { secret: SigningSecret::from_random(&*random()?), made: true }),
        }
    }

    /// A subscriber's URL.
    fn target(&self, text: &str) -> Result<TargetUrl> {
        TargetUrl::parse(text, self.limits.url_bytes)
    }

    /// Asks the egress guard whether this caller may have deliveries sent there.
    async fn vet(&self, caller: &Caller, url: &TargetUrl) -> Result<()> {
        let vetted = (self.vet)(url.clone()).await?;
        vetted
            .map_err(|blocked| if caller.scopes.is_operator() { blocked.for_operator() } else { blocked.for_account() })
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

**How to run the server:** read [the guide](/guide).

**Try it here.** Start the server with `serve --dev`, press *Authorize* and paste one of the tokens that it prints.

**Verify every delivery.** Each carries its vendor's signature header and the [Standard Webhooks](https://www.standardwebhooks.com) \
headers. Deliveries are at least once: handle each `webhook-id` once. A library refuses a delivery whose `webhook-timestamp` is more \
than 5 minutes off its own clock.

**A receiver's framework may refuse an event.** `express.json()` answers 413 to more than 100 KiB, unless its `limit` is raised; \
Fastify answers 400 to a key `__proto__`, and to a key `constructor` with `prototype` in it, unless `onProtoPoisoning` and \
`onConstructorPoisoning` are set.";

/// The type of a page for people.
const HTML: &str = "text/html; charset=utf-8";

/// The shape of errors outside any vendor's own paths.
type Common = asilichain::Errors;

type Routes = (
    health::Routes,
    metrics::Routes,
    asg::Routes,
    asilichain::WebhookRoutes,
    asilichain::EventRoutes,
    operator::Routes,
);

fn service() -> OpenApiService<Routes, Payloads> {
    let watched = (health::Routes::default(), metrics::Routes::default());
    let (webhooks, events) = (asilichain::WebhookRoutes, asilichain::EventRoutes);
    let routes = (watched.0, watched.1, asg::Routes, webhooks, events, operator::ROUTES);
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

/// The vendor on whose path something is published.
fn vendor_of(path: &str) -> &'static str {
    if path.starts_with("/v1/") { asg::NAME } else { asilichain::NAME }
}

/// A problem in the shape of the vendor whose path was asked for.
fn shape(path: &str, problem: &Problem, request_id: &str) -> Response {
    if path.starts_with("/v1/") {
        asg::shape(problem)
    } else if path.starts_with("/operator/") {
        failure::shape(problem, request_id)
    } else {
        asilichain::shape(problem, request_id)
    }
}

/// Every route.
pub fn routes(deps: Deps, config: &Config) -> impl Endpoint<Output = Response> + 'static {
    let mut pages = vec![
        ("/", Page::new(HTML, || Ok(pages::INDEX.to_owned()))),
        ("/docs", Page::new(HTML, docs)),
        ("/openapi.json", Page::new("application/json", contract)),
        ("/guide/config.toml", Page::new("text/plain; charset=utf-8", || Ok(DEFAULTS.to_owned()))),
    ];
    pages.extend(CHAPTERS.iter().map(|chapter| (chapter.path, Page::new(HTML, || chapter.page(ui::STYLE)))));
    let routes = service().into_endpoint().data(config.asilichain.clone()).data(deps.clone());
    let dialects =
        vec![asilichain::dialect(&config.asilichain, &config.delivery), asg::dialect(&config.asg, &config.delivery)];
    let dashboard = Dashboard::new(deps.clone(), dialects, config);
    let lines = Lines::new(deps.db.figures());
    let way = Arc::new(Way {
        pages,
        dashboard,
        limits: deps.limits,
        server: config.server.clone(),
        under_way: Places::default(),
        clock: deps.clock,
        lines,
        budgets: deps.budgets,
    });
    routes.around(move |routes, request: Request| {
        let way = Arc::clone(&way);
        async move { Ok::<_, poem::Error>(way.answer(&*routes, request).await) }
    })
}
