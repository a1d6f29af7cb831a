//! What a hub remembers of connections across its own restart: nothing but two keys, derived from its
//! private key.
//!
//! With keys drawn anew at each start a restarted hub could not tell packets of its former connections from
//! noise, and each of its sites would wait out its idle timeout. With these it recognises its own connection
//! ids and answers with the reset token it gave out then (RFC 9000, 10.3): a site that sends anything learns
//! of the restart a round trip later.
//!
//! Whoever knows the private key could reset connections; who knows it could do anything else as well. Two
//! hub nodes have two private keys, so that packets which stray to the wrong node reset nothing. What is
//! derived tells nothing of the private key, nor of each other.

use std::sync::Arc;

use quinn::EndpointConfig;
use quinn::crypto::{CryptoError, HmacKey};
use quinn_proto::HashedConnectionIdGenerator;

use super::identity::Identity;
use super::settings::Settings;

/// A change of these would only cost the restart in which it comes an idle timeout.
const RESET_CONTEXT: &str = "holdfast 2026-11 hub stateless reset v1";
const ID_CONTEXT: &str = "holdfast 2026-11 hub connection ids v1";

/// The configuration of a hub's endpoint.
pub(super) fn endpoint_config(identity: &Identity, settings: &Settings) -> EndpointConfig {
    let mut config = EndpointConfig::new(Arc::new(ResetKey(identity.derive(RESET_CONTEXT))));
    let [a, b, c, d, e, f, g, h, ..] = identity.derive(ID_CONTEXT);
    let id_key = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
    config
        .cid_generator(move || Box::new(HashedConnectionIdGenerator::from_key(id_key)))
        .min_reset_interval(settings.reset_interval);
    config
}

/// A connection id → the token that ends its connection.
struct ResetKey([u8; 32]);

impl ResetKey {
    fn token(&self, id: &[u8]) -> blake3::Hash {
        blake3::keyed_hash(&self.0, id)
    }
}

impl HmacKey for ResetKey {
    fn sign(&self, data: &[u8], signature_out: &mut [u8]) {
        signature_out.copy_from_slice(self.token(data).as_bytes());
    }

    fn signature_len(&self) -> usize {
        blake3::OUT_LEN
    }

    fn verify(&self, data: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
        // Compared in constant time.
        let same = <[u8; blake3::OUT_LEN]>::try_from(signature).is_ok_and(|given| self.token(data) == given);
        if same { Ok(()) } else { Err(CryptoError) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_of_one_key_and_one_id() {
        let (one, other) = (ResetKey([1; 32]), ResetKey([2; 32]));
        let mut token = vec![0; one.signature_len()];
        one.sign(b"id", &mut token);
        assert!(one.verify(b"id", &token).is_ok());
        assert!(one.verify(b"di", &token).is_err());
        assert!(one.verify(b"id", &token[1..]).is_err());
        assert!(other.verify(b"id", &token).is_err());
    }
}
