//! The dashboard: pages for people, made on the server. They do the same things as the API, with the same rights.
//!
//! A page loads nothing from elsewhere, and holds no script and no style in itself: the policy of every answer forbids
//! it.

mod account;
mod accounts;
mod alerts;
mod alike;
mod assets;
mod attempts;
mod audit;
mod chart;
mod csv;
mod deliveries;
mod delivery;
mod delivery_choice;
mod events;
mod fields;
mod form_once;
mod format;
mod frame;
mod link;
mod new_account;
mod once;
mod overview;
mod overview_cache;
mod query_string;
mod recoveries;
mod refusal;
mod render;
mod search;
mod session;
mod signature;
mod state;
mod system;
mod times;
mod views;
mod visit;
mod webhook;
mod webhooks;

use std::sync::Arc;

use poem::{
    Endpoint, EndpointExt, Request, Response, Result, Route,
    endpoint::BoxEndpoint,
    get, handler,
    http::{HeaderValue, Method, StatusCode, header},
};

pub(crate) use self::assets::{ICON, STYLE};
use self::{
    fields::Fields,
    refusal::refusal,
    render::{compressed, go, sealed},
    state::Shared,
    visit::Visit,
};
use crate::{
    app::App,
    config::Config,
    http::{budget::Budgets, context::RequestContext, file_body},
};

/// The header that an open page sends when it asks for itself again.
const REFRESH: &str = "ngoma-refresh";
/// For thirty days a browser that saw a page by TLS of the server itself asks for none without TLS. That is longer than
/// people stay away, and short enough for an operator who gives TLS up.
const ONLY_TLS: &str = "max-age=2592000";

/// The dashboard, as an endpoint that answers every request below `/ui`.
pub(crate) struct Dashboard {
    shared: Shared,
    routes: BoxEndpoint<'static>,
}

/// Whether a path is the dashboard's.
pub(crate) fn is_at(path: &str) -> bool {
    path == "/ui" || path.starts_with("/ui/")
}

impl Dashboard {
    pub(crate) fn new(app: App, budgets: Arc<Budgets>, config: &Config) -> Self {
        let shared = Shared::new(app, budgets, config);
        let routes = Route::new()
            .at("/ui/sign-in", get(session::sign_in).post(session::enter))
            .at("/ui/enter", get(up).post(link::open))
            .at("/ui/enter/:key", get(link::look))
            .at("/ui/sign-out", get(up).post(session::sign_out))
            .at("/ui/made/:form", get(once::show))
            .at("/ui", get(overview::show))
            .at("/ui/search", get(search::find))
            .at("/ui/webhooks", get(webhooks::list))
            .at("/ui/webhooks/new", get(webhooks::begin).post(webhooks::register))
            .at("/ui/webhooks/:id", get(webhook::show))
            .at("/ui/webhooks/:id/:verb", get(up).post(webhook::act))
            .at("/ui/deliveries", get(deliveries::list))
            .at("/ui/deliveries.csv", get(delivery_choice::export))
            .at("/ui/deliveries/replay", get(up).post(delivery_choice::replay))
            .at("/ui/recover", get(deliveries::ask).post(deliveries::start))
            .at("/ui/recoveries", get(recoveries::past))
            .at("/ui/recoveries/:id", get(recoveries::watch))
            .at("/ui/recoveries/:id/cancel", get(up).post(recoveries::cancel))
            .at("/ui/accounts", get(accounts::list).post(accounts::create_account))
            .at("/ui/accounts/:id", get(account::show))
            .at("/ui/accounts/:id/delete", get(account::ask).post(account::erase))
            .at("/ui/accounts/:id/:verb", get(up).post(account::act))
            .at("/ui/new-account", get(new_account::begin).post(new_account::make))
            .at("/ui/tokens", get(to_accounts).post(accounts::create_token))
            .at("/ui/tokens/:id/revoke", get(to_accounts).post(accounts::revoke))
            .at("/ui/alerts", get(alerts::list))
            .at("/ui/alerts/test-mail", get(up).post(alerts::test_mail))
            .at("/ui/audit", get(audit::list))
            .at("/ui/system", get(system::show))
            .at("/ui/system/backup", get(up).post(system::back_up))
            .at("/ui/system/test-channel", get(up).post(system::test_channel))
            .at("/ui/system/backups/:name", get(system::download))
            .at("/ui/system/backups/:name/key", get(system::download_key))
            .at("/ui/events", get(events::list))
            .at("/ui/events/:id", get(events::show))
            .at("/ui/events/:id/body", get(events::whole))
            .at("/ui/deliveries/:id", get(delivery::show))
            .at("/ui/deliveries/:id/body", get(delivery::whole))
            .at("/ui/deliveries/:id/:verb", get(up).post(delivery::act));
        Self { routes: routes.data(shared.clone()).map_to_response().boxed(), shared }
    }

