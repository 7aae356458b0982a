//! One exchange: the way of a request to its answer, whatever becomes of it.

use std::{
    net::IpAddr,
    sync::{Arc, OnceLock},
    time::Duration,
};

use poem::{
    Endpoint, IntoResponse, Request, Response,
    http::{HeaderValue, StatusCode, header},
};

use super::{
    allowed::ALLOWED,
    body::MaxBody,
    client, failure, head,
    line::{Line, Lines},
    pages::Page,
    places::{Place, Places},
    problem::Problem,
    publishing::{self, Form},
    quota::Spent,
    shape,
    ui::{self, Dashboard},
};
use crate::{
    clock::{SharedClock, Stopwatch},
    config::{Limits, Server},
    domain::{
        ids::{RequestId, TokenId},
        token::{Caller, Reach},
    },
    error::Error,
};

/// What is learnt of a request on its way, for its answer and its log line. Attached to it; cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Exchange(Arc<Learnt>);

#[derive(Debug, Default)]
struct Learnt {
    caller: OnceLock<(TokenId, Option<String>)>,
    spent: Spent,
}

impl Exchange {
    /// Whose token it brought.
    pub(super) fn is_of(&self, caller: &Caller) {
        let account = match &caller.reach {
            Reach::Account { id, .. } => Some(id.clone()),
            Reach::Platform(_) | Reach::Everything => None,
        };
        // A token is looked up once.
        let _ = self.0.caller.set((caller.token, account));
    }

    /// The token it brought, and the account which that is of, as far as there is one.
    pub(super) fn caller(&self) -> (Option<TokenId>, Option<&str>) {
        let caller = self.0.caller.get();
        (caller.map(|(token, _)| *token), caller.and_then(|(_, account)| account.as_deref()))
    }

    /// What it took of its token's quota.
    pub(super) fn spent(&self) -> &Spent {
        &self.0.spent
    }
}

/// What every request passes, besides the routes.
pub(super) struct Way {
    pub(super) pages: [(&'static str, Page); 3],
    pub(super) dashboard: Dashboard,
    pub(super) limits: Limits,
    pub(super) server: Server,
    /// Requests that clients behind trusted proxies have under way.
    pub(super) under_way: Places,
    pub(super) clock: SharedClock,
    pub(super) lines: Lines,
}

impl Way {
    /// Answers a request: by a page, by a route, or by a refusal in the vendor's shape.
    pub(super) async fn answer<R>(&self, routes: &impl Endpoint<Output = R>, mut request: Request) -> Response
    where
        R: IntoResponse,
    {
        let watch = Stopwatch::start();
        let request_id = RequestId::mint(self.clock.now()).to_string();
        let (method, path, form) =
            (request.method().clone(), request.uri().path().to_owned(), publishing::form(&request));
        let exchange = Exchange::default();
        request.set_data(exchange.clone());
        request.set_data(MaxBody(match form {
            Some(Form::Batch) => self.server.max_batch_bytes,
            Some(Form::One) | None => self.server.max_body_bytes,
        }));
        let has_body = request.headers().contains_key(header::TRANSFER_ENCODING)
            || request.header(header::CONTENT_LENGTH).is_some_and(|length| length != "0");
        let page = self.pages.iter().find(|(at, _)| *at == path);
        let client = client::address(&request, &self.server.trusted_proxies);
        let place = self.place(client, client::peer(&request));
        let too_many = place.as_ref().err().map_or(Ok(()), |error| Err(error.clone().into()));
        let checked = head::check(&request, &self.limits).and(too_many);
        let answer = match (checked, page) {
            (Err(refused), _) => Err(refused),
            (Ok(()), Some((_, page))) => page.call(request).await,
            (Ok(()), None) if ui::is_at(&path) => Ok(self.dashboard.answer(request, &request_id).await),
            (Ok(()), None) => routes.call(request).await.map(IntoResponse::into_response),
        };
        let mut code = None;
        let response = answer.unwrap_or_else(|error| {
            let problem = Problem::of(&error);
            code = Some(failure::code(&problem));
            let mut refusal = refuse(&path, &request_id, &problem);
            if has_body && refusal.status().is_client_error() {
                // The body may not have been read: what follows on this connection would not be a request.
                refusal.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            refusal
        });
        self.lines.write(&Line {
            request_id: &request_id,
            method: &method,
            path: &path,
            form,
            status: response.status(),
            error: code,
            took: watch.elapsed(),
            client,
            exchange: &exchange,
        });
        exchange.spent().show(with_request_id(response, &request_id))
    }
}

impl Way {
    /// A place for a request that a trusted proxy passes on, unless its client has as many under way as it may have
    /// connections; connections of others are counted when they are accepted.
    fn place(&self, client: Option<IpAddr>, peer: Option<IpAddr>) -> Result<Option<Place>, Error> {
        let Some(client) = client.filter(|client| Some(*client) != peer) else { return Ok(None) };
        let place = self.under_way.take(client, self.limits.connections_per_client);
        place.map(Some).ok_or(Error::TooMany(Duration::from_secs(1)))
    }
}

/// An error in the shape of the vendor whose path was asked for.
fn refuse(path: &str, request_id: &str, problem: &Problem) -> Response {
    if let Some(Error::Internal(reason)) = &problem.error {
        tracing::error!(request.id = request_id, reason, "a request failed by our fault");
    }
    let mut response = shape(path, problem, request_id);
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
