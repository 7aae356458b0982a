//! The way of every request to its answer: id, limits, door, refusal, log line.

use std::{net::IpAddr, sync::Arc, time::Duration};

use hyper::body::Bytes;
use poem::{
    Endpoint, Request, Response,
    http::{HeaderValue, Method, StatusCode, header, uri::Scheme},
};

use super::{
    access_log::{AccessLog, Entry},
    asset::SharedBytes,
    body::{BatchLimits, BodyLimits},
    budget::{Budgets, Part},
    client,
    connection_slots::{ConnectionSlot, ConnectionSlots},
    context::{BodyUnread, Door, Publishing, RequestContext, answers_unread},
    error::{Problem, code},
    file_body, header_limits,
};
use crate::{
    clock::{SharedClock, Stopwatch},
    config::{Limits, Server},
    domain::ids::RequestId,
    error::{Error, Result},
    metrics::Metrics,
};

/// Answers up to this size, in bytes, are not counted: a connection buffers them anyway.
const SMALL_ANSWER: usize = 16 << 10;

/// An answer whose bytes count until its client has taken them.
struct Counted {
    bytes: Bytes,
    _part: Part,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// The doors to which the pipeline leads.
pub(crate) struct Doors<E> {
    /// Finds the door of a request.
    pub(crate) find: fn(&Method, &str) -> Door,
    /// Answers at the door that the [`RequestContext`] names.
    pub(crate) answer: E,
    /// Finds the status and the sentence for an error.
    pub(crate) explain: fn(&poem::Error) -> Problem,
    /// Gives a problem the shape that the door's errors have; it also gets the path.
    pub(crate) refuse: fn(&RequestContext, &str, &Problem) -> Response,
}

/// The steps that every request passes before and after its door.
pub(crate) struct Pipeline<E> {
    doors: Doors<E>,
    limits: Limits,
    server: Server,
    /// Requests in progress of clients behind trusted proxies.
    in_progress: ConnectionSlots,
    clock: SharedClock,
    log: AccessLog,
    budgets: Arc<Budgets>,
}

impl<E: Endpoint<Output = Response>> Endpoint for Pipeline<E> {
    type Output = Response;

    async fn call(&self, request: Request) -> poem::Result<Response> {
        Ok(self.answer(request).await)
    }
}

impl<E: Endpoint<Output = Response>> Pipeline<E> {
    /// A pipeline that leads to these doors.
    pub(crate) fn new(
        doors: Doors<E>,
        limits: Limits,
        server: Server,
        clock: SharedClock,
        figures: &Arc<Metrics>,
        budgets: Arc<Budgets>,
    ) -> Self {
        let (in_progress, log) = (ConnectionSlots::default(), AccessLog::new(figures));
        Self { doors, limits, server, in_progress, clock, log, budgets }
    }

