//! File descriptors: every connection, file and look-up takes one, and the system gives a process only so many.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::{
    config::Config,
    engine::kept_connections,
    error::{Error, Result},
};

/// For all but API connections and attempts: the runtime, the database and its readers, a backup, alerts, tests.
const BASE: usize = 56;
/// API connections that a server must be able to take.
const FEWEST_CONNECTIONS: usize = 8;
/// Attempts at the same time, at least.
const FEWEST_ATTEMPTS: usize = 2;

/// Has the system give as many as the settings may need. Where it gives fewer, fewer API connections are taken, and then
/// fewer attempts are made at the same time: a delivery always finds a descriptor.
///
/// # Errors
/// [`Error::Invalid`] where the system gives too few to serve at all.
pub(super) fn provide(config: &mut Config) -> Result<()> {
    let wanted = BASE + of_attempts(config.delivery.max_in_flight) + config.limits.connections;
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
    let fewest = BASE + of_attempts(FEWEST_ATTEMPTS) + FEWEST_CONNECTIONS;
    if given < fewest {
        return Err(Error::request(format!(
            "the system gives this process {given} file descriptors, and the server needs {fewest} at least: raise the limit, \
             by 'ulimit -n 1024' in the shell that starts it, or by LimitNOFILE=1024 in its systemd unit"
        )));
    }
    let rest = given - BASE;
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

/// An attempt takes a descriptor, and one for its look-up; then its connection is kept.
fn of_attempts(attempts: usize) -> usize {
    2 * attempts + kept_connections(attempts)
}
