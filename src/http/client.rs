//! Who the client of a request is: the address of its connection or, behind a trusted proxy, the address that the proxy
//! names.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;
use poem::Request;

/// Each proxy adds the address that the request came from.
const FORWARDED: &str = "x-forwarded-for";

/// Whether the address is one of a trusted proxy.
pub(super) fn is_trusted(address: IpAddr, proxies: &[IpNet]) -> bool {
    let address = address.to_canonical();
    proxies.iter().any(|block| block.contains(&address))
}

/// The client's address; `None` if the request came by no network.
///
/// The addresses of the header are read from the right, while trusted proxies wrote them. The first that is no trusted
/// proxy is the client. The client may have written anything to the left of it.
pub(super) fn address(request: &Request, proxies: &[IpNet]) -> Option<IpAddr> {
    let mut client = peer(request)?;
    // The part that a client wrote may be any bytes.
    let lines = request.headers().get_all(FORWARDED).iter().map(|line| String::from_utf8_lossy(line.as_bytes()));
    let lines = lines.collect::<Vec<_>>();
    let mut named = lines.iter().flat_map(|line| line.split(',')).map(str::trim).collect::<Vec<_>>();
    while is_trusted(client, proxies) {
        let Some(before) = named.pop().and_then(parse) else { break };
        client = before;
    }
    Some(client)
}

/// The address that the connection of a request comes from.
pub(super) fn peer(request: &Request) -> Option<IpAddr> {
    request.remote_addr().as_socket_addr().map(|peer| peer.ip().to_canonical())
}

/// An address, with or without a port.
fn parse(text: &str) -> Option<IpAddr> {
    let bare = || text.trim_matches(['[', ']']).parse().ok();
    text.parse().map(|socket: SocketAddr| socket.ip()).ok().or_else(bare).map(|address: IpAddr| address.to_canonical())
}

/// The unit that counts as one client: an IPv4 address, or the IPv6 network that a customer of a provider gets (/64).
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
        address => address,
    }
}