    async fn answer(&self, mut request: Request) -> Response {
        let (stopwatch, id) = (Stopwatch::start(), RequestId::mint(self.clock.now()).to_string());
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let scheme = (*request.scheme() == Scheme::HTTPS).then_some("https");
        let door = (self.doors.find)(&method, &path);
        let context = RequestContext::new(id, door);
        request.set_data(context.clone());
        request.set_data(self.body_limits(door));
        let has_body = request.headers().contains_key(header::TRANSFER_ENCODING)
            || request.header(header::CONTENT_LENGTH).is_some_and(|length| length != "0");
        let client = client::address(&request, &self.server.trusted_proxies);
        let slot = self.slot(client.filter(|_| !door.is_monitoring()), client::peer(&request));
        let too_many = slot.as_ref().err().map_or(Ok(()), |error| Err(error.clone().into()));
        let answer = match header_limits::check(&request, &self.limits).and(too_many) {
            Ok(()) => self.doors.answer.call(request).await,
            Err(refused) => Err(refused),
        };
        let answer = match answer {
            // The answer to one event has a few bytes.
            Ok(response) if door.publishing() != Some(Publishing::One) && !door.is_monitoring() => {
                count_answer(&context, &self.budgets, response).await.map_err(Into::into)
            }
            answer => answer,
        };
        let mut error = None;
        let unread = has_body && !context.body_is_read();
        let mut response = answer.unwrap_or_else(|refused| {
            let problem = (self.doors.explain)(&refused);
            error = Some(code(&problem));
            let mut refusal = self.refuse(&context, &path, &problem);
            if unread || has_body && refusal.status().is_client_error() {
                // The body may be unread: the next bytes of this connection would not be a request.
                refusal.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            refusal
        });
        if unread {
            response.set_data(BodyUnread);
        }
        self.log.write(&Entry {
            context: &context,
            method: &method,
            scheme,
            path: &path,
            status: response.status(),
            error,
            took: stopwatch.elapsed(),
            client,
        });
        context.token_limit().show(with_request_id(response, context.id()))
    }

    fn body_limits(&self, door: Door) -> BodyLimits {
        let event_bytes = self.server.max_body_bytes;
        let (bytes, batch) = match door.publishing() {
            Some(Publishing::Batch) => {
                let events = self.limits.events_per_batch;
                (self.server.max_batch_bytes, Some(BatchLimits { events, event_bytes }))
            }
            Some(Publishing::One) | None => (event_bytes, None),
        };
        BodyLimits { bytes, batch, budgets: Arc::clone(&self.budgets) }
    }

    /// A slot for a request that a trusted proxy passes on, unless its client has as many requests in progress as it
    /// may have connections. Clients without a proxy are counted when their connection is accepted.
    fn slot(&self, client: Option<IpAddr>, peer: Option<IpAddr>) -> Result<Option<ConnectionSlot>> {
        let Some(client) = client.filter(|client| Some(*client) != peer) else { return Ok(None) };
        let slot = self.in_progress.take(client, self.limits.connections_per_client);
        slot.map(Some).ok_or_else(|| Error::TooMany {
            wait: Duration::from_secs(1),
            message: "too many requests of this client are in progress: wait 1 s".to_owned(),
        })
    }

    /// A problem in the shape of the door's errors, with the headers that its status asks for.
    fn refuse(&self, context: &RequestContext, path: &str, problem: &Problem) -> Response {
        if let Some(Error::Internal(reason) | Error::Unreadable(reason)) = &problem.error {
            tracing::error!(request.id = context.id(), reason, "a request failed by our fault");
        }
        let mut response = (self.doors.refuse)(context, path, problem);
        let headers = response.headers_mut();
        match problem.status {
            StatusCode::UNAUTHORIZED => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            StatusCode::TOO_MANY_REQUESTS => {
                if let Some(Error::TooMany { wait, .. }) = problem.error {
                    headers.insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)));
                }
            }
            StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            _ => {}
        }
        response
    }
}

/// Counts a large answer until its client has taken it. Before that, it waits for earlier answers of the same account.
async fn count_answer(context: &RequestContext, budgets: &Budgets, mut response: Response) -> Result<Response> {
    if file_body::is_in_pieces(&response) {
        return Ok(response);
    }
    let (Some(holder), None) = (context.holder(), response.data::<SharedBytes>()) else { return Ok(response) };
    let bytes = response.take_body().into_bytes().await.unwrap_or_default();
    if bytes.len() <= SMALL_ANSWER {
        response.set_body(bytes);
        return Ok(response);
    }
    let part = budgets.answer_bytes.take(&holder, bytes.len(), budgets.client_timeout).await;
    let part = part.ok_or_else(answers_unread)?;
    response.set_body(Bytes::from_owner(Counted { bytes, _part: part }));
    Ok(response)
}

fn with_request_id(mut response: Response, id: &str) -> Response {
    if let Ok(id) = HeaderValue::from_str(id) {
        response.headers_mut().insert("x-request-id", id);
    }
    response
}
