//! The dashboard: pages for people, made on the server. They do what the API does, by the same verbs, within the same walls.
//!
//! Nothing is loaded from elsewhere and nothing stands in a page that runs or styles: the policy of every answer forbids it.

mod accounts;
mod alerts;
mod audit;
mod chart;
mod deliveries;
mod delivery;
mod events;
mod fields;
mod frame;
mod made;
mod overview;
mod query;
mod session;
mod system;
mod views;
mod webhook;
mod webhooks;
mod words;

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use askama::Template;
use flate2::{Compression, write::GzEncoder};
use poem::{
    Endpoint, EndpointExt, Request, Response, Result, Route,
    endpoint::BoxEndpoint,
    get, handler,
    http::{HeaderValue, Method, StatusCode, header},
};

pub(super) use self::frame::STYLE;
use self::{
    fields::Fields,
    frame::{Assets, Frame, go},
    made::Made,
    overview::Overviews,
    session::Visit,
    system::Backups,
};
use super::{Deps, dialect::Dialect, exchange::Exchange, operator, problem::Problem, quota::Quota};
use crate::{
    config::{Config, Setting, Storage},
    domain::{
        grant::Grant,
        ids::EndpointId,
        token::{Scope, Walls},
    },
    error::Error,
};

/// What a page may load and where its forms may go: this server alone.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; \
                      form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// What an open page says when it asks for itself again.
const REFRESH: &str = "ngoma-refresh";

/// Pages shorter than this are sent as they are.
const WORTH_COMPRESSING: usize = 1024;

/// What the pages need.
#[derive(Clone)]
pub(super) struct Door(Arc<Parts>);

/// What every page shares.
pub(super) struct Parts {
    deps: Deps,
    dialects: Vec<Dialect>,
    assets: Assets,
    quota: Quota,
    /// What open pages may ask for by themselves: it is not taken from what people do.
    refreshes: Quota,
    made: Made,
    overviews: Overviews,
    backups: Backups,
    /// The machine's uptime when it began.
    started: Duration,
    storage: Storage,
    settings: Vec<Setting>,
    /// People reach this server by https: cookies are for TLS only.
    secure: bool,
    /// Whether there is a mail server.
    mails: bool,
}

impl std::ops::Deref for Door {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

/// The dashboard, as an endpoint that answers every request below `/ui`.
pub(super) struct Dashboard {
    door: Door,
    routes: BoxEndpoint<'static>,
}

/// Whether a path is the dashboard's.
pub(super) fn is_at(path: &str) -> bool {
    path == "/ui" || path.starts_with("/ui/")
}

impl Dashboard {
    /// The dashboard of these vendors.
    pub(super) fn new(deps: Deps, dialects: Vec<Dialect>, config: &Config) -> Self {
        let quota = || Quota::per_minute(deps.limits.requests_per_minute);
        let door = Door(Arc::new(Parts {
            quota: quota(),
            refreshes: quota(),
            started: deps.clock.uptime(),
            deps,
            dialects,
            assets: Assets::new(),
            made: Made::default(),
            overviews: Overviews::default(),
            backups: Backups::default(),
            storage: config.storage.clone(),
            settings: config.shown(),
            secure: config.server.public_url.starts_with("https://"),
            mails: !config.alerts.smtp_url.is_empty(),
        }));
        let routes = Route::new()
            .at("/ui/sign-in", get(session::sign_in).post(session::enter))
            .at("/ui/sign-out", get(up).post(session::sign_out))
            .at("/ui/made/:form", get(made::show))
            .at("/ui", get(overview::show))
            .at("/ui/webhooks", get(webhooks::list))
            .at("/ui/webhooks/new", get(webhooks::begin).post(webhooks::register))
            .at("/ui/webhooks/:id", get(webhook::show))
            .at("/ui/webhooks/:id/:verb", get(up).post(webhook::act))
            .at("/ui/deliveries", get(deliveries::list))
            .at("/ui/retry", get(deliveries::ask).post(deliveries::start))
            .at("/ui/retries", get(deliveries::runs))
            .at("/ui/retries/:id", get(deliveries::watch))
            .at("/ui/retries/:id/cancel", get(up).post(deliveries::cancel))
            .at("/ui/accounts", get(accounts::list).post(accounts::create_account))
            .at("/ui/tokens", get(to_accounts).post(accounts::create_token))
            .at("/ui/tokens/:id/revoke", get(to_accounts).post(accounts::revoke))
            .at("/ui/alerts", get(alerts::list))
            .at("/ui/alerts/test-mail", get(up).post(alerts::test_mail))
            .at("/ui/audit", get(audit::list))
            .at("/ui/system", get(system::show))
            .at("/ui/system/backup", get(up).post(system::back_up))
            .at("/ui/events", get(events::list))
            .at("/ui/events/:id", get(events::show))
            .at("/ui/events/:id/body", get(events::whole))
            .at("/ui/deliveries/:id", get(delivery::show))
            .at("/ui/deliveries/:id/body", get(delivery::whole))
            .at("/ui/deliveries/:id/:verb", get(up).post(delivery::act));
        Self { routes: routes.data(door.clone()).map_to_response().boxed(), door }
    }

