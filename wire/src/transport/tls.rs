//! Both sides' rustls configuration.
//!
//! ring is passed explicitly, so that no process-wide default decides; TLS 1.3 only, since QUIC has no
//! other; both sides show a certificate.
//!
//! Guarantee: a handshake the hub completes is with exactly one site ([`site_of`] has accepted the
//! certificate before the first byte of it is heard).
//!
//! No session tickets are handed out: a resumed session skips the certificate, so that an expired or
//! withdrawn one would live on for as long as its ticket. A full handshake at each redial costs one round
//! trip's work, and redials are rare. Without tickets there is no 0-RTT either, whose data an
//! eavesdropper could replay.

use std::sync::Arc;

use quinn::crypto::rustls::{NoInitialCipherSuite, QuicClientConfig, QuicServerConfig};
use rustls::client::Resumption;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::CryptoProvider;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoServerSessionStorage, VerifierBuilderError, WebPkiClientVerifier};
use rustls::sign::SingleCertAndKey;
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use rustls_pki_types::{CertificateDer, UnixTime};

use super::identity::Identity;
use super::names::site_of;

/// The protocol both sides must name in the handshake. It changes only when the framing does; versions of
/// the messages are agreed on in `Hello`.
pub const ALPN: &[u8] = b"holdfast/1";

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

/// TLS of the hub in QUIC.
pub fn hub(identity: &Identity) -> Result<QuicServerConfig, TlsError> {
    Ok(QuicServerConfig::try_from(hub_plain(identity)?)?)
}

/// TLS of a site in QUIC.
pub fn site(identity: &Identity) -> Result<QuicClientConfig, TlsError> {
    Ok(QuicClientConfig::try_from(site_plain(identity)?)?)
}

/// TLS of the hub: shows a certificate and wants a site's.
pub(super) fn hub_plain(identity: &Identity) -> Result<rustls::ServerConfig, TlsError> {
    let chain = WebPkiClientVerifier::builder_with_provider(identity.roots(), provider()).build()?;
    let mut config = rustls::ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(Arc::new(SiteVerifier { chain }))
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(identity.certified())));
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(config)
}

/// TLS of a site: shows a certificate and wants a hub's.
pub(super) fn site_plain(identity: &Identity) -> Result<rustls::ClientConfig, TlsError> {
    let mut config = rustls::ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(identity.roots())
        .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(identity.certified())));
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    Ok(config)
}

/// Webpki's checks of the chain, and then: it must be a site's certificate. One authority signs hubs too,
/// and a hub's certificate must not open a site's connection.
#[derive(Debug)]
struct SiteVerifier {
    chain: Arc<dyn ClientCertVerifier>,
}

impl ClientCertVerifier for SiteVerifier {
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
        match site_of(end_entity) {
            Ok(_) => Ok(verified),
            Err(error) => {
                tracing::debug!(%error, "refused a certificate in the handshake");
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
