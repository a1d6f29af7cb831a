//! The hub's side of the handshake: sites and other hub nodes call on one socket, each under its own protocol.
//!
//! Which protocol a caller asks for is in its first message, whose certificate it shows comes later; rustls tells
//! the one to who picks our certificate, and the other to who checks theirs. So each handshake gets a
//! configuration of its own, in which the two share a note.
//!
//! Guarantee: a completed handshake under [`ALPN`] is with a site, one under [`HUB_ALPN`] with a hub node, one under
//! [`HOST_ALPN`] with one or the other.

use std::sync::{Arc, OnceLock};

use quinn::crypto::rustls::QuicServerConfig;
use quinn_proto::ConnectionId;
use quinn_proto::crypto::{Keys, ServerConfig, Session, UnsupportedVersion};
use quinn_proto::transport_parameters::TransportParameters;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use rustls_pki_types::{CertificateDer, UnixTime};

use super::identity::Identity;
use super::names::{Holder, holder_of};
use super::tls::{ALPN, HOST_ALPN, HUB_ALPN, TlsError, provider};

/// Makes each handshake's configuration.
pub(super) struct Callers {
    chain: Arc<dyn ClientCertVerifier>,
    ours: Arc<CertifiedKey>,
    /// What does not depend on the caller.
    common: Arc<QuicServerConfig>,
}

/// Whose protocol the caller asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Sites,
    Hosts,
    Hubs,
}

/// Empty until the caller's first message was read.
type Note = Arc<OnceLock<Asked>>;

impl Callers {
    pub(super) fn new(identity: &Identity) -> Result<Self, TlsError> {
        let chain = WebPkiClientVerifier::builder_with_provider(identity.roots(), provider()).build()?;
        let ours = identity.certified();
        let common = Arc::new(one_handshake(chain.clone(), ours.clone())?);
        Ok(Self { chain, ours, common })
    }
}

fn one_handshake(
    chain: Arc<dyn ClientCertVerifier>,
    ours: Arc<CertifiedKey>,
) -> Result<QuicServerConfig, TlsError> {
    // In this order, as in `asked`: who offers several is taken for a site first.
    let protocols = vec![ALPN.to_vec(), HOST_ALPN.to_vec(), HUB_ALPN.to_vec()];
    Ok(QuicServerConfig::try_from(config((chain, ours), Note::default(), protocols)?)?)
}

/// The hub's side without QUIC, where only sites call.
pub(super) fn sites_only(identity: &Identity) -> Result<rustls::ServerConfig, TlsError> {
    let chain = WebPkiClientVerifier::builder_with_provider(identity.roots(), provider()).build()?;
    let asked = Arc::new(OnceLock::from(Asked::Sites));
    config((chain, identity.certified()), asked, vec![ALPN.to_vec()])
}

fn config(
    (chain, ours): (Arc<dyn ClientCertVerifier>, Arc<CertifiedKey>),
    asked: Note,
    protocols: Vec<Vec<u8>>,
) -> Result<rustls::ServerConfig, TlsError> {
    let mut config = rustls::ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(Arc::new(Verifier { chain, asked: asked.clone() }))
        .with_cert_resolver(Arc::new(Resolver { ours, asked }));
    config.alpn_protocols = protocols;
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(config)
}

impl ServerConfig for Callers {
    fn initial_keys(&self, version: u32, to: &ConnectionId) -> Result<Keys, UnsupportedVersion> {
        self.common.initial_keys(version, to)
    }

    fn retry_tag(&self, version: u32, to: &ConnectionId, packet: &[u8]) -> [u8; 16] {
        self.common.retry_tag(version, to, packet)
    }

    fn start_session(self: Arc<Self>, version: u32, params: &TransportParameters) -> Box<dyn Session> {
        // It worked once with the same parts, in `new`. If it ever doesn't, `common` refuses its second caller.
        let config = one_handshake(self.chain.clone(), self.ours.clone());
        config.map_or_else(|_| self.common.clone(), Arc::new).start_session(version, params)
    }
}

/// Shows our certificate, and notes what the caller asked for.
#[derive(Debug)]
struct Resolver {
    ours: Arc<CertifiedKey>,
    asked: Note,
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let asked = asked(&hello);
        // A caller may have to repeat its first message. It may not change its mind.
        (*self.asked.get_or_init(|| asked) == asked).then(|| self.ours.clone())
    }
}

/// Which of its protocols will be agreed on.
fn asked(hello: &ClientHello<'_>) -> Asked {
    let offers = |protocol| hello.alpn().is_some_and(|mut offered| offered.any(|name| name == protocol));
    match () {
        () if offers(ALPN) => Asked::Sites,
        () if offers(HOST_ALPN) => Asked::Hosts,
        () => Asked::Hubs,
    }
}

/// Webpki's checks of the chain, and then: it must be a certificate of the party that speaks the protocol asked
/// for. One authority signs both, and neither may pass for the other.
#[derive(Debug)]
struct Verifier {
    chain: Arc<dyn ClientCertVerifier>,
    asked: Note,
}

impl ClientCertVerifier for Verifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chain.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.chain.verify_client_cert(end_entity, intermediates, now)?;
        match (holder_of(end_entity), self.asked.get()) {
            (Ok(Holder::Site(_)), Some(Asked::Sites | Asked::Hosts))
            | (Ok(Holder::Hub(_)), Some(Asked::Hubs | Asked::Hosts)) => Ok(verified),
            (holder, _) => {
                tracing::debug!(?holder, "refused a certificate in the handshake");
                Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
            }
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}
