//! Where connections leave the machine: what makes a second path a path of its own.

use std::io;
use std::net::SocketAddr;

use socket2::Socket;
use tokio::net::TcpSocket;

use super::endpoint::EndpointError;

/// Where connections leave the machine. By default the routing table decides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Egress {
    /// The address and port they come from, if not the kernel's choice.
    pub address: Option<SocketAddr>,
    /// The network interface they leave by and arrive at, whatever other routes there are. It needs a route of its
    /// own, most likely a default route with a higher metric than the first interface's.
    pub interface: Option<String>,
}

impl Egress {
    /// By a network interface, or wherever the routing table says.
    pub fn by(interface: Option<String>) -> Self {
        Self { address: None, interface }
    }

    pub(super) fn bind(&self, socket: &Socket) -> Result<(), EndpointError> {
        self.each(|interface| socket.bind_device(Some(interface)))
    }

    pub(super) fn bind_tcp(&self, socket: &TcpSocket) -> Result<(), EndpointError> {
        self.each(|interface| socket.bind_device(Some(interface)))
    }

    fn each(&self, bind: impl FnOnce(&[u8]) -> io::Result<()>) -> Result<(), EndpointError> {
        let Some(interface) = &self.interface else { return Ok(()) };
        bind(interface.as_bytes())
            .map_err(|source| EndpointError::Interface { interface: interface.clone(), source })
    }
}
