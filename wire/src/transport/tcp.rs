//! TLS over TCP: what is left where UDP isn't let through. The same port number, the same certificates, the same
//! guarantees; one stream a connection, and small messages only.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls_pki_types::{CertificateDer, ServerName};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

use super::callers;
use super::egress::Egress;
use super::endpoint::EndpointError;
use super::identity::Identity;
use super::names::{HUB_NAME, NamesError, node_of, site_of};
use super::tls::{self, TlsError};
use crate::id::SiteId;

/// Connections that wait to be accepted: a restarted hub's sites come within a second.
const WAITING: i32 = 1024;

/// Why a connection came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum TcpError {
    /// Nobody answered in time, or somebody and then no more.
    #[error("{address} didn't answer over TCP within {after:?}")]
    Timeout {
        /// Who.
        address: SocketAddr,
        /// How long was waited.
        after: Duration,
    },
    /// The kernel or TLS says no.
    #[error("{address} over TCP: {source}")]
    Io {
        /// Who.
        address: SocketAddr,
        /// What they say.
        source: io::Error,
    },
    /// The other side's certificate is for somebody else.
    #[error("{address} over TCP: {source}")]
    Names {
        /// Who.
        address: SocketAddr,
        /// What is wrong.
        source: NamesError,
    },
}

impl TcpError {
    /// Did somebody answer, and say no?
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::Timeout { .. } => false,
            // rustls reports through `InvalidData`; a closed port is no refusal of us.
            Self::Io { source, .. } => source.kind() == io::ErrorKind::InvalidData,
            Self::Names { .. } => true,
        }
    }
}

/// Where sites come in.
#[derive(Debug)]
pub struct TcpHub {
    listener: TcpListener,
    acceptor: Acceptor,
}

/// One that has come, and has not yet shown who it is.
#[derive(Debug)]
pub struct TcpIncoming {
    stream: TcpStream,
    from: SocketAddr,
    acceptor: Acceptor,
}

#[derive(Clone)]
struct Acceptor(TlsAcceptor);

impl std::fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Acceptor")
    }
}

impl TcpHub {
    /// Listens where [`super::hub_endpoint`] does. `[::]` listens on IPv4 too.
    pub fn bind(listen: SocketAddr, identity: &Identity) -> Result<Self, EndpointError> {
        let acceptor = Acceptor(TlsAcceptor::from(Arc::new(callers::sites_only(identity)?)));
        let open = || -> io::Result<TcpListener> {
            let socket = Socket::new(Domain::for_address(listen), Type::STREAM, Some(Protocol::TCP))?;
            if listen.is_ipv6() {
                socket.set_only_v6(!listen.ip().is_unspecified())?;
            }
            socket.set_reuse_address(true)?;
            socket.set_nonblocking(true)?;
            socket.bind(&listen.into())?;
            socket.listen(WAITING)?;
            TcpListener::from_std(socket.into())
        };
        let listener =
            open().map_err(|source| EndpointError::Socket { what: "TCP", address: listen, source })?;
        Ok(Self { listener, acceptor })
    }

    /// The next who comes.
    pub async fn accept(&self) -> io::Result<TcpIncoming> {
        let (stream, from) = self.listener.accept().await?;
        Ok(TcpIncoming { stream, from, acceptor: self.acceptor.clone() })
    }
}

impl TcpIncoming {
    /// From where.
    pub fn from(&self) -> SocketAddr {
        self.from
    }

    /// Finds out which site it is.
    pub async fn handshake(self, limit: Duration) -> Result<(SiteId, TlsStream<TcpStream>), TcpError> {
        let address = self.from;
        let shake = async {
            self.stream.set_nodelay(true)?;
            self.acceptor.0.accept(self.stream).await
        };
        let stream = in_time(address, limit, shake).await?;
        let site = peer(stream.get_ref().1.peer_certificates()).and_then(site_of);
        let site = site.map_err(|source| TcpError::Names { address, source })?;
        Ok((site, stream.into()))
    }
}

/// Dials hubs.
#[derive(Clone)]
pub struct TcpDialer {
    connector: TlsConnector,
    egress: Egress,
}

impl std::fmt::Debug for TcpDialer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TcpDialer")
    }
}

impl TcpDialer {
    /// Shows a site's certificate.
    pub fn new(identity: &Identity) -> Result<Self, TlsError> {
        let connector = TlsConnector::from(Arc::new(tls::site_plain(identity)?));
        Ok(Self { connector, egress: Egress::default() })
    }

    /// The same, out of this machine elsewhere. Only the interface counts.
    pub fn by(&self, egress: &Egress) -> Self {
        Self { egress: egress.clone(), ..self.clone() }
    }

    /// Dials an address; which hub node it is comes with the connection. It is no proof yet that the hub accepts
    /// *us*: see [`super::connect`].
    pub async fn connect(
        &self,
        address: SocketAddr,
        limit: Duration,
    ) -> Result<(String, TlsStream<TcpStream>), TcpError> {
        let shake = async {
            let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
            self.egress.bind_tcp(&socket).map_err(io::Error::other)?;
            let stream = socket.connect(address).await?;
            stream.set_nodelay(true)?;
            let name = ServerName::try_from(HUB_NAME).map_err(io::Error::other)?;
            self.connector.connect(name, stream).await
        };
        let stream = in_time(address, limit, shake).await?;
        let node = peer(stream.get_ref().1.peer_certificates()).and_then(node_of);
        let node = node.map_err(|source| TcpError::Names { address, source })?;
        Ok((node, stream.into()))
    }
}

fn peer<'a>(chain: Option<&'a [CertificateDer<'static>]>) -> Result<&'a CertificateDer<'static>, NamesError> {
    chain.and_then(<[_]>::first).ok_or(NamesError::Missing)
}

async fn in_time<T>(
    address: SocketAddr,
    after: Duration,
    shake: impl Future<Output = io::Result<T>>,
) -> Result<T, TcpError> {
    match tokio::time::timeout(after, shake).await {
        Ok(done) => done.map_err(|source| TcpError::Io { address, source }),
        Err(_) => Err(TcpError::Timeout { address, after }),
    }
}
