//! The number of connections, or of requests in progress, that each client has: no client may take all of them.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use super::client::network;

/// The slots that clients hold, counted by their [`network`].
#[derive(Debug, Clone, Default)]
pub(super) struct ConnectionSlots(Arc<Mutex<HashMap<IpAddr, usize>>>);

impl ConnectionSlots {
    /// A slot for this address, unless its client holds `most` already.
    pub(super) fn take(&self, remote: IpAddr, most: usize) -> Option<ConnectionSlot> {
        let client = network(remote);
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = held.get(&client).copied().unwrap_or_default();
        (count < most).then(|| {
            held.insert(client, count + 1);
            ConnectionSlot { client, slots: self.clone() }
        })
    }
}

/// A slot. Dropping it gives it back.
#[derive(Debug)]
pub(super) struct ConnectionSlot {
    client: IpAddr,
    slots: ConnectionSlots,
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        let mut held = self.slots.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = held.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.client);
            }
        }
    }
}
