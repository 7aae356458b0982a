//! Who holds how many connections, or requests under way: no client may hold every place there is.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, PoisonError},
};

/// The places that clients hold. A client is an IPv4 address, or the IPv6 network that a customer of a provider gets (/64).
#[derive(Debug, Clone, Default)]
pub(super) struct Places(Arc<Mutex<HashMap<IpAddr, usize>>>);

impl Places {
    /// A place for what comes from there, unless its client holds `most` already.
    pub(super) fn take(&self, remote: IpAddr, most: usize) -> Option<Place> {
        let client = client(remote);
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = held.get(&client).copied().unwrap_or_default();
        (count < most).then(|| {
            held.insert(client, count + 1);
            Place { client, places: self.clone() }
        })
    }
}

/// A place, given back when it goes.
#[derive(Debug)]
pub(super) struct Place {
    client: IpAddr,
    places: Places,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut held = self.places.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = held.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.client);
            }
        }
    }
}

/// The client behind an address: the address itself, or its network if it is an IPv6 address (/64).
pub fn client(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
        address => address,
    }
}
