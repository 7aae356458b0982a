//! One POST by ureq. Its result is a value: nothing a receiver does is an error of this server. ureq never leaves this
//! folder.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    io::{self, Read},
    mem,
    path::Path,
    time::Duration,
};

use ureq::{
    Agent, Body, SendBody,
    http::Response,
    tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem},
    unversioned::transport::{
        Buffers, ConnectionDetails, Connector, NextTimeout, RustlsConnector, TcpConnector, Transport,
    },
};

use super::{
    egress::Guard,
    failure::{self, PHASE, Phase, failed},
};
use crate::{
    clock::Stopwatch,
    config,
    domain::{
        attempt_headers::USER_AGENT,
        delivery::{Answer, Failure, MAX_KEPT_ANSWER, Outcome},
        failure_details::FailureDetails,
    },
    error::{Error, Result},
};

/// Bytes that a connection buffers in each direction.
const BUFFER: usize = 16 << 10;
/// Kept connections are divided into shelves by receiver: at every POST ureq walks over a whole pool, and takes time by
/// the square of its receivers.
const SHELVES: usize = 16;
/// Connections kept open in a shelf.
const IDLE_CONNECTIONS: usize = 16;
/// Connections kept open for each attempt that may be in flight.
const IDLE_FOR_AN_ATTEMPT: usize = 4;
/// Connections kept open to one receiver.
const IDLE_PER_HOST: usize = 8;
/// A connection that was idle for longer is not used again.
const IDLE_AGE: Duration = Duration::from_secs(15);
/// Written bytes up to this size are held back, to be sent together with what follows.
const MOST_HELD: usize = 4 << 10;
/// Time-outs longer than this are rounded up to a tenth of a second.
const FINE: Duration = Duration::from_secs(1);
const COARSE_MS: u128 = 100;
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

/// What a POST came to.
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

/// The authorities to trust, each as DER: those of a PEM file, and the public ones.
///
/// # Errors
/// A file that cannot be used.
pub fn authorities(extra_ca: &Path) -> Result<Vec<Vec<u8>>> {
    let unusable =
        |problem: String| Error::request(format!("egress.extra_ca: {} cannot be used: {problem}", extra_ca.display()));
    // Reading a pipe would block.
    if let Some(kind) = config::no_file(extra_ca) {
        return Err(Error::request(format!("egress.extra_ca: {} is {kind}, not a file", extra_ca.display())));
    }
    let pem = std::fs::read(extra_ca).map_err(|error| unusable(error.to_string()))?;
    let mut roots = Vec::new();
    for item in parse_pem(&pem) {
        if let PemItem::Certificate(certificate) = item.map_err(|error| unusable(error.to_string()))? {
            roots.push(certificate.der().to_vec());
        }
    }
    if roots.is_empty() {
        return Err(unusable("it holds no certificate in PEM form".to_owned()));
    }
    roots.extend(webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().map(|der| der.to_vec()));
    Ok(roots)
}

/// The authorities that deliveries trust.
pub(super) fn roots(extra_ca: &Path) -> Result<RootCerts> {
    if extra_ca == Path::new("") {
        return Ok(RootCerts::WebPki);
    }
    let authorities = authorities(extra_ca)?;
    let certificates: Vec<_> = authorities.iter().map(|der| Certificate::from_der(der).to_owned()).collect();
    Ok(RootCerts::new_with_certs(&certificates))
}

/// Most connections kept open when this many attempts are made at the same time.
pub fn kept_connections(attempts: usize) -> usize {
    SHELVES * kept_in_a_shelf(attempts)
}

fn kept_in_a_shelf(attempts: usize) -> usize {
    (attempts * IDLE_FOR_AN_ATTEMPT / SHELVES).clamp(1, IDLE_CONNECTIONS)
}

impl Sender {
    /// A sender for this many attempts at the same time.
    ///
    /// # Errors
    /// A file of private authorities that cannot be used.
    pub(super) fn new(guard: &Guard, extra_ca: &Path, attempts: usize) -> Result<Self> {
        let roots = roots(extra_ca)?;
        let agent = |idle: usize| {
            let config = Agent::config_builder()
                .tls_config(TlsConfig::builder().root_certs(roots.clone()).build())
                .http_status_as_error(false)
                .max_redirects(0)
                .proxy(None)
                .user_agent(USER_AGENT)
                .accept("")
                .accept_encoding("")
                .input_buffer_size(BUFFER)
                .output_buffer_size(BUFFER)
                .max_idle_connections(idle)
                .max_idle_connections_per_host(idle.min(IDLE_PER_HOST))
                .max_idle_age(IDLE_AGE)
                .build();
            // ureq's own chain without proxies, with a note after each step.
            let chain = Begin.chain(TcpConnector::default()).chain(Connected);
            Agent::with_parts(config, chain.chain(RustlsConnector::default()).chain(Ready), guard.clone())
        };
        Ok(Self { pooled: (0..SHELVES).map(|_| agent(kept_in_a_shelf(attempts))).collect(), fresh: agent(0) })
    }

    /// The agent that keeps connections to the receiver of this URL.
    fn shelf(&self, url: &str) -> &Agent {
        let mut hasher = DefaultHasher::new();
        // Scheme, an empty part, host and port.
        url.split('/').take(3).for_each(|part| part.hash(&mut hasher));
        let shelf = hasher.finish() % SHELVES as u64;
        usize::try_from(shelf).ok().and_then(|shelf| self.pooled.get(shelf)).unwrap_or(&self.fresh)
    }

