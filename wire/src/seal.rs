//! What one machine only can read, whoever carries it or keeps it: HPKE (RFC 9180) in base mode, with X25519,
//! HKDF-SHA256 and ChaCha20-Poly1305.
//!
//! A hub node says its [`SealingKey`] in `Welcome`; a site seals its cameras' addresses and log-ins to it. The node keeps
//! them as they came, and opens them in memory: its disk without its private key, in a backup or at a dealer's, says
//! nothing. Who sealed something is not proved by this: the connection it came over did that.

use bytes::Bytes;
use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable, Kem, OpModeR, OpModeS, Serializable, single_shot_open, single_shot_seal};

use crate::{SiteId, proto};

/// What is sealed: no message is taken for one of another kind.
const CONFIGURATION: &[u8] = b"holdfast 2026-11 configuration of a site v1";

/// Why something could not be sealed or opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// These bytes are no key of this kind.
    #[error("{0} bytes are no key to seal to")]
    NoKey(usize),
    /// It is for somebody else, or for the key that this machine had before.
    #[error("it is sealed to another key than this machine has now")]
    AnotherKey,
    /// It was altered, or is of another site.
    #[error("what is sealed was altered, or is another site's")]
    Altered,
}

/// To whom something is sealed: no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealingKey(<X25519HkdfSha256 as Kem>::PublicKey);

/// What opens it.
#[derive(Clone)]
pub struct OpeningKey {
    private: <X25519HkdfSha256 as Kem>::PrivateKey,
    public: SealingKey,
}

impl SealingKey {
    /// The 32 bytes that [`Self::to_bytes`] made.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SealError> {
        Deserializable::from_bytes(bytes).map(Self).map_err(|_| SealError::NoKey(bytes.len()))
    }

    /// As it is told.
    pub fn to_bytes(&self) -> Bytes {
        Bytes::copy_from_slice(&self.0.to_bytes())
    }

    /// Seals a site's configuration.
    pub fn seal(&self, site: &SiteId, configuration: &[u8]) -> Result<proto::Sealed, SealError> {
        let sealed = single_shot_seal::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
            &OpModeS::Base,
            &self.0,
            CONFIGURATION,
            configuration,
            site.as_str().as_bytes(),
        );
        // A key of a small order is one that nobody has.
        let (key, text) = sealed.map_err(|_| SealError::NoKey(self.to_bytes().len()))?;
        Ok(proto::Sealed {
            to: self.to_bytes(),
            key: Bytes::copy_from_slice(&key.to_bytes()),
            text: text.into(),
        })
    }
}

impl OpeningKey {
    /// Always the same from one secret.
    pub fn derive(secret: &[u8; 32]) -> Self {
        let (private, public) = X25519HkdfSha256::derive_keypair(secret);
        Self { private, public: SealingKey(public) }
    }

    /// What is to be sealed to.
    pub fn sealing_key(&self) -> &SealingKey {
        &self.public
    }

    /// Opens what is sealed of a site.
    pub fn open(&self, site: &SiteId, sealed: &proto::Sealed) -> Result<Vec<u8>, SealError> {
        if sealed.to != self.public.to_bytes() {
            return Err(SealError::AnotherKey);
        }
        let key = Deserializable::from_bytes(&sealed.key).map_err(|_| SealError::Altered)?;
        let opened = single_shot_open::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
            &OpModeR::Base,
            &self.private,
            &key,
            CONFIGURATION,
            &sealed.text,
            site.as_str().as_bytes(),
        );
        opened.map_err(|_| SealError::Altered)
    }
}

impl std::fmt::Debug for OpeningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpeningKey").field("public", &self.public).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn site(n: u8) -> SiteId {
        SiteId::new(format!("shop-{n}")).unwrap()
    }

    #[test]
    fn only_the_machine_it_is_sealed_to_opens_it_and_only_as_that_sites() {
        let (own, other) = (OpeningKey::derive(&[1; 32]), OpeningKey::derive(&[2; 32]));
        let told = SealingKey::from_bytes(&own.sealing_key().to_bytes()).unwrap();
        let sealed = told.seal(&site(1), b"rtsp://10.0.0.5/ viewer secret").unwrap();
        assert!(!sealed.text.windows(6).any(|bytes| bytes == b"secret"));
        assert_eq!(own.open(&site(1), &sealed).unwrap(), b"rtsp://10.0.0.5/ viewer secret");
        assert_eq!(
            OpeningKey::derive(&[1; 32]).open(&site(1), &sealed).unwrap().len(),
            30,
            "at the next start"
        );
        assert_eq!(own.open(&site(2), &sealed), Err(SealError::Altered));
        assert_eq!(other.open(&site(1), &sealed), Err(SealError::AnotherKey));
        let renamed = proto::Sealed { to: other.sealing_key().to_bytes(), ..sealed };
        assert_eq!(other.open(&site(1), &renamed), Err(SealError::Altered));
        assert_eq!(SealingKey::from_bytes(&[7; 31]), Err(SealError::NoKey(31)));
    }

    #[test]
    fn a_key_that_nobody_has_is_not_sealed_to() {
        let nobody = SealingKey::from_bytes(&[0; 32]);
        assert_eq!(nobody.and_then(|key| key.seal(&site(1), b"secret")), Err(SealError::NoKey(32)));
    }

    #[test]
    fn nobody_prints_a_private_key() {
        let key = OpeningKey::derive(&[1; 32]);
        let shown = format!("{key:?}");
        assert!(shown.contains("public") && !shown.contains("private"), "{shown}");
    }

    proptest! {
        #[test]
        fn what_was_altered_is_not_opened(at in 0usize..92, bit in 0u8..8) {
            let own = OpeningKey::derive(&[1; 32]);
            let mut sealed = own.sealing_key().seal(&site(1), &[9; 12]).unwrap();
            let mut all = [&sealed.to[..], &sealed.key, &sealed.text].concat();
            prop_assert_eq!(all.len(), 92);
            all[at] ^= 1 << bit;
            (sealed.to, sealed.key, sealed.text) = (
                Bytes::copy_from_slice(&all[..32]),
                Bytes::copy_from_slice(&all[32..64]),
                Bytes::copy_from_slice(&all[64..]),
            );
            // The highest bit of an X25519 key says nothing (RFC 7748, 5); the copy that the secret is bound to does.
            prop_assert!(own.open(&site(1), &sealed).is_err());
        }

        #[test]
        fn rubbish_is_refused(to in any::<bool>(), key: Vec<u8>, text: Vec<u8>) {
            let own = OpeningKey::derive(&[1; 32]);
            let to = if to { own.sealing_key().to_bytes() } else { Bytes::new() };
            let sealed = proto::Sealed { to, key: key.into(), text: text.into() };
            prop_assert!(own.open(&site(1), &sealed).is_err());
        }
    }
}
