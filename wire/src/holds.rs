//! Holds as a hub tells them and a site confirms them: their limits, their order, and the digest that says which of
//! them a site keeps.
//!
//! A site confirms *what* it keeps, not that it heard something: the digest is of every field that it obeys, and of
//! which history and revision of the control log they are.

use bytes::Bytes;

use crate::proto::{Hold, Holds};

/// Holds that a site is told at most.
pub const HOLDS_MAX: usize = 32;
/// Cameras that one names at most; for more of them it is of the whole site.
pub const HOLD_CAMERAS_MAX: usize = 16;
/// The longest reason.
pub const HOLD_REASON_BYTES_MAX: usize = 200;

/// Domain separation, so that no other use of BLAKE3 yields a digest.
const CONTEXT: &str = "holdfast 2026-11 holds v1";
const DIGEST_BYTES: usize = 16;

/// Says which holds are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; DIGEST_BYTES]);

impl Digest {
    /// Of these holds.
    pub fn of(holds: &Holds) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
        for number in [holds.generation, holds.salt, holds.revision, holds.holds.len() as u64] {
            hasher.update(&number.to_be_bytes());
        }
        for hold in &holds.holds {
            add(&mut hasher, hold);
        }
        let hash = hasher.finalize();
        let mut digest = [0; DIGEST_BYTES];
        digest.copy_from_slice(&hash.as_bytes()[..DIGEST_BYTES]);
        Self(digest)
    }

    /// Reads what a beat says; none if it says nothing, or nothing that makes sense.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// As it is sent.
    pub fn to_bytes(self) -> Bytes {
        Bytes::copy_from_slice(&self.0)
    }
}

fn add(hasher: &mut blake3::Hasher, hold: &Hold) {
    for number in [hold.from_us, hold.to_us, hold.until_us] {
        hasher.update(&number.to_be_bytes());
    }
    hasher.update(&hold.id.to_be_bytes());
    hasher.update(&(hold.cameras.len() as u64).to_be_bytes());
    for text in hold.cameras.iter().chain([&hold.reason]) {
        hasher.update(&(text.len() as u64).to_be_bytes());
        hasher.update(text.as_bytes());
    }
}

/// In which order tellings stand: what is higher is newer.
pub fn order(holds: &Holds) -> (u64, u64, u64) {
    (holds.generation, holds.salt, holds.revision)
}

/// Why holds that a hub tells are not taken.
pub fn check(holds: &Holds) -> Result<(), String> {
    if holds.holds.len() > HOLDS_MAX {
        return Err(format!("{} holds were told, at most {HOLDS_MAX} are taken", holds.holds.len()));
    }
    let too_large =
        |hold: &&Hold| hold.cameras.len() > HOLD_CAMERAS_MAX || hold.reason.len() > HOLD_REASON_BYTES_MAX;
    match holds.holds.iter().find(too_large) {
        Some(hold) => Err(format!("hold {} names too many cameras, or has too long a reason", hold.id)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds() -> Holds {
        let hold = Hold {
            id: 7,
            cameras: vec!["till-1".to_owned(), "door".to_owned()],
            from_us: 1,
            to_us: 2,
            until_us: 3,
            reason: "a theft".to_owned(),
        };
        Holds { generation: 1, salt: 2, revision: 7, holds: vec![hold] }
    }

    #[test]
    fn whatever_is_obeyed_is_in_the_digest() {
        let digest = Digest::of(&holds());
        let other = |spoil: &dyn Fn(&mut Holds)| {
            let mut other = holds();
            spoil(&mut other);
            assert_ne!(Digest::of(&other), digest, "{other:?}");
        };
        other(&|holds| holds.generation += 1);
        other(&|holds| holds.salt += 1);
        other(&|holds| holds.revision += 1);
        other(&|holds| holds.holds.clear());
        other(&|holds| holds.holds[0].id += 1);
        other(&|holds| holds.holds[0].from_us += 1);
        other(&|holds| holds.holds[0].to_us += 1);
        other(&|holds| holds.holds[0].until_us += 1);
        other(&|holds| holds.holds[0].reason.push('s'));
        other(&|holds| drop(holds.holds[0].cameras.pop()));
        other(&|holds| holds.holds[0].cameras = vec!["till-1door".to_owned()]);
        assert_eq!(Digest::from_bytes(&digest.to_bytes()), Some(digest));
        assert_eq!(Digest::from_bytes(b""), None);
    }

    #[test]
    fn more_than_the_limits_is_not_taken() {
        assert_eq!(check(&holds()), Ok(()));
        let many = Holds { holds: vec![holds().holds.remove(0); HOLDS_MAX + 1], ..holds() };
        assert!(check(&many).is_err());
        let mut long = holds();
        long.holds[0].reason = "x".repeat(HOLD_REASON_BYTES_MAX + 1);
        assert!(check(&long).is_err());
    }
}
