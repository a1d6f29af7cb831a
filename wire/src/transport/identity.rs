//! What one party proves itself with: its certificate, its key, and the authority it trusts.
//!
//! Loading finds every mistake that can be found without the other side, and says which file is wrong and
//! what to do. It does not look at the clock: a recorder whose clock died must still start and record, so
//! the dates are a question of their own, [`Identity::check`].
//!
//! It never knows who else has a certificate, and never shows a key.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::sign::CertifiedKey;
use rustls::{InconsistentKeys, RootCertStore};
use rustls_pki_types::pem::{Error as PemError, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use webpki::{EndEntityCert, KeyUsage};

pub use super::names::Holder;
use super::names::{NamesError, holder_of};
use super::tls::provider;
use crate::id::SiteId;
use crate::seal::OpeningKey;
use crate::time::UnixMicros;

const OPENING_CONTEXT: &str = "holdfast 2026-11 key that configurations are sealed to v1";
const SEED_CONTEXT: &str = "holdfast 2026-11 secrets beside a private key v1";

/// What is wrong with the files.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A file can't be read, or isn't PEM.
    #[error("read {what} {}: {why}", path.display())]
    File {
        /// Which of the three.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        why: String,
    },
    /// The certificate has the wrong names in it.
    #[error("certificate {}: {source}", path.display())]
    Names {
        /// The file.
        path: PathBuf,
        /// What is wrong with the names.
        source: NamesError,
    },
    /// Certificate and key are of different pairs.
    #[error(
        "key {} doesn't belong to certificate {}: were the files of two machines mixed up?",
        key.display(), cert.display()
    )]
    KeyMismatch {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// The certificate is somebody else's kind.
    #[error("certificate {} is of hub node `{node}`: a site needs one made for a site", path.display())]
    NotASite {
        /// The certificate's file.
        path: PathBuf,
        /// The hub node it is for.
        node: String,
    },
    /// Likewise.
    #[error("certificate {} is of site `{site}`: a hub needs one made for a hub node", path.display())]
    NotAHub {
        /// The certificate's file.
        path: PathBuf,
        /// The site it is for.
        site: SiteId,
    },
    /// Its time is over.
    #[error(
        "certificate {} (or the authority that signed it) expired {} ago by this machine's clock: renew it, \
         or set the clock", path.display(), Coarse(*ago)
    )]
    Expired {
        /// The certificate's file.
        path: PathBuf,
        /// Since when.
        ago: Duration,
    },
    /// Its time has not come.
    #[error(
        "certificate {} (or the authority that signed it) is valid only in {} by this machine's clock: is \
         the clock right?", path.display(), Coarse(*wait)
    )]
    NotYetValid {
        /// The certificate's file.
        path: PathBuf,
        /// How long until then.
        wait: Duration,
    },
    /// The other side would refuse it.
    #[error("certificate {} is not one that {} vouches for: {why}", path.display(), roots.display())]
    Untrusted {
        /// The certificate's file.
        path: PathBuf,
        /// The authority's file.
        roots: PathBuf,
        /// What webpki says.
        why: String,
    },
}

/// One party's certificate, key and authority, loaded and found to fit together.
#[derive(Clone)]
pub struct Identity {
    roots: Arc<RootCertStore>,
    certified: Arc<CertifiedKey>,
    /// What [`Self::derive`] derives from: derived itself, so that no second copy of the key stays in memory.
    seed: [u8; 32],
    holder: Holder,
    cert_path: PathBuf,
    roots_path: PathBuf,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { holder, cert_path, .. } = self;
        f.debug_struct("Identity").field("holder", holder).field("cert", cert_path).finish_non_exhaustive()
    }
}

