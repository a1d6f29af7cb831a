//! What a WAN has done so far.

use serde::Serialize;

use crate::path::Cause;

/// Both directions, since the start.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// How long, in seconds.
    pub seconds: f64,
    /// From end A to end B.
    pub a_to_b: WayReport,
    /// From end B to end A.
    pub b_to_a: WayReport,
    /// What the machine carried at the start, if it was measured.
    pub carried_packets_per_s: Option<u64>,
}

/// One direction. Bytes are of whole IP packets.
#[derive(Clone, Debug, Default, Serialize)]
pub struct WayReport {
    /// Packets that arrived at the path.
    pub packets_in: u64,
    /// Their bytes.
    pub bytes_in: u64,
    /// Packets that came out.
    pub packets_out: u64,
    /// Their bytes.
    pub bytes_out: u64,
    /// Packets still inside.
    pub packets_inside: u64,
    /// What the path dropped.
    pub dropped: Drops,
    /// Packets the kernel dropped because the thread was not there to read them. Any make the run void.
    pub unread: u64,
    /// Packets the receiving kernel refused.
    pub refused: u64,
    /// The most that ever waited for the rate.
    pub queue_bytes_max: u64,
    /// How late packets came out, of 99 in 100 of them.
    pub late_us_p99: u64,
    /// How late the latest came out.
    pub late_us_max: u64,
    /// Does the thread run before ordinary ones? Without, expect it to be late on a busy machine.
    pub realtime: bool,
    /// Processor time of the thread.
    pub cpu_ms: u64,
    /// Why it ended, if it ended by itself.
    pub failed: Option<String>,
}

/// Packets dropped, by cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Drops {
    /// The path was cut.
    pub cut: u64,
    /// Random loss.
    pub loss: u64,
    /// Loss in bursts.
    pub burst: u64,
    /// The policer.
    pub policer: u64,
    /// The queue was full.
    pub queue: u64,
}

impl Drops {
    pub(crate) fn count(&mut self, cause: Cause) {
        let counter = match cause {
            Cause::Cut => &mut self.cut,
            Cause::Loss => &mut self.loss,
            Cause::Burst => &mut self.burst,
            Cause::Policer => &mut self.policer,
            Cause::Queue => &mut self.queue,
        };
        *counter += 1;
    }

    /// All of them.
    pub fn total(&self) -> u64 {
        self.cut + self.loss + self.burst + self.policer + self.queue
    }
}
