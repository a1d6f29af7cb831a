//! Sockets, endpoints and the one way to dial.
//!
//! quinn's tasks run where a [`QuicHandle`] says, whoever dials or accepts.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::HandshakeData;
use quinn::{
    AsyncUdpSocket, ClientConfig, Connection, ConnectionError, Endpoint, EndpointConfig, Runtime,
    ServerConfig, TransportConfig,
};
use socket2::{Domain, Protocol, Socket, Type};

use super::egress::Egress;
use super::identity::Identity;
use super::names::{HUB_NAME, hub_dns_names};
use super::refusal::explain;
use super::runtime::QuicHandle;
use super::settings::Settings;
use super::smooth::Smooth;
use super::tls::{self, HOST_ALPN, TlsError};
use super::{buffers, memory};

/// Why an endpoint could not be made.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// The socket can't be had.
    #[error("open {what} socket {address}: {source}{}", advice(source))]
    Socket {
        /// `UDP` or `TCP`.
        what: &'static str,
        /// Where it was to be bound.
        address: SocketAddr,
        /// What the kernel says.
        source: io::Error,
    },
    /// It can't be bound to a network interface.
    #[error("send by network interface {interface}: {source}{}", interface_advice(source))]
    Interface {
        /// Which.
        interface: String,
        /// What the kernel says.
        source: io::Error,
    },
    /// Certificate, key or authority are of no use.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// Why the hub at an address could not be reached.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Nobody answered in time.
    #[error(
        "hub {address} didn't answer within {after:?}: check the address, that UDP port {} is open on the \
         way, and that the hub runs", address.port()
    )]
    Timeout {
        /// What was dialled.
        address: SocketAddr,
        /// How long was waited.
        after: Duration,
    },
    /// Somebody answered, and it came to nothing.
    #[error("hub {address}: {}", explain(source))]
    Handshake {
        /// What was dialled.
        address: SocketAddr,
        /// How it ended.
        source: ConnectionError,
    },
    /// It could not even be tried.
    #[error("hub {address} can't be dialled: {source}")]
    Dial {
        /// What was to be dialled.
        address: SocketAddr,
        /// What quinn says.
        source: quinn::ConnectError,
    },
}

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => " (another program has the port: is a second copy running?)",
        io::ErrorKind::AddrNotAvailable => " (no such address on this machine)",
        io::ErrorKind::PermissionDenied => " (ports below 1024 need a permission)",
        _ => "",
    }
}

fn interface_advice(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(libc::ENODEV) => " (this machine has no interface of that name now: see `ip link`)",
        Some(libc::EPERM) => " (binding to an interface needs Linux 5.7, or the capability CAP_NET_RAW)",
        _ => "",
    }
}

/// An endpoint sites can dial. `[::]` listens on IPv4 too.
pub fn hub_endpoint(
    listen: SocketAddr,
    identity: &Identity,
    settings: &Settings,
    quic: &QuicHandle,
) -> Result<Endpoint, EndpointError> {
    let config = hub_config(identity, settings)?;
    let remembering = memory::endpoint_config(identity, settings);
    let socket = wrapped(socket(listen, settings, &Egress::default())?, quic)?;
    endpoint(socket, remembering, Some(config), quic)
}

/// An endpoint that dials hubs. Without an address the kernel chooses the port, and IPv4 and IPv6 are both
/// there where the machine has both.
pub fn site_endpoint(
    egress: &Egress,
    identity: &Identity,
    settings: &Settings,
    quic: &QuicHandle,
) -> Result<Endpoint, EndpointError> {
    site_endpoint_with(egress, identity, settings, quic, |_| ())
}

/// As [`site_endpoint`]; `adjust` may change what quinn is told, which measurements want.
pub fn site_endpoint_with(
    egress: &Egress,
    identity: &Identity,
    settings: &Settings,
    quic: &QuicHandle,
    adjust: impl FnOnce(&mut TransportConfig),
) -> Result<Endpoint, EndpointError> {
    let pace = Arc::default();
    let mut transport = settings.transport(&pace);
    adjust(&mut transport);
    let mut config = ClientConfig::new(Arc::new(tls::site(identity)?));
    config.transport_config(Arc::new(transport));
    let socket = match egress.address {
        Some(address) => socket(address, settings, egress)?,
        // A kernel with IPv6 switched off refuses the first.
        None => socket((Ipv6Addr::UNSPECIFIED, 0).into(), settings, egress)
            .or_else(|_| socket((Ipv4Addr::UNSPECIFIED, 0).into(), settings, egress))?,
    };
    let socket = Smooth::new(wrapped(socket, quic)?, quic, pace, settings.udp_payload_max);
    let mut endpoint = endpoint(socket, EndpointConfig::default(), None, quic)?;
    endpoint.set_default_client_config(config);
    Ok(endpoint)
}

