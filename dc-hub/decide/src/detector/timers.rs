//! The timers, and how they hang together. `docs/design/quorum.md` has the arithmetic.

use std::time::Duration;

/// Every timer of the detector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timers {
    /// Between two beats.
    pub beat: Duration,
    /// A beat no older than this says that the recorder lives.
    pub fresh: Duration,
    /// After this silence other sites are asked to relay: early enough to be answered within the short timer.
    pub ask_peers: Duration,
    /// The short timer is never shorter: an agent whose UDP is blocked falls back to TCP within it.
    pub short_min: Duration,
    /// Nor longer, whatever the gaps were: a recorder whose cameras answer is taken over within 10 s. A needless
    /// activation does no harm; a missing one loses footage.
    pub short_max: Duration,
    /// Silence alone.
    pub long: Duration,
    /// After a path reopened: the longest redial plus a handshake, and no less than the idle timeout of a
    /// connection that survived the cut.
    pub reopen_wait: Duration,
    /// Gaps up to this are stored as they come; longer ones when it is known that the path held.
    pub gap_plain: Duration,
    /// A report of a candidate host says nothing when it is older than this.
    pub answers_fresh: Duration,
    /// A camera that should record and has nothing new durable for so long has stalled.
    pub progress: Duration,
    /// After a round was opened, a voter that still hears has heard a beat and said so within this: two beats,
    /// and the way through the log.
    pub listen: Duration,
    /// How often a silent recorder is looked at again.
    pub look: Duration,
}

impl Default for Timers {
    fn default() -> Self {
        let beat = Duration::from_millis(500);
        Self {
            beat,
            fresh: 3 * beat,
            ask_peers: 2 * beat + beat / 2,
            short_min: Duration::from_secs(2),
            short_max: Duration::from_secs(4),
            long: Duration::from_secs(15),
            reopen_wait: Duration::from_secs(12),
            gap_plain: beat + beat / 4,
            answers_fresh: Duration::from_millis(1_500),
            progress: Duration::from_secs(5),
            listen: Duration::from_millis(1_200),
            look: Duration::from_millis(100),
        }
    }
}

impl Timers {
    /// The short timer for a recorder whose beats have gaps like this.
    pub fn short(&self, gap_p999: Duration) -> Duration {
        (3 * gap_p999).min(self.short_max).max(self.short_min)
    }

    /// How long an unbroken path must be proven into the silence: a path that broke with the recorder's last
    /// beat proves nothing, however late its break is noticed.
    pub fn proof(&self, short: Duration) -> Duration {
        short / 2
    }
}
