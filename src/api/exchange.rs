//! One exchange: the way of a request to its answer, whatever becomes of it.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use hyper::body::Bytes;
use poem::{
    Endpoint, IntoResponse, Request, Response,
    http::{HeaderValue, StatusCode, header},
};

use super::{
    allowed::ALLOWED,
    batch,
    body::BodyLimits,
    budget::{Budgets, Part},
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
    error::{Error, Result},
};

/// Answers up to this size, in bytes, are not counted: what a connection buffers anyway.
const SMALL_ANSWER: usize = 16 << 10;

/// What is learnt of a request on its way, for its answer and its log line. Attached to it; cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Exchange(Arc<Learnt>);

#[derive(Debug, Default)]
struct Learnt {
    caller: OnceLock<(TokenId, Option<String>)>,
    spent: Spent,
    held: Mutex<Held>,
}

/// What the request holds of the budgets.
#[derive(Debug, Default)]
struct Held {
    body: Option<Part>,
    read: Option<Part>,
}

/// An answer that counts until its client has taken it.
struct Counted {
    bytes: Bytes,
    _part: Part,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Marks an answer whose bytes all who ask for it share.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shared;

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

    /// Who holds what it takes of the budgets: the account, or a token that belongs to none.
    pub(super) fn holder(&self) -> Option<String> {
        let (token, account) = self.0.caller.get()?;
        Some(account.clone().unwrap_or_else(|| token.to_string()))
    }

    /// What it took of its token's quota.
    pub(super) fn spent(&self) -> &Spent {
        &self.0.spent
    }

    /// Holds this much more for its body.
    pub(super) fn count_body(&self, part: Part) {
        match &mut self.held().body {
            Some(held) => held.merge(part),
            held => *held = Some(part),
        }
    }

    /// What it holds for its body.
    pub(super) fn take_body(&self) -> Option<Part> {
        self.held().body.take()
    }

    /// Waits until few answers of its token are being made. Without this, many that are made at once and cannot be sent
    /// would fill the memory.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if that takes longer than `client_timeout`.
    pub(super) async fn begin_read(&self, budgets: &Budgets) -> Result<()> {
        let Some(holder) = self.holder() else { return Ok(()) };
        let part = budgets.reads.take(&holder, 1, budgets.client_timeout).await.ok_or_else(untaken)?;
        self.held().read = Some(part);
        Ok(())
    }

    /// Counts a large answer until its client has taken it; before, it waits for those that its token has not taken.
    async fn count_answer(&self, budgets: &Budgets, mut response: Response) -> Result<Response> {
        let (Some(holder), None) = (self.holder(), response.data::<Shared>()) else { return Ok(response) };
        let bytes = response.take_body().into_bytes().await.unwrap_or_default();
        if bytes.len() <= SMALL_ANSWER {
            response.set_body(bytes);
            return Ok(response);
        }
        let part = budgets.answer_bytes.take(&holder, bytes.len(), budgets.client_timeout).await.ok_or_else(untaken)?;
        response.set_body(Bytes::from_owner(Counted { bytes, _part: part }));
        Ok(response)
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn untaken() -> Error {
    let message =
        "the earlier answers to this token have not been read yet (limits.answer_bytes): read them, then ask again";
    Error::Unavailable(message.to_owned())
}

/// What every request passes, besides the routes.
pub(super) struct Way {
    pub(super) pages: Vec<(&'static str, Page)>,
    pub(super) dashboard: Dashboard,
    pub(super) limits: Limits,
    pub(super) server: Server,
    /// Requests that clients behind trusted proxies have under way.
    pub(super) under_way: Places,
    pub(super) clock: SharedClock,
    pub(super) lines: Lines,
    pub(super) budgets: Arc<Budgets>,
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
        request.set_data(self.body_limits(form));
        let has_body = request.headers().contains_key(header::TRANSFER_ENCODING)
            || request.header(header::CONTENT_LENGTH).is_some_and(|length| length != "0");
        let page = self.pages.iter().find(|(at, _)| *at == path);
        let client = client::address(&request, &self.server.trusted_proxies);
        // Watching must not fail while somebody else asks much.
        let is_watching = path == "/metrics" || path.starts_with("/health/");
        let place = self.place(client.filter(|_| !is_watching), client::peer(&request));
        let too_many = place.as_ref().err().map_or(Ok(()), |error| Err(error.clone().into()));
        let checked = head::check(&request, &self.limits).and(too_many);
        let answer = match (checked, page) {
            (Err(refused), _) => Err(refused),
            (Ok(()), Some((_, page))) => page.call(request).await,
            (Ok(()), None) if ui::is_at(&path) => Ok(self.dashboard.answer(request, &request_id).await),
            (Ok(()), None) => routes.call(request).await.map(IntoResponse::into_response),
        };
        let answer = match answer {
            // An event alone is answered in a few bytes.
            Ok(response) if form != Some(Form::One) && !is_watching => {
                exchange.count_answer(&self.budgets, response).await.map_err(Into::into)
            }
            answer => answer,
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

    fn body_limits(&self, form: Option<Form>) -> BodyLimits {
        let event_bytes = self.server.max_body_bytes;
        let (bytes, batch) = match form {
            Some(Form::Batch) => {
                let events = self.limits.events_per_batch;
                (self.server.max_batch_bytes, Some(batch::Limits { events, event_bytes }))
            }
            Some(Form::One) | None => (event_bytes, None),
        };
        BodyLimits { bytes, batch, budgets: Arc::clone(&self.budgets) }
    }
}

impl Way {
    /// A place for a request that a trusted proxy passes on, unless its client has as many under way as it may have
    /// connections; connections of others are counted when they are accepted.
    fn place(&self, client: Option<IpAddr>, peer: Option<IpAddr>) -> Result<Option<Place>, Error> {
        let Some(client) = client.filter(|client| Some(*client) != peer) else { return Ok(None) };
        let place = self.under_way.take(client, self.limits.connections_per_client);
        place.map(Some).ok_or_else(|| Error::TooMany {
            wait: Duration::from_secs(1),
            message: "too many requests of this client are in progress: wait 1 s".to_owned(),
        })
    }
}

/// An error in the shape of the vendor whose path was asked for.
fn refuse(path: &str, request_id: &str, problem: &Problem) -> Response {
    if let Some(Error::Internal(reason) | Error::Unreadable(reason)) = &problem.error {
        tracing::error!(request.id = request_id, reason, "a request failed by our fault");
    }
    let mut response = shape(path, problem, request_id);
    let headers = response.headers_mut();
    match problem.status {
        StatusCode::UNAUTHORIZED => drop(headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))),
        StatusCode::TOO_MANY_REQUESTS => {
            if let Some(Error::TooMany { wait, .. }) = problem.error {
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