    /// Answers a request: every refusal is a page too.
    pub(super) async fn answer(&self, request: Request, request_id: &str) -> Response {
        let zipped = request.header("accept-encoding").is_some_and(|takes| takes.contains("gzip"));
        if let Some(file) = self.door.assets.at(request.uri().path()) {
            let sent = file.call(request).await;
            return sealed(sent.unwrap_or_else(|error| refusal(&self.door, None, &error, request_id)));
        }
        let has_form = request.method() == Method::POST;
        let visit = Visit::of(&request, &self.door);
        let response = match visit {
            Ok(visit) => match self.admit(request, visit.clone()).await {
                Ok(response) => response,
                // A session that ended meanwhile is shown as little as a stranger.
                Err(error) if error.status() == StatusCode::UNAUTHORIZED => {
                    refusal(&self.door, None, &error, request_id)
                }
                Err(error) => refusal(&self.door, visit.as_ref(), &error, request_id),
            },
            Err(error) => refusal(&self.door, None, &error.into(), request_id),
        };
        let mut response = sealed(response);
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if has_form && response.status().is_client_error() {
            // The form may not have been read: what follows on this connection would not be a request.
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        if zipped { compressed(response).await } else { response }
    }

    /// Lets in whoever is signed in, and whoever comes to sign in.
    async fn admit(&self, mut request: Request, visit: Option<Visit>) -> Result<Response> {
        let open = request.uri().path() == "/ui/sign-in";
        match &visit {
            None if !open => return Ok(session::to_sign_in(&request)),
            Some(visit) if request.method().is_safe() && request.headers().contains_key(REFRESH) => {
                session::spend(&self.door.refreshes, visit.caller.token)?;
            }
            Some(visit) => session::spend(&self.door.quota, visit.caller.token)?,
            None => {}
        }
        if let Some((visit, exchange)) = visit.as_ref().zip(request.data::<Exchange>()) {
            exchange.is_of(&visit.caller);
            if request.method().is_safe() {
                exchange.begin_read(&self.door.deps.budgets).await?;
                // It may have waited.
                self.door.deps.db.check(visit.caller.grant())?;
            }
        }
        if request.method() == Method::POST {
            let (whole, mut body) = request.split();
            let fields = Fields::read(&whole, &mut body).await?;
            if let Some(visit) = visit.as_ref().filter(|_| !open) {
                visit.check_form(&whole, &fields)?;
            }
            request = whole;
            request.set_data(fields);
        }
        if let Some(visit) = visit {
            request.set_data(visit);
        }
        self.routes.call(request).await
    }
}

impl Parts {
    /// How long the server has been running.
    fn uptime(&self) -> Duration {
        self.deps.clock.uptime().saturating_sub(self.started)
    }