    /// Makes one POST. If a kept connection breaks before any byte of an answer, it was stale: the POST is repeated
    /// once on a fresh one, as the same attempt.
    pub(super) fn send(&self, post: &Post<'_>) -> Sent {
        PHASE.set(Phase::Kept);
        let watch = Stopwatch::start();
        let mut result = post_by(self.shelf(post.url), post, post.timeout);
        let broke = result.as_ref().is_err_and(|error| failure::class(error) == Failure::Reset);
        if broke && PHASE.get() == Phase::Kept {
            result = post_by(&self.fresh, post, post.timeout.saturating_sub(watch.elapsed()));
        }
        result.map_or_else(
            |error| {
                let failed = failed(&error);
                Sent { outcome: Outcome::Failed(failed.class), details: failed.details, retry_after: None }
            },
            receive,
        )
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
fn receive(response: Response<Body>) -> Sent {
    let status = response.status().as_u16();
    let retry_after = response.headers().get("retry-after").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let details = failure::of_answer(&response);
    let mut body = Vec::new();
    let mut reader = response.into_body().into_reader().take(MAX_KEPT_ANSWER as u64 + 1);
    let complete = reader.read_to_end(&mut body).is_ok();
    let truncated = !complete || body.len() > MAX_KEPT_ANSWER;
    body.truncate(MAX_KEPT_ANSWER);
    let outcome = Outcome::Answered(Answer { status, body, truncated, retry_after: None });
    Sent { outcome, details, retry_after }
}

/// The first connector of the chain: it runs only when no connection was kept.
#[derive(Debug)]
struct Begin;

impl Connector for Begin {
    type Out = ();

    fn connect(&self, _: &ConnectionDetails<'_>, _: Option<()>) -> Result<Option<()>, ureq::Error> {
        PHASE.set(Phase::Dialling);
        Ok(None)
    }
}

/// The connector between TCP and TLS.
#[derive(Debug)]
struct Connected;

impl<In: Transport> Connector<In> for Connected {
    type Out = In;

    fn connect(&self, _: &ConnectionDetails<'_>, chained: Option<In>) -> Result<Option<In>, ureq::Error> {
        PHASE.set(Phase::Connected);
        Ok(chained)
    }
}

/// The last connector: it watches the connection for the first byte of an answer.
#[derive(Debug)]
struct Ready;

impl<In: Transport> Connector<In> for Ready {
    type Out = Watched<In>;

    fn connect(&self, _: &ConnectionDetails<'_>, chained: Option<In>) -> Result<Option<Watched<In>>, ureq::Error> {
        PHASE.set(Phase::Ready);
        Ok(chained.map(|inner| Watched { inner, held: Vec::new(), used: false }))
    }
}

/// A connection that notes the first byte of an answer and saves system calls: it sends the head and the body of a POST
/// together, sets the socket's time-outs only when they change much, and checks whether it is still open only when it
/// is used again, not also when it is put aside.
#[derive(Debug)]
struct Watched<T> {
    inner: T,
    /// Written but not sent yet.
    held: Vec<u8>,
    /// Whether something came since the connection was last put aside.
    used: bool,
}

impl<T: Transport> Watched<T> {
    fn send(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        let (held, output) = (self.held.len(), self.inner.buffers().output());
        if held + amount <= output.len() {
            output.copy_within(..amount, held);
            output[..held].copy_from_slice(&self.held);
            self.held.clear();
            return self.inner.transmit_output(held + amount, coarse(timeout));
        }
        let body = output[..amount].to_vec();
        output[..held].copy_from_slice(&self.held);
        self.held.clear();
        self.inner.transmit_output(held, coarse(timeout))?;
        self.inner.buffers().output()[..amount].copy_from_slice(&body);
        self.inner.transmit_output(amount, coarse(timeout))
    }
}

impl<T: Transport> Transport for Watched<T> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.inner.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        if self.held.is_empty() && amount <= MOST_HELD {
            self.held.extend_from_slice(&self.inner.buffers().output()[..amount]);
            return Ok(());
        }
        self.send(amount, timeout)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        if !self.held.is_empty() {
            self.send(0, timeout)?;
        }
        let got = self.inner.await_input(coarse(timeout))?;
        if got {
            self.used = true;
            failure::note_answer(self.inner.buffers().input());
        } else if self.inner.buffers().input_append_buf().is_empty() {
            // The headers do not fit; ureq would report a closed connection.
            return Err(ureq::Error::LargeResponseHeader(BUFFER, BUFFER));
        }
        Ok(got)
    }

    fn is_open(&mut self) -> bool {
        mem::take(&mut self.used) || self.inner.is_open()
    }

    fn is_tls(&self) -> bool {
        self.inner.is_tls()
    }
}

/// Rounds a time-out up, so that the next one is mostly the same.
fn coarse(timeout: NextTimeout) -> NextTimeout {
    if timeout.after.is_not_happening() || *timeout.after <= FINE {
        return timeout;
    }
    let millis = timeout.after.as_millis().div_ceil(COARSE_MS) * COARSE_MS;
    let after = Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX));
    NextTimeout { after: after.into(), ..timeout }
}
