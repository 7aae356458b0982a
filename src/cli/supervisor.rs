//! The server and its supervisor: signals, and the messages of sd_notify(3).
//!
//! Nothing waits for the supervisor: a message for which its socket has no room is lost, except that the server is ready.

use std::{
    env, io,
    os::{
        linux::net::SocketAddrExt,
        unix::{
            ffi::OsStrExt,
            net::{SocketAddr, UnixDatagram},
        },
    },
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use rustix::process::Signal;
use sd_notify::NotifyState;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};

use crate::{
    clock,
    engine::EngineStatus,
    error::{Error, Result},
};

/// Signals that would end the server although nobody wants that. (SIGPIPE is ignored in every Rust program.)
const IGNORED: [(Signal, &str); 8] = [
    (Signal::USR1, "SIGUSR1"),
    (Signal::USR2, "SIGUSR2"),
    (Signal::ALARM, "SIGALRM"),
    (Signal::VTALARM, "SIGVTALRM"),
    (Signal::PROF, "SIGPROF"),
    (Signal::IO, "SIGIO"),
    (Signal::POWER, "SIGPWR"),
    (Signal::XCPU, "SIGXCPU"),
];

/// The variable that names the supervisor's socket.
const SOCKET: &str = "NOTIFY_SOCKET";
/// The rest before the supervisor is told again that the server is ready.
const AGAIN: Duration = Duration::from_secs(1);

/// Whether the last message found no room. It is logged once.
static UNREAD: AtomicBool = AtomicBool::new(false);

/// Receives signals of this kind from now on.
pub(super) fn heard(signal_of: Signal) -> Result<tokio::signal::unix::Signal> {
    signal(SignalKind::from_raw(signal_of.as_raw())).map_err(|error| Error::Internal(error.to_string()))
}

/// Ignores the signals that do not ask for a stop; each is logged.
pub(super) fn ignore_others() -> Result<()> {
    let reload = "SIGHUP: settings are read at a start only; restart to change them".to_owned();
    let others = IGNORED.map(|(one, name)| (one, format!("{name} is ignored: SIGTERM stops the server")));
    for (one, said) in others.into_iter().chain([(Signal::HUP, reload)]) {
        let mut heard = heard(one)?;
        tokio::spawn(async move {
            while heard.recv().await.is_some() {
                tracing::warn!("{said}");
            }
        });
    }
    // A file has reached its size limit. The failed write reports it; a log line might fail in the same way.
    heard(Signal::XFSZ).map(drop)
}

/// Reports that the server is ready after the first round of its engine, and then reports each round. So the service
/// manager notices a server that hangs. Rounds go on when the disk is full: a restart would not help then.
pub(super) async fn report(mut pulse: watch::Receiver<EngineStatus>) {
    if pulse.changed().await.is_err() {
        return;
    }
    while !tell(&NotifyState::Ready) {
        clock::pause(AGAIN).await;
    }
    let Some(interval) = sd_notify::watchdog_enabled() else { return };
    while pulse.changed().await.is_ok() {
        tell(&NotifyState::Watchdog);
        clock::pause(interval / 4).await;
    }
}

pub(super) fn stopping() {
    tell(&NotifyState::Stopping);
}

/// Sends a message to systemd; elsewhere it does nothing. `false` if the socket has no room for it.
fn tell(state: &NotifyState<'_>) -> bool {
    let sent = send(state);
    let has_room = !sent.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock);
    let was_unread = UNREAD.swap(!has_room, Ordering::Relaxed);
    match sent {
        Err(error) if has_room => tracing::warn!(%error, "the service manager cannot be notified ({SOCKET})"),
        Err(_) if !was_unread => {
            tracing::warn!("the service manager does not read its messages ({SOCKET}): the server works on without it");
        }
        _ => {}
    }
    has_room
}

/// Sends a message without waiting. A name that begins with `@` is not in the file system.
fn send(state: &NotifyState<'_>) -> io::Result<()> {
    let Some(name) = env::var_os(SOCKET).filter(|name| !name.is_empty()) else { return Ok(()) };
    let address = match name.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(&name),
    }?;
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.send_to_addr(format!("{state}\n").as_bytes(), &address).map(drop)
}
