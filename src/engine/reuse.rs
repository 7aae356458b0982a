//! Whether a kept connection may carry another POST: names move from one address to another.

use std::{cell::RefCell, net::SocketAddr, time::Duration};

/// A connection that was made longer ago is not used again.
const MAX_AGE: Duration = Duration::from_secs(5 * 60);

thread_local! {
    /// The addresses of the receiver of the POST on this thread, as the guard let them through.
    static VETTED: RefCell<Vec<SocketAddr>> = const { RefCell::new(Vec::new()) };
}

/// Notes the addresses that the receiver of the POST on this thread has now.
pub(super) fn note(addresses: Vec<SocketAddr>) {
    VETTED.set(addresses);
}

/// Whether a connection to this address, made this long ago, may carry the POST on this thread.
pub(super) fn may_be_reused(peer: SocketAddr, age: Duration) -> bool {
    age < MAX_AGE && VETTED.with_borrow(|vetted| vetted.contains(&peer))
}
