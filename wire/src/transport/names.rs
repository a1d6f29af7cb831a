//! Who a certificate speaks for: the DNS names in it and nothing else.
//!
//! A site's certificate has one name under `site.holdfast.internal`. A hub node's has one under
//! `hub.holdfast.internal`, and [`HUB_NAME`] itself, which a site asks for whatever address it dials:
//! hubs move, certificates needn't. The names are never looked up in any DNS.
//!
//! Guarantee: no certificate speaks for two parties, and a hub's never for a site. What is ambiguous is
//! refused.

use rustls_pki_types::CertificateDer;

use crate::id::{NameError, SiteId, check_slug};

/// The server name a site asks for; every hub node's certificate carries it.
pub const HUB_NAME: &str = "hub.holdfast.internal";

/// What follows the site in a site's name.
const SITE_SUFFIX: &str = ".site.holdfast.internal";

/// What follows the node in a hub node's name.
const HUB_SUFFIX: &str = ".hub.holdfast.internal";

/// Why a certificate was not accepted as anybody's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NamesError {
    /// Not an X.509 certificate that can be read.
    #[error("the certificate can't be read ({0}): make a new one with `holdfast init`")]
    Unreadable(String),
    /// No name of ours in it.
    #[error(
        "the certificate is for neither a site nor a hub (its names: {0}): make one with `holdfast init`"
    )]
    NotOurs(String),
    /// Several names that contradict each other.
    #[error("the certificate speaks for more than one party ({0}): make one certificate for each")]
    Ambiguous(String),
    /// It's a hub's where a site's is needed.
    #[error("the certificate is of hub node `{0}`, and a site's is needed here")]
    NotASite(String),
    /// It's a site's where a hub node's is needed.
    #[error("the certificate is of site `{0}`, and a hub node's is needed here")]
    NotAHub(SiteId),
    /// The name is under ours, but what is in front is not a slug.
    #[error("the certificate's name `{name}` is not usable: {source}")]
    NotASlug {
        /// The DNS name.
        name: String,
        /// What is wrong with it.
        source: NameError,
    },
    /// The connection has no certificate of the peer.
    #[error("the peer showed no certificate")]
    Missing,
}

/// Whom a certificate speaks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holder {
    /// The agent of a site.
    Site(SiteId),
    /// A hub node.
    Hub(String),
}

/// The one DNS name in a site's certificate.
pub fn site_dns_name(site: &SiteId) -> String {
    format!("{site}{SITE_SUFFIX}")
}

/// The DNS names in a hub node's certificate. `node` is a slug.
pub fn hub_dns_names(node: &str) -> Result<[String; 2], NameError> {
    check_slug(node)?;
    Ok([format!("{node}{HUB_SUFFIX}"), HUB_NAME.to_owned()])
}

/// Whom `cert` speaks for. It says nothing of who signed it: that is checked in the handshake.
pub fn holder_of(cert: &CertificateDer<'_>) -> Result<Holder, NamesError> {
    let cert =
        webpki::EndEntityCert::try_from(cert).map_err(|error| NamesError::Unreadable(error.to_string()))?;
    let names: Vec<&str> = cert.valid_dns_names().collect();
    let all = || if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    let mut holders = Vec::new();
    let mut says_hub = false;
    for name in &names {
        // DNS names have no case, slugs are lower-case: `TILL.Site…` counts as a name and is then refused.
        let lower = name.to_ascii_lowercase();
        if lower == HUB_NAME {
            says_hub = true;
        } else if lower.ends_with(SITE_SUFFIX) {
            let slug = &name[..name.len() - SITE_SUFFIX.len()];
            holders.push(Holder::Site(SiteId::new(slug).map_err(|error| unusable(name, error))?));
        } else if lower.ends_with(HUB_SUFFIX) {
            let slug = &name[..name.len() - HUB_SUFFIX.len()];
            check_slug(slug).map_err(|error| unusable(name, error))?;
            holders.push(Holder::Hub(slug.to_owned()));
        }
    }
    match (holders.pop(), says_hub) {
        (None, _) => Err(NamesError::NotOurs(all())),
        (Some(_), _) if !holders.is_empty() => Err(NamesError::Ambiguous(all())),
        (Some(Holder::Site(_)), true) => Err(NamesError::Ambiguous(all())),
        (Some(Holder::Hub(_)), false) => Err(NamesError::NotOurs(all())),
        (Some(holder), _) => Ok(holder),
    }
}

fn unusable(name: &str, source: NameError) -> NamesError {
    NamesError::NotASlug { name: name.to_owned(), source }
}

/// The site a certificate speaks for; a hub's certificate is refused.
pub fn site_of(cert: &CertificateDer<'_>) -> Result<SiteId, NamesError> {
    match holder_of(cert)? {
        Holder::Site(site) => Ok(site),
        Holder::Hub(node) => Err(NamesError::NotASite(node)),
    }
}

/// The hub node a certificate speaks for; a site's certificate is refused.
pub fn node_of(cert: &CertificateDer<'_>) -> Result<String, NamesError> {
    match holder_of(cert)? {
        Holder::Hub(node) => Ok(node),
        Holder::Site(site) => Err(NamesError::NotAHub(site)),
    }
}

/// The site at the other end of a connection to the hub.
pub fn peer_site(connection: &quinn::Connection) -> Result<SiteId, NamesError> {
    site_of(&peer(connection)?)
}

/// The hub node at the other end of a connection to it.
pub fn peer_node(connection: &quinn::Connection) -> Result<String, NamesError> {
    node_of(&peer(connection)?)
}

/// Whoever is at the other end of a connection.
pub fn peer_holder(connection: &quinn::Connection) -> Result<Holder, NamesError> {
    holder_of(&peer(connection)?)
}

fn peer(connection: &quinn::Connection) -> Result<CertificateDer<'static>, NamesError> {
    let identity = connection.peer_identity().ok_or(NamesError::Missing)?;
    let chain = identity.downcast::<Vec<CertificateDer<'static>>>().map_err(|_| NamesError::Missing)?;
    chain.into_iter().next().ok_or(NamesError::Missing)
}