    /// What the database takes on the disk, with its log.
    fn database_bytes(&self) -> u64 {
        let size = |path: &Path| fs::metadata(path).map_or(0, |file| file.len());
        let log = PathBuf::from(format!("{}-wal", self.storage.path.display()));
        size(&self.storage.path) + size(&log)
    }

    /// The vendor of this profile.
    fn dialect(&self, profile: &str) -> Result<&Dialect, Error> {
        let found = self.dialects.iter().find(|dialect| dialect.profile.name == profile);
        found.ok_or_else(|| Error::Internal(format!("no profile '{profile}'")))
    }

    /// The caller's right and walls, narrowed to the vendor of the webhook that a path names, and that webhook.
    fn webhook(&self, visit: &Visit, written: &str) -> Result<(Grant, Walls, EndpointId), Error> {
        let (grant, walls) = visit.caller.horizon(Scope::Webhooks)?;
        let (id, walls) = operator::webhook(&self.deps.profiles, &walls, written)?;
        Ok((grant, walls, id))
    }

    /// The id of an endpoint, as its vendor writes it.
    fn written(&self, profile: &str, id: EndpointId) -> String {
        operator::on_wire(&self.deps.profiles, profile, id)
    }
}

/// From an address that takes forms to the page above it.
#[handler]
fn up(request: &Request) -> Response {
    go(request.uri().path().rsplit_once('/').map_or("/ui", |(above, _)| above))
}

/// The same, where the page above is another.
#[handler]
fn to_accounts() -> Response {
    go("/ui/accounts")
}

#[derive(Template)]
#[template(path = "refusal.html", config = "src/api/ui/askama.toml")]
struct Refusal<'a> {
    frame: Frame<'a>,
    title: &'static str,
    message: String,
}

#[derive(Template)]
#[template(path = "closed.html", config = "src/api/ui/askama.toml")]
struct Closed<'a> {
    assets: &'a Assets,
    title: &'static str,
    message: String,
}

/// A page that says what is in the way, and what to do.
fn refusal(door: &Door, visit: Option<&Visit>, error: &poem::Error, request_id: &str) -> Response {
    let problem = Problem::of(error);
    if let Some(Error::Internal(reason)) = &problem.error {
        tracing::error!(request.id = request_id, reason, "a page failed by our fault");
    }
    let title = match problem.status {
        StatusCode::FORBIDDEN if problem.error.is_none() => "This form was not taken",
        StatusCode::FORBIDDEN => "Not with this token",
        StatusCode::NOT_FOUND => "Not here",
        StatusCode::TOO_MANY_REQUESTS => "A moment, please",
        StatusCode::SERVICE_UNAVAILABLE => "Not right now",
        status if status.is_server_error() => "Something went wrong",
        _ => "That cannot be done",
    };
    let mut message = problem.message;
    if problem.status.is_server_error() {
        message = format!("{message} ({request_id})");
    }
    let made = match visit {
        Some(visit) => frame::page(&Refusal { frame: Frame::new(door, visit, ""), title, message }),
        None => frame::page(&Closed { assets: &door.assets, title, message }),
    };
    let mut response = made.unwrap_or_default();
    response.set_status(problem.status);
    response
}

/// An answer with the headers that keep others out of it.
fn sealed(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in [
        ("content-security-policy", POLICY),
        ("x-content-type-options", "nosniff"),
        // Not 'no-referrer': then a browser would not say where a form comes from.
        ("referrer-policy", "same-origin"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// A page in gzip. Other sites cannot make a browser ask for one with its cookie, so its length tells them nothing.
async fn compressed(mut response: Response) -> Response {
    let text = response.take_body().into_bytes().await.unwrap_or_default();
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    if text.len() < WORTH_COMPRESSING {
        response.set_body(text);
        return response;
    }
    let plain = text.clone();
    let zip = tokio::task::spawn_blocking(move || {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&plain)?;
        encoder.finish()
    });
    if let Ok(Ok(zipped)) = zip.await {
        response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        response.set_body(zipped);
    } else {
        response.set_body(text);
    }
    response
}
