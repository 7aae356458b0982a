//! Connections to a server by bare sockets.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};

use socket2::{Domain, Socket, Type};

use crate::support::receiver::PATIENCE;

/// Connects from this address, with a receive buffer of this many bytes if it is given.
pub fn connect_from(source: [u8; 4], server: SocketAddr, buffer: Option<usize>) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.bind(&SocketAddr::from((Ipv4Addr::from(source), 0)).into()).expect("an address of this machine");
    buffer.map(|bytes| socket.set_recv_buffer_size(bytes).expect("a size")).unwrap_or_default();
    socket.connect(&server.into()).expect("the kernel takes it");
    socket.set_read_timeout(Some(PATIENCE)).expect("a bound");
    socket.set_write_timeout(Some(PATIENCE)).expect("a bound");
    socket.into()
}
