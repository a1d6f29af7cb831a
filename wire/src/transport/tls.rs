//! Both sides' rustls configuration.
//!
//! ring is passed explicitly, so that no process-wide default decides; TLS 1.3 only, since QUIC has no
//! other; both sides show a certificate.
//!
//! Guarantee: a handshake the hub completes is with exactly one site, or with another hub node where that was
//! asked for: `callers` has accepted the certificate before the first byte of its holder is heard.
//!
//! No session tickets are handed out: a resumed session skips the certificate, so that an expired or
//! withdrawn one would live on for as long as its ticket. A full handshake at each redial costs one round
//! trip's work, and redials are rare. Without tickets there is no 0-RTT either, whose data an
//! eavesdropper could replay.

use std::sync::Arc;

use quinn::crypto;
use quinn::crypto::rustls::{NoInitialCipherSuite, QuicClientConfig};
use rustls::Error;
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::server::VerifierBuilderError;
use rustls::sign::SingleCertAndKey;

use super::callers::Callers;
use super::identity::Identity;

/// The protocol both sides must name in the handshake. It changes only when the framing does; versions of
/// the messages are agreed on in `Hello`.
pub const ALPN: &[u8] = b"holdfast/1";

/// The protocol that hub nodes speak with each other, on the same port.
pub const HUB_ALPN: &[u8] = b"holdfast-hub/1";

/// The protocol of a host, a hub node or a site's machine, that brings what it recorded for a site.
pub const HOST_ALPN: &[u8] = b"holdfast-host/1";

/// Why a TLS configuration could not be made.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The authority can't be used to check the other side.
    #[error("the authority's certificate can't check others: {0}")]
    Authority(#[from] VerifierBuilderError),
    /// rustls refused.
    #[error("TLS can't be set up: {0}")]
    Rustls(#[from] Error),
    /// ring without the suite QUIC begins with: a broken build.
    #[error("this build has no cipher suite for QUIC: {0}")]
    Suite(#[from] NoInitialCipherSuite),
}

/// The cryptography used everywhere.
pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// TLS of the hub in QUIC: shows a certificate and wants a site's, or another hub node's under its protocol.
pub fn hub(identity: &Identity) -> Result<Arc<dyn crypto::ServerConfig>, TlsError> {
    Ok(Arc::new(Callers::new(identity)?))
}

/// TLS of a site in QUIC: shows a certificate and wants a hub's.
pub fn site(identity: &Identity) -> Result<QuicClientConfig, TlsError> {
    Ok(QuicClientConfig::try_from(caller(identity, ALPN)?)?)
}

/// TLS of a hub node that calls another.
pub fn hub_node(identity: &Identity) -> Result<QuicClientConfig, TlsError> {
    Ok(QuicClientConfig::try_from(caller(identity, HUB_ALPN)?)?)
}

/// TLS of a host that brings what it recorded as a standby: it shows a hub node's certificate, or a site's.
pub fn host(identity: &Identity) -> Result<QuicClientConfig, TlsError> {
    Ok(QuicClientConfig::try_from(caller(identity, HOST_ALPN)?)?)
}

/// TLS of a site without QUIC.
pub(super) fn site_plain(identity: &Identity) -> Result<rustls::ClientConfig, TlsError> {
    caller(identity, ALPN)
}

fn caller(identity: &Identity, protocol: &[u8]) -> Result<rustls::ClientConfig, TlsError> {
    let mut config = rustls::ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(identity.roots())
        .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(identity.certified())));
    config.alpn_protocols = vec![protocol.to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    Ok(config)
}
