//! Connections to a server by bare sockets.

use std::{
    io::Read,
    net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket},
    time::Duration,
};

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

/// Reads this many bytes at a time, with a rest of 20 ms or more before each, until the connection ends. Gives their sum.
pub fn sip(stream: &mut impl Read, bytes: usize) -> usize {
    let nothing = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    nothing.set_read_timeout(Some(Duration::from_millis(20))).expect("a bound");
    let mut buffer = vec![0; bytes];
    let mut count = 0;
    loop {
        nothing.recv(&mut [0]).expect_err("nobody sends there");
        let mut sip = 0;
        while sip < bytes {
            match stream.read(&mut buffer[sip..]) {
                Ok(0) | Err(_) => return count + sip,
                Ok(read) => sip += read,
            }
        }
        count += sip;
    }
}