impl Identity {
    /// Loads three PEM files: the authority's certificate, one's own certificate followed by any
    /// intermediate ones, and its private key.
    pub fn load(roots: &Path, cert: &Path, key: &Path) -> Result<Self, IdentityError> {
        let mut store = RootCertStore::empty();
        for root in certificates("authority", roots)? {
            store.add(root).map_err(|error| file("authority", roots, error))?;
        }
        let chain = certificates("certificate", cert)?;
        let holder = chain.first().map_or(Err(NamesError::Missing), holder_of);
        let holder = holder.map_err(|source| IdentityError::Names { path: cert.to_owned(), source })?;
        let private =
            PrivateKeyDer::from_pem_file(key).map_err(|error| file("key", key, pem_advice(error)))?;
        let seed = blake3::derive_key(SEED_CONTEXT, private.secret_der());
        let certified = CertifiedKey::from_der(chain, private, &provider()).map_err(|error| match error {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                IdentityError::KeyMismatch { cert: cert.to_owned(), key: key.to_owned() }
            }
            error => file("key", key, error),
        })?;
        Ok(Self {
            roots: Arc::new(store),
            certified: Arc::new(certified),
            seed,
            holder,
            cert_path: cert.to_owned(),
            roots_path: roots.to_owned(),
        })
    }

    /// Whom the certificate speaks for.
    pub fn holder(&self) -> &Holder {
        &self.holder
    }

    /// The site the certificate speaks for.
    pub fn site(&self) -> Result<&SiteId, IdentityError> {
        match &self.holder {
            Holder::Site(site) => Ok(site),
            Holder::Hub(node) => {
                Err(IdentityError::NotASite { path: self.cert_path.clone(), node: node.clone() })
            }
        }
    }

    /// The hub node the certificate speaks for.
    pub fn node(&self) -> Result<&str, IdentityError> {
        match &self.holder {
            Holder::Hub(node) => Ok(node),
            Holder::Site(site) => {
                Err(IdentityError::NotAHub { path: self.cert_path.clone(), site: site.clone() })
            }
        }
    }

    /// Says whether the other side will accept this certificate at `now`: dates, authority, purpose.
    /// Worth a warning and not a refusal to start, because recording needs no certificate.
    pub fn check(&self, now: UnixMicros) -> Result<(), IdentityError> {
        let since_epoch = now.since(UnixMicros(0));
        let usage = match self.holder {
            Holder::Site(_) => KeyUsage::client_auth(),
            Holder::Hub(_) => KeyUsage::server_auth(),
        };
        let [first, intermediates @ ..] = self.chain() else {
            return Err(self.untrusted("the file has no certificate"));
        };
        let end = EndEntityCert::try_from(first).map_err(|error| self.untrusted(error))?;
        let verified = end.verify_for_usage(
            webpki::ALL_VERIFICATION_ALGS,
            &self.roots.roots,
            intermediates,
            UnixTime::since_unix_epoch(since_epoch),
            usage,
            None,
            None,
        );
        let path = self.cert_path.clone();
        match verified {
            Ok(_) => Ok(()),
            Err(webpki::Error::CertExpired { time, not_after }) => {
                Err(IdentityError::Expired { path, ago: between(not_after, time) })
            }
            Err(webpki::Error::CertNotValidYet { time, not_before }) => {
                Err(IdentityError::NotYetValid { path, wait: between(time, not_before) })
            }
            Err(error) => Err(self.untrusted(error)),
        }
    }

    /// The authority's certificates.
    pub(super) fn roots(&self) -> Arc<RootCertStore> {
        self.roots.clone()
    }

    /// Certificate and key as rustls wants them.
    pub(super) fn certified(&self) -> Arc<CertifiedKey> {
        self.certified.clone()
    }

    /// Opens what is sealed to this machine. Another private key is another one of these.
    pub fn opening_key(&self) -> OpeningKey {
        OpeningKey::derive(&self.derive(OPENING_CONTEXT))
    }

    /// A key for something else, the same at each start. `context` says for what, and for that only.
    pub(super) fn derive(&self, context: &str) -> [u8; 32] {
        blake3::derive_key(context, &self.seed)
    }

    fn chain(&self) -> &[CertificateDer<'static>] {
        &self.certified.cert
    }

    fn untrusted(&self, why: impl fmt::Display) -> IdentityError {
        IdentityError::Untrusted {
            path: self.cert_path.clone(),
            roots: self.roots_path.clone(),
            why: why.to_string(),
        }
    }
}

fn certificates(what: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, IdentityError> {
    let found: Result<Vec<_>, PemError> = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    match found {
        Ok(certs) if certs.is_empty() => Err(file(what, path, pem_advice(PemError::NoItemsFound))),
        Ok(certs) => Ok(certs),
        Err(error) => Err(file(what, path, pem_advice(error))),
    }
}

fn file(what: &'static str, path: &Path, why: impl fmt::Display) -> IdentityError {
    IdentityError::File { what, path: path.to_owned(), why: why.to_string() }
}

fn pem_advice(error: PemError) -> String {
    match error {
        PemError::Io(error) => error.to_string(),
        PemError::NoItemsFound => "there is none in this file: is it the right one, and PEM?".to_owned(),
        error => format!("{error}: it must be PEM, as `holdfast init` writes it"),
    }
}

fn between(earlier: UnixTime, later: UnixTime) -> Duration {
    Duration::from_secs(later.as_secs().saturating_sub(earlier.as_secs()))
}

/// A duration for people: days, or hours, or minutes.
struct Coarse(Duration);

impl fmt::Display for Coarse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_secs() / 60 {
            minutes if minutes >= 48 * 60 => write!(f, "{} days", minutes / (24 * 60)),
            minutes if minutes >= 120 => write!(f, "{} hours", minutes / 60),
            minutes => write!(f, "{minutes} minutes"),
        }
    }
}
