//! The port for `http://`: it leads to the same place by `https://`, and knows nothing else.

use poem::{
    Endpoint, Request, Response, Result,
    http::{StatusCode, header},
};
use url::Url;

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
}

impl Redirect {
    /// The redirects of these settings.
    pub(crate) fn of(config: &Config) -> Self {
        let port = Url::parse(&config.server.public_url).ok().and_then(|url| url.port());
        Self { names: config.tls.domains.clone(), port }
    }

    /// The limits of this port.
    pub(crate) fn limits(limits: &Limits) -> Limits {
        Limits { connections: CONNECTIONS, connections_per_client: PER_CLIENT, ..limits.clone() }
    }

    /// Where a request leads; `None` if it asks for no name of this server.
    fn place(&self, request: &Request) -> Option<String> {
        let host = request.header(header::HOST)?.to_ascii_lowercase();
        let host = host.split_once(':').map_or(host.as_str(), |(name, _)| name);
        let name = self.names.iter().find(|name| *name == host)?;
        let port = self.port.map_or_else(String::new, |port| format!(":{port}"));
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        Some(format!("https://{name}{port}{path}"))
    }
}

impl Endpoint for Redirect {
    type Output = Response;

    async fn call(&self, request: Request) -> Result<Response> {
        let answer = Response::builder().header(header::CONNECTION, "close");
        Ok(match self.place(&request) {
            Some(place) => answer.status(StatusCode::PERMANENT_REDIRECT).header(header::LOCATION, place).finish(),
            None => answer.status(StatusCode::MISDIRECTED_REQUEST).body("this server has another name\n"),
        })
    }
}
