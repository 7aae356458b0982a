//! `ngoma listen`: a receiver for local testing, so that nobody needs a tunnel to see a delivery arrive.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use poem::{
    Endpoint, Request, Response,
    http::StatusCode,
    listener::{Acceptor, Listener, TcpListener},
};
use serde_json::{Value, json};

use super::{
    database::block_on,
    output::print_json,
    wrong::{number, span},
};
use crate::{
    api::profiles,
    clock::{Clock, SystemClock},
    config::Config,
    domain::{profile::Profiles, signature::SigningSecret, timestamp::Timestamp},
    error::{Error, Result},
    http::server::unbound,
};

/// Largest delivery that is read: 16 MiB.
const MAX_BODY: usize = 16 << 20;

/// Receive deliveries on this machine, verify their signatures and print them
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  ngoma listen --secret whsec_...            verify and print deliveries to http://127.0.0.1:9000\n  ngoma listen --port 9001 --status 500      fail\n  ngoma listen --fail-first 1                fail once, then work\n  ngoma listen --delay 12s                   be too slow"
)]
pub(super) struct Args {
    /// The port, on 127.0.0.1; 0 takes a free one.
    #[arg(long, default_value_t = 9000, value_parser = |text: &str| number::<u16>(text, 0..=u16::MAX))]
    port: u16,
    /// The webhook's signing secret. Without it, signatures are shown but not verified.
    #[arg(long, value_parser = secret)]
    secret: Option<SigningSecret>,
    /// The status to answer with.
    #[arg(long, default_value_t = 200, value_parser = |text: &str| number::<u16>(text, 200..=599))]
    status: u16,
    /// Answer 500 to the first N requests, and then with --status: a delivery fails and arrives at the next attempt.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = |text: &str| number::<u32>(text, 0..=u32::MAX))]
    fail_first: u32,
    /// How long to wait before answering, such as 500ms or 12s.
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = span)]
    delay: Duration,
    /// Print one JSON object on each line instead of text: first the address, then each delivery.
    #[arg(long)]
    json: bool,
}

fn secret(text: &str) -> Result<SigningSecret> {
    if text.is_empty() {
        return Err(Error::request("it is empty: leave --secret out to see signatures without verifying them"));
    }
    SigningSecret::parse(text.to_owned())
}

struct Receiver {
    secret: Option<SigningSecret>,
    profiles: Profiles,
    status: StatusCode,
    /// Requests that are still to be answered with 500.
    to_fail: AtomicU32,
    delay: Duration,
    as_json: bool,
}

pub(super) fn run(args: Args, config: &Config) -> Result<()> {
    SystemClock.now().checked()?;
    let receiver = Receiver {
        secret: args.secret,
        profiles: profiles(config),
        status: StatusCode::from_u16(args.status).map_err(|error| Error::request(error.to_string()))?,
        to_fail: AtomicU32::new(args.fail_first),
        delay: args.delay,
        as_json: args.json,
    };
    block_on(async move {
        let wanted = SocketAddr::from(([127, 0, 0, 1], args.port));
        let failed = |error: std::io::Error| unbound(wanted, &error, "--port");
        let acceptor = TcpListener::bind(wanted).into_acceptor().await.map_err(failed)?;
        let bound = acceptor.local_addr().into_iter().find_map(|address| address.as_socket_addr().copied());
        let address = format!("http://{}", bound.unwrap_or(wanted));
        if args.json {
            print_json(&json!({ "listening": address }));
        } else {
            confirm!("listening on {address}  (Ctrl-C stops)");
        }
        poem::Server::new_with_acceptor(acceptor).run(Arc::new(receiver)).await.map_err(failed)
    })
}

impl Endpoint for Receiver {
    type Output = Response;

    async fn call(&self, mut request: Request) -> poem::Result<Response> {
        let body = request.take_body().into_bytes_limit(MAX_BODY).await?;
        let fails = self.to_fail.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
        let status = if fails { StatusCode::INTERNAL_SERVER_ERROR } else { self.status };
        if self.as_json {
            print_json(&self.object(&request, &body, status));
        } else {
            say!("{}\n  -> {status}", self.describe(&request, &body));
        }
        tokio::time::sleep(self.delay).await;
        Ok(Response::builder().status(status).content_type("application/json").body(r#"{"received":true}"#))
    }
}

impl Receiver {
    /// A delivery for programs. `verified` is null without a secret.
    fn object(&self, request: &Request, body: &[u8], status: StatusCode) -> Value {
        let header = |name: &str| request.header(name).map(str::to_owned);
        let signatures = self.signatures(request, body);
        let signatures =
            signatures.map(|(name, value, verified)| json!({ "header": name, "value": value, "verified": verified }));
        json!({
            "method": request.method().as_str(),
            "path": request.uri().to_string(),
            "webhook_id": header("webhook-id"),
            "attempt": header("ngoma-attempt").and_then(|number| number.parse::<u32>().ok()),
            "test": header("ngoma-test").is_some(),
            "signatures": signatures.collect::<Value>(),
            "body": serde_json::from_slice::<Value>(body).unwrap_or_else(|_| String::from_utf8_lossy(body).into()),
            "answer": status.as_u16(),
        })
    }

    /// Each signature of a request: its header, its text, and whether it is right; `None` without a secret.
    fn signatures(&self, request: &Request, body: &[u8]) -> impl Iterator<Item = (&'static str, String, Option<bool>)> {
        let header = |name: &str| request.header(name).unwrap_or_default().to_owned();
        let secret = self.secret.as_ref();
        let mut found = Vec::new();
        for name in self.profiles.iter().map(|profile| profile.signature_header) {
            if let Some(value) = request.header(name) {
                found.push((name, value.to_owned(), secret.map(|secret| secret.verifies_body(body, value))));
            }
        }
        if let Some(value) = request.header("webhook-signature") {
            let seconds = header("webhook-timestamp").parse().unwrap_or(0_i64);
            let (id, at) = (header("webhook-id"), Timestamp::from_millis(seconds.saturating_mul(1000)));
            let verified = secret.map(|secret| secret.verifies_standard(&id, at, body, value));
            found.push(("webhook-signature", value.to_owned(), verified));
        }
        found.into_iter()
    }

    fn describe(&self, request: &Request, body: &[u8]) -> String {
        let header = |name: &str| request.header(name).unwrap_or("-").to_owned();
        let mut lines = vec![format!(
            "\n{} {}  attempt {}  {}",
            request.method(),
            request.uri(),
            header("ngoma-attempt"),
            header("webhook-id")
        )];
        if request.header("ngoma-test").is_some() {
            lines.push("  a test: sample data, not a real event".to_owned());
        }
        for (name, value, verified) in self.signatures(request, body) {
            let verdict = match verified {
                None => "not verified (no --secret)",
                Some(true) => "verified    ",
                Some(false) => "WRONG SIGNATURE",
            };
            lines.push(format!("  {verdict}  {name}: {value}"));
        }
        let pretty = serde_json::from_slice::<Value>(body).and_then(|json| serde_json::to_string_pretty(&json));
        let pretty = pretty.unwrap_or_else(|_| String::from_utf8_lossy(body).into_owned());
        lines.extend(pretty.lines().map(|line| format!("  {line}")));
        lines.join("\n")
    }
}
