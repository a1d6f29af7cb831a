//! What is said to voters: made once, sent to all.

use bytes::Bytes;
use wire::proto::site_message::Kind;
use wire::{frame, proto};

use super::Facts;
use super::facts::Told;

/// A message on its way: its number among the run's beats, and its bytes with their length.
#[derive(Clone, Debug)]
pub(super) struct Saying {
    pub(super) number: u64,
    pub(super) frame: Bytes,
}

/// The newest of what is to be said. A voter that is late is told the newest only, but never misses a goodbye.
#[derive(Clone, Debug, Default)]
pub(super) struct Said {
    pub(super) beat: Option<Saying>,
    pub(super) bye: Option<Saying>,
    /// The highest number given out.
    number: u64,
}

impl Said {
    /// Says that the recorder is well.
    pub(super) fn beat(&mut self, facts: &Facts, told: &Told) {
        self.number += 1;
        let beat = facts.beat(self.number, told);
        self.beat = saying(self.number, Kind::Beat(beat)).or(self.beat.take());
    }

    /// Says goodbye; returns its number.
    pub(super) fn goodbye(&mut self, bye: proto::Bye) -> u64 {
        self.number += 1;
        let bye = proto::Bye { number: self.number, ..bye };
        self.bye = saying(self.number, Kind::Bye(bye));
        self.number
    }
}

/// `None` only for what is longer than any message may be, which a beat of a few thousand streams is not.
fn saying(number: u64, kind: Kind) -> Option<Saying> {
    let frame = frame::encode(&proto::SiteMessage { kind: Some(kind) }).ok()?;
    Some(Saying { number, frame })
}
