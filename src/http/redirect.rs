//! The port for `http://`: it leads to the same place by `https://`, and knows nothing else.

use poem::{
    Endpoint, Request, Response, Result,
    http::{StatusCode, header},
};
use url::Url;

use super::header_limits;
use crate::config::{Config, Limits};

/// Connections of this port. None of them has more than a head.
const CONNECTIONS: usize = 64;
/// Of one client.
const PER_CLIENT: usize = 16;

/// Answers with a redirect.
pub(crate) struct Redirect {
    /// The names of this server.
    names: Vec<String>,
    /// The port of the TLS side as clients see it, if it is not the usual one.
    port: Option<u16>,
    /// The bounds of a head.
    limits: Limits,
}

impl Redirect {
    /// The redirects of these settings.
    pub(crate) fn of(config: &Config) -> Self {
        let port = Url::parse(&config.server.public_url).ok().and_then(|url| url.port());
        Self { names: config.tls.domains.clone(), port, limits: config.limits.clone() }
    }

    /// The limits of this port.
    pub(crate) fn limits(limits: &Limits) -> Limits {
        Limits { connections: CONNECTIONS, connections_per_client: PER_CLIENT, ..limits.clone() }
    }

    /// Where a request leads; `None` if it asks for no name of this server. A whole URL counts more than the header
    /// (RFC 9112, section 3.2.2), and `*` has no path (3.3).
    fn place(&self, request: &Request) -> Option<String> {
        let url = request.original_uri();
        let host = url.authority().map_or_else(|| request.header(header::HOST), |asked| Some(asked.as_str()))?;
        let host = host.to_ascii_lowercase();
        let host = host.split_once(':').map_or(host.as_str(), |(name, _)| name);
        let host = host.strip_suffix('.').unwrap_or(host);
        let name = self.names.iter().find(|name| *name == host)?;
        let port = self.port.map_or_else(String::new, |port| format!(":{port}"));
        let path = url.path_and_query().map_or("/", |path| path.as_str());
        Some(format!("https://{name}{port}{}", if path == "*" { "" } else { path }))
    }
}

impl Endpoint for Redirect {
    type Output = Response;

    async fn call(&self, request: Request) -> Result<Response> {
        if let Err(refused) = header_limits::check(&request, &self.limits) {
            let answer = Response::builder().status(refused.status()).header(header::CONNECTION, "close");
            return Ok(answer.body(format!("{refused}\n")));
        }
        let answer = Response::builder().header(header::CONNECTION, "close");
        Ok(match self.place(&request) {
            Some(place) => answer.status(StatusCode::PERMANENT_REDIRECT).header(header::LOCATION, place).finish(),
            None => answer.status(StatusCode::MISDIRECTED_REQUEST).body("this server has another name\n"),
        })
    }
}
