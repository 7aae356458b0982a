//! Who the client of a request is: the address that it comes from, or, behind a trusted proxy, the one that the proxy names.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use poem::Request;

/// Each proxy adds the address that a request came to it from.
const FORWARDED: &str = "x-forwarded-for";

/// Whether the address is one of a trusted proxy.
pub(super) fn is_trusted(address: IpAddr, proxies: &[IpNet]) -> bool {
    let address = address.to_canonical();
    proxies.iter().any(|block| block.contains(&address))
}

/// The client's address; `None` of a request that came by no network.
///
/// Addresses are believed from the right, as long as trusted proxies wrote them: the first that is no trusted proxy is the
/// client. What stands before it may be anything.
pub(super) fn address(request: &Request, proxies: &[IpNet]) -> Option<IpAddr> {
    let mut client = peer(request)?;
    // What a client has put before the proxy's own words may be any bytes.
    let lines = request.headers().get_all(FORWARDED).iter().map(|line| String::from_utf8_lossy(line.as_bytes()));
    let lines = lines.collect::<Vec<_>>();
    let mut named = lines.iter().flat_map(|line| line.split(',')).map(str::trim).collect::<Vec<_>>();
    while is_trusted(client, proxies) {
        let Some(before) = named.pop().and_then(parse) else { break };
        client = before;
    }
    Some(client)
}

/// Where the connection of a request comes from.
pub(super) fn peer(request: &Request) -> Option<IpAddr> {
    request.remote_addr().as_socket_addr().map(|peer| peer.ip().to_canonical())
}

/// An address, with or without a port.
fn parse(text: &str) -> Option<IpAddr> {
    let bare = || text.trim_matches(['[', ']']).parse().ok();
    text.parse().map(|socket: SocketAddr| socket.ip()).ok().or_else(bare).map(|address: IpAddr| address.to_canonical())
}
