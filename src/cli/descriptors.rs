//! File descriptors: every connection, file and look-up takes one, and the system gives a process only so many.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::Config;

/// For all but API connections and attempts under way: 256 kept connections, look-ups, tests, the database.
const FOR_THE_REST: usize = 352;

/// Has the system give as many as the settings may need. Where it does not, fewer API connections are taken: a delivery
/// always finds a descriptor.
pub(super) fn provide(config: &mut Config) {
    let rest = config.delivery.max_in_flight + FOR_THE_REST;
    let wanted = u64::try_from(config.limits.connections + rest).unwrap_or(u64::MAX);
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let (mut given, most) = (current.unwrap_or(u64::MAX), maximum.unwrap_or(u64::MAX));
    let raised = wanted.min(most);
    if given < raised && setrlimit(Resource::Nofile, Rlimit { current: Some(raised), maximum }).is_ok() {
        given = raised;
    }
    if given < wanted {
        let connections = usize::try_from(given).unwrap_or(usize::MAX).saturating_sub(rest).max(1);
        tracing::warn!(
            connections,
            descriptors = given,
            wanted,
            "the system gives too few file descriptors (ulimit -n): fewer API connections than limits.connections are taken"
        );
        config.limits.connections = connections;
    }
}
