//! What to write instead of a value that is nearly right.

use std::net::{IpAddr, SocketAddr};

/// The address of a port of this machine.
///
/// # Errors
/// What to write instead: only a port, only an address, or a name was given.
pub fn socket_address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| match (text.strip_prefix(':').unwrap_or(text).parse::<u16>(), text.parse::<IpAddr>()) {
        (Ok(port), _) => {
            format!("write 127.0.0.1:{port} for this machine only, or 0.0.0.0:{port} for its whole network")
        }
        (_, Ok(address)) => format!("write {} with its port", SocketAddr::new(address, 8080)),
        _ => "write an address and a port, such as 127.0.0.1:8080; a name is not taken".to_owned(),
    })
}

/// What to write instead of a block of addresses without its length.
fn block(text: &str) -> Option<String> {
    let address = text.parse::<IpAddr>().ok()?;
    let bits = if address.is_ipv4() { 32 } else { 128 };
    Some(format!("write {address}/{bits} for this one address"))
}

/// What to write instead of the value of this key, if that can be told.
pub(super) fn of(key: &str, given: &str) -> Option<String> {
    match key.split('.').take(2).collect::<Vec<_>>().as_slice() {
        ["server", "listen"] | ["tls", "http_listen"] => socket_address(given).err(),
        ["egress", "allow"] | ["server", "trusted_proxies"] => block(given),
        _ => None,
    }
}