/// The hub's side of connections to come; `Endpoint::set_server_config` takes it when certificates change.
pub fn hub_config(identity: &Identity, settings: &Settings) -> Result<ServerConfig, TlsError> {
    let mut config = ServerConfig::with_crypto(tls::hub(identity)?);
    config
        .transport_config(unpaced(settings))
        .max_incoming(settings.handshakes_max)
        .incoming_buffer_size(settings.handshake_bytes)
        .incoming_buffer_size_total(settings.handshake_bytes.saturating_mul(settings.handshakes_max as u64));
    Ok(config)
}

/// A hub node's side of connections it makes to other nodes, over the endpoint that sites call.
pub fn hub_node_config(identity: &Identity, settings: &Settings) -> Result<ClientConfig, TlsError> {
    let mut config = ClientConfig::new(Arc::new(tls::hub_node(identity)?));
    config.transport_config(unpaced(settings));
    Ok(config)
}

/// A host's side of connections on which it brings what it recorded as a standby.
pub fn host_config(identity: &Identity, settings: &Settings) -> Result<ClientConfig, TlsError> {
    let mut config = ClientConfig::new(Arc::new(tls::host(identity)?));
    config.transport_config(unpaced(settings));
    Ok(config)
}

/// For endpoints with many connections: see `smooth`.
fn unpaced(settings: &Settings) -> Arc<TransportConfig> {
    Arc::new(settings.transport(&Arc::default()))
}

/// Is the caller a host that brings what it recorded as a standby?
pub fn calls_as_host(connection: &Connection) -> bool {
    let data = connection.handshake_data().and_then(|data| data.downcast::<HandshakeData>().ok());
    data.and_then(|data| data.protocol).as_deref() == Some(HOST_ALPN)
}

/// Dials the hub node `node`, under its own name: no other node is taken for it, whatever its address is.
pub async fn connect_node(
    endpoint: &Endpoint,
    config: ClientConfig,
    (node, address): (&str, SocketAddr),
    timeout: Duration,
) -> Result<Connection, ConnectError> {
    // Without a slug for a name there is no name to ask for: rustls says so.
    let name = hub_dns_names(node).map_or_else(|_| node.to_owned(), |[name, _]| name);
    let connecting = endpoint
        .connect_with(config, address, &name)
        .map_err(|source| ConnectError::Dial { address, source })?;
    within(timeout, address, connecting).await
}

/// Dials a hub, under the name all hubs share.
///
/// A connection is no proof yet that the hub accepts *us*: it checks our certificate after we are done. A
/// refusal is the error of the first read; [`explain`] tells what it means.
pub async fn connect(
    endpoint: &Endpoint,
    address: SocketAddr,
    timeout: Duration,
) -> Result<Connection, ConnectError> {
    let connecting =
        endpoint.connect(address, HUB_NAME).map_err(|source| ConnectError::Dial { address, source })?;
    within(timeout, address, connecting).await
}

async fn within(
    timeout: Duration,
    address: SocketAddr,
    connecting: quinn::Connecting,
) -> Result<Connection, ConnectError> {
    match tokio::time::timeout(timeout, connecting).await {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(source)) => Err(ConnectError::Handshake { address, source }),
        Err(_) => Err(ConnectError::Timeout { address, after: timeout }),
    }
}

/// The socket among quinn's tasks.
fn wrapped(socket: UdpSocket, quic: &QuicHandle) -> Result<Arc<dyn AsyncUdpSocket>, EndpointError> {
    let address = address_of(socket.local_addr());
    quic.wrap_udp_socket(socket).map_err(|source| EndpointError::Socket { what: "UDP", address, source })
}

fn address_of(local: io::Result<SocketAddr>) -> SocketAddr {
    local.unwrap_or_else(|_| (Ipv4Addr::UNSPECIFIED, 0).into())
}

fn endpoint(
    socket: Arc<dyn AsyncUdpSocket>,
    config: EndpointConfig,
    server: Option<ServerConfig>,
    quic: &QuicHandle,
) -> Result<Endpoint, EndpointError> {
    let address = address_of(socket.local_addr());
    Endpoint::new_with_abstract_socket(config, server, socket, Arc::new(quic.clone()))
        .map_err(|source| EndpointError::Socket { what: "UDP", address, source })
}

fn socket(address: SocketAddr, settings: &Settings, egress: &Egress) -> Result<UdpSocket, EndpointError> {
    let open = || -> io::Result<Socket> {
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        if address.is_ipv6() {
            socket.set_only_v6(!address.ip().is_unspecified())?;
        }
        buffers::grow(&socket, settings.socket_buffer_bytes);
        socket.bind(&address.into())?;
        Ok(socket)
    };
    let socket = open().map_err(|source| EndpointError::Socket { what: "UDP", address, source })?;
    egress.bind(&socket)?;
    Ok(socket.into())
}
