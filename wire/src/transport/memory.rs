//! What a hub remembers of connections across its own restart: nothing but a key, derived from its private key.
//!
//! With a key drawn anew at each start a restarted hub could not end its former connections, and each of its sites would
//! wait out its idle timeout. With this it answers a packet of a connection that it does not know with the reset token
//! that it gave out for it then (RFC 9000, 10.3): a site that sends anything learns of the restart a round trip later.
//! To noise it answers likewise, which ends nothing, and not more often than [`Settings::reset_interval`] says.
//!
//! Whoever knows the private key could reset connections; who knows it could do anything else as well. Two
//! hub nodes have two private keys, so that packets which stray to the wrong node reset nothing. What is
//! derived tells nothing of the private key.

use std::sync::Arc;

use quinn::EndpointConfig;
use quinn::crypto::{CryptoError, HmacKey};
use quinn_proto::RandomConnectionIdGenerator;

use super::identity::Identity;
use super::settings::Settings;

/// A change of these would only cost the restart in which it comes an idle timeout.
const RESET_CONTEXT: &str = "holdfast 2026-11 hub stateless reset v1";
/// Bytes of a connection id, which is in every packet to a hub: 4 of 1,452 less than quinn's own, and ids enough for a
/// hundred thousand connections. One that is taken already is drawn again.
const ID_BYTES: usize = 4;

/// The configuration of a hub's endpoint.
pub(super) fn endpoint_config(identity: &Identity, settings: &Settings) -> EndpointConfig {
    let mut config = EndpointConfig::new(Arc::new(ResetKey(identity.derive(RESET_CONTEXT))));
    config
        .cid_generator(|| Box::new(RandomConnectionIdGenerator::new(ID_BYTES)))
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
