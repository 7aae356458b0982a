//! File descriptors: every connection, file and look-up takes one, and the system limits how many a process has.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::{
    config::Config,
    engine::kept_connections,
    error::{Error, Result},
};

/// Descriptors for everything but API connections and attempts: the runtime, the database and its readers, a backup,
/// alerts, tests.
const BASE: usize = 56;
/// Descriptors for the port of redirects to TLS, and for its connections.
const REDIRECTS: usize = 72;
/// API connections that a server must be able to accept.
const FEWEST_CONNECTIONS: usize = 8;
/// Attempts that a server must be able to make at the same time.
const FEWEST_ATTEMPTS: usize = 2;

/// Asks the system for as many as the settings may need. If it gives fewer, the server accepts fewer API connections,
/// and then makes fewer attempts at the same time: a delivery always finds a descriptor.
///
/// # Errors
/// [`Error::Invalid`] if the system gives too few to serve at all.
pub(super) fn provide(config: &mut Config) -> Result<()> {
    let base = BASE + config.tls.http_listen.map_or(0, |_| REDIRECTS);
    let wanted = base + of_attempts(config.delivery.max_in_flight) + config.limits.connections;
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let (mut given, most) = (current.unwrap_or(u64::MAX), maximum.unwrap_or(u64::MAX));
    let raised = u64::try_from(wanted).unwrap_or(u64::MAX).min(most);
    if given < raised && setrlimit(Resource::Nofile, Rlimit { current: Some(raised), maximum }).is_ok() {
        given = raised;
    }
    let given = usize::try_from(given).unwrap_or(usize::MAX);
    if given >= wanted {
        return Ok(());
    }
    let fewest = base + of_attempts(FEWEST_ATTEMPTS) + FEWEST_CONNECTIONS;
    if given < fewest {
        return Err(Error::request(format!(
            "the system gives this process {given} file descriptors, and the server needs {fewest} at least: raise the limit, \
             by 'ulimit -n 1024' in the shell that starts it, or by LimitNOFILE=1024 in its systemd unit"
        )));
    }
    let rest = given - base;
    // At least half of the rest stays for the API.
    let fits = |attempts: &usize| of_attempts(*attempts) <= (rest / 2).max(of_attempts(FEWEST_ATTEMPTS));
    let attempts = (FEWEST_ATTEMPTS..=config.delivery.max_in_flight).rev().find(fits).unwrap_or(FEWEST_ATTEMPTS);
    let connections = config.limits.connections.min(rest - of_attempts(attempts));
    tracing::warn!(
        connections,
        attempts,
        descriptors = given,
        wanted,
        "the system gives too few file descriptors (ulimit -n): fewer API connections than limits.connections are taken, and \
         no more attempts are made at the same time than this"
    );
    config.limits.connections = connections;
    config.delivery.max_in_flight = attempts;
    config.delivery.max_in_flight_per_endpoint = config.delivery.max_in_flight_per_endpoint.min(attempts);
    Ok(())
}

/// An attempt takes two descriptors: its connection, which is kept, and its look-up.
fn of_attempts(attempts: usize) -> usize {
    2 * attempts + kept_connections(attempts)
}