    /// Answers a request. A refusal is a page too.
    async fn answer(&self, request: Request, context: &RequestContext) -> Response {
        let refused = |visit: Option<&Visit>, error: &poem::Error| refusal(&self.shared, visit, error, context.id());
        if let Some(file) = self.shared.assets.at(request.uri().path()) {
            return file.call(request).await.unwrap_or_else(|error| refused(None, &error));
        }
        let has_form = request.method() == Method::POST;
        let visit = Visit::of(&request, &self.shared.app);
        // The form of a visitor who is not signed in is not read.
        let is_stranger = matches!(visit, Ok(None));
        let mut response = match visit {
            Ok(visit) => match self.admit(request, context, visit.clone()).await {
                Ok(response) => response,
                // The page of a session that has ended shows no more than a page without a session.
                Err(error) if error.status() == StatusCode::UNAUTHORIZED => refused(None, &error),
                Err(error) => refused(visit.as_ref(), &error),
            },
            Err(error) => refused(None, &error.into()),
        };
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self.shared.only_tls {
            response.headers_mut().insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static(ONLY_TLS));
        }
        if has_form && (is_stranger || response.status().is_client_error()) {
            // The form may be unread: the next bytes of this connection would not be a request.
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    /// Answers a visit that is signed in, or that comes to sign in.
    async fn admit(&self, mut request: Request, context: &RequestContext, visit: Option<Visit>) -> Result<Response> {
        let open = is_open(request.uri().path());
        match &visit {
            None if !open => return Ok(session::to_sign_in(&request)),
            Some(visit) if request.method().is_safe() && request.headers().contains_key(REFRESH) => {
                session::spend(&self.shared.refreshes, visit.caller.token)?;
            }
            Some(visit) => session::spend(&self.shared.quota, visit.caller.token)?,
            None => {}
        }
        if let Some(visit) = &visit {
            context.is_of(&visit.caller);
            if request.method().is_safe() {
                context.begin_read(&self.shared.budgets).await?;
                // The session may have ended while this waited.
                self.shared.app.check_caller(&visit.caller)?;
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

impl Endpoint for Dashboard {
    type Output = Response;

    async fn call(&self, request: Request) -> Result<Response> {
        let context = RequestContext::of(&request)?.clone();
        let is_asset = self.shared.assets.at(request.uri().path()).is_some();
        let zips = request.header("accept-encoding").is_some_and(|takes| takes.contains("gzip"));
        let response = sealed(self.answer(request, &context).await);
        Ok(if zips && !is_asset && !file_body::is_in_pieces(&response) { compressed(response).await } else { response })
    }
}

/// Whether a page is for people who are not signed in.
fn is_open(path: &str) -> bool {
    path == "/ui/sign-in" || path == "/ui/enter" || path.starts_with("/ui/enter/")
}

/// Leads from an address that takes forms to the page above it.
#[handler]
fn up(request: &Request) -> Response {
    go(request.uri().path().rsplit_once('/').map_or("/ui", |(above, _)| above))
}

/// Leads from an address of a form about tokens to the page of accounts.
#[handler]
fn to_accounts() -> Response {
    go("/ui/accounts")
}
