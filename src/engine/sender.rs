//! One POST by ureq. Its result is a value: nothing a receiver does is an error of this server. ureq never leaves this
//! folder.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    io::{self, Read},
    path::Path,
    time::Duration,
};

use ureq::{Agent, Body, SendBody, http::Response};

use super::{
    dial::Dialler,
    egress::Guard,
    failure::{self, failed},
    progress::{self, Noted, Phase},
    tls,
};
use crate::{
    clock::Stopwatch,
    domain::{
        attempt_headers::{ACCEPT, USER_AGENT},
        delivery::{Answer, Failure, MAX_KEPT_ANSWER, Outcome},
        failure_details::FailureDetails,
    },
    error::Result,
};

/// Kept connections are divided into shelves by receiver: at every POST ureq walks over a whole pool, and takes time by
/// the square of its receivers.
const MOST_SHELVES: usize = 64;
/// Most connections kept open in a shelf, and to one receiver.
const IN_A_SHELF: usize = 64;
/// Connections kept open for each attempt that may be in flight.
const IDLE_FOR_AN_ATTEMPT: usize = 4;
/// A connection that was idle for longer is not used again.
const IDLE_AGE: Duration = Duration::from_secs(15);
/// How long the body of an answer may take after its status.
const READ_ANSWER: Duration = Duration::from_secs(1);

/// A POST to make.
#[derive(Debug)]
pub(super) struct Post<'a> {
    pub(super) url: &'a str,
    /// Names in the letter case in which they are sent.
    pub(super) headers: &'a [(&'a str, String)],
    /// In two parts, so that a large one is not copied.
    pub(super) body: [&'a [u8]; 2],
    pub(super) timeout: Duration,
}

/// Reads both parts of a body as one: if they fit into a packet, they are sent in one.
struct Parts<'a>([&'a [u8]; 2]);

impl Read for Parts<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let [head, rest] = &mut self.0;
        let first = head.read(into)?;
        Ok(first + rest.read(&mut into[first..])?)
    }
}

/// The end of a POST.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) outcome: Outcome,
    /// Why it failed, if it did.
    pub(super) details: FailureDetails,
    /// The text of `Retry-After`, which the caller interprets.
    pub(super) retry_after: Option<String>,
}

/// Makes POSTs, on the calling thread.
#[derive(Debug)]
pub(super) struct Sender {
    pooled: Vec<Agent>,
    fresh: Agent,
}

/// Most connections kept open when this many attempts are made at the same time.
pub fn kept_connections(attempts: usize) -> usize {
    let (shelves, each) = shelves(attempts);
    shelves * each
}

/// How many shelves there are for this many attempts, and how many connections each keeps.
fn shelves(attempts: usize) -> (usize, usize) {
    let kept = (attempts * IDLE_FOR_AN_ATTEMPT).clamp(1, MOST_SHELVES * IN_A_SHELF);
    let shelves = kept.div_ceil(IN_A_SHELF);
    (shelves, kept / shelves)
}

impl Sender {
    /// A sender for this many attempts at the same time.
    ///
    /// # Errors
    /// A file of private authorities that cannot be used.
    pub(super) fn new(guard: &Guard, extra_ca: &Path, attempts: usize) -> Result<Self> {
        let dialler = Dialler::new(tls::client_config(extra_ca)?, guard.clock());
        let agent = |idle: usize| {
            let config = Agent::config_builder()
                .http_status_as_error(false)
                .max_redirects(0)
                .proxy(None)
                .user_agent(USER_AGENT)
                .accept(ACCEPT)
                .accept_encoding("")
                .max_idle_connections(idle)
                .max_idle_connections_per_host(idle)
                .max_idle_age(IDLE_AGE)
                .build();
            Agent::with_parts(config, dialler.clone(), guard.clone())
        };
        let (shelves, each) = shelves(attempts);
        Ok(Self { pooled: (0..shelves).map(|_| agent(each)).collect(), fresh: agent(0) })
    }

    /// The agent that keeps connections to the receiver of this URL.
    fn shelf(&self, url: &str) -> &Agent {
        let mut hasher = DefaultHasher::new();
        // Scheme, an empty part, host and port.
        url.split('/').take(3).for_each(|part| part.hash(&mut hasher));
        let shelf = hasher.finish() % self.pooled.len().max(1) as u64;
        usize::try_from(shelf).ok().and_then(|shelf| self.pooled.get(shelf)).unwrap_or(&self.fresh)
    }

    /// Makes one POST. If a kept connection breaks before any byte of an answer, it was stale: the POST is repeated
    /// once on a fresh one, as the same attempt.
    pub(super) fn send(&self, post: &Post<'_>) -> Sent {
        progress::begin();
        let watch = Stopwatch::start();
        let mut result = post_by(self.shelf(post.url), post, post.timeout);
        let broke = result.as_ref().is_err_and(|error| failure::class(error) == Failure::Reset);
        if broke && progress::phase() == Phase::Kept {
            result = post_by(&self.fresh, post, post.timeout.saturating_sub(watch.elapsed()));
        }
        sent(result)
    }

    /// Makes one GET, on a fresh connection.
    pub(super) fn get(&self, url: &str, timeout: Duration) -> Sent {
        progress::begin();
        let config = self.fresh.get(url).config().timeout_global(Some(timeout)).timeout_recv_body(Some(READ_ANSWER));
        sent(config.build().call())
    }
}

/// The end of a request.
fn sent(result: Result<Response<Body>, ureq::Error>) -> Sent {
    match (progress::noted(), result) {
        // A status that came counts, whatever came after it.
        (Some(noted), result) => receive(noted, result.ok()),
        (None, Err(error)) => {
            let failed = failed(&error);
            Sent { outcome: Outcome::Failed(failed.class), details: failed.details, retry_after: None }
        }
        (None, Ok(_)) => {
            Sent { outcome: Outcome::Failed(Failure::Protocol), details: FailureDetails::default(), retry_after: None }
        }
    }
}

fn post_by(agent: &Agent, post: &Post<'_>, timeout: Duration) -> Result<Response<Body>, ureq::Error> {
    let request = agent.post(post.url);
    let request =
        post.headers.iter().fold(request, |request, (name, value)| request.header_raw(name, value.as_bytes()));
    let length = post.body.iter().map(|part| part.len()).sum::<usize>();
    let request = request.header("content-length", length);
    let config = request.config().timeout_global(Some(timeout)).timeout_recv_body(Some(READ_ANSWER));
    config.build().send(SendBody::from_reader(&mut Parts(post.body)))
}

/// Keeps the first bytes of the answer, as far as they came.
fn receive(noted: Noted, response: Option<Response<Body>>) -> Sent {
    let Noted { status, retry_after, headers } = noted;
    let details = failure::of_answer(status, &headers);
    let mut body = Vec::new();
    let reader = response.map(|response| response.into_body().into_reader().take(MAX_KEPT_ANSWER as u64 + 1));
    let complete = reader.is_some_and(|mut reader| reader.read_to_end(&mut body).is_ok());
    let truncated = !complete || body.len() > MAX_KEPT_ANSWER;
    body.truncate(MAX_KEPT_ANSWER);
    let outcome = Outcome::Answered(Answer { status, body, truncated, retry_after: None });
    Sent { outcome, details, retry_after }
}
