//! How fast an archive is re-read, and how far that has come. Pure: no clock, no disk.
//!
//! A pass reads everything once, in the order of ledgers and entries, spread evenly over the period: what one pass
//! reads at some time, the next reads a period later. So nothing goes unread for longer, however often the daemon
//! restarts. A pass that a person asked for begins anew and goes as fast as it may.

use std::time::Duration;

use wire::{LedgerId, Seq, UnixMicros, proto};

use crate::archive::DiskNumber;
use crate::archive::disks::FIRST;

/// No rest is longer: what there is to read changes meanwhile.
const REST_MAX: Duration = Duration::from_secs(24 * 3600);

/// What is to be kept to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rules {
    /// Everything is read once in this time; without one, only when somebody asks.
    pub period: Option<Duration>,
    /// Never faster than this, in bytes a second.
    pub rate_max: f64,
}

/// How far it has come, as the index keeps it.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Progress {
    /// Which pass this is; 0 before the first.
    #[prost(uint64, tag = "1")]
    pub pass: u64,
    /// When it began.
    #[prost(int64, tag = "2")]
    pub began_us: i64,
    /// The ledger of the segment that was read last in it.
    #[prost(message, optional, tag = "3")]
    pub ledger: Option<proto::Ledger>,
    /// That segment's seq.
    #[prost(uint64, tag = "4")]
    pub seq: u64,
    /// Segments read in it.
    #[prost(uint64, tag = "5")]
    pub segments: u64,
    /// Their bytes.
    #[prost(uint64, tag = "6")]
    pub bytes: u64,
    /// Somebody asked for it.
    #[prost(bool, tag = "7")]
    pub asked: bool,
    /// When the last whole pass ended; 0 before the first has.
    #[prost(int64, tag = "8")]
    pub ended_us: i64,
    /// All that was ever found.
    #[prost(message, required, tag = "9")]
    pub totals: Totals,
    /// Of it, what was found on each further disk.
    #[prost(message, repeated, tag = "10")]
    pub disks: Vec<OnDisk>,
}

/// What was found on one disk.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct OnDisk {
    /// Which.
    #[prost(uint32, tag = "1")]
    pub disk: DiskNumber,
    /// What.
    #[prost(message, required, tag = "2")]
    pub totals: Totals,
}

/// Counted since the archive was made.
#[derive(Clone, Copy, PartialEq, prost::Message, serde::Serialize)]
pub struct Totals {
    /// Segments that were read.
    #[prost(uint64, tag = "1")]
    pub read_segments: u64,
    /// Their bytes.
    #[prost(uint64, tag = "2")]
    pub read_bytes: u64,
    /// Files whose bytes are not what their entry says.
    #[prost(uint64, tag = "3")]
    pub bad: u64,
    /// Files that are not there.
    #[prost(uint64, tag = "4")]
    pub missing: u64,
    /// Files that the disk could not read.
    #[prost(uint64, tag = "5")]
    pub failing: u64,
    /// Segments whose right bytes came again.
    #[prost(uint64, tag = "6")]
    pub repaired: u64,
    /// Segments that nobody has any more.
    #[prost(uint64, tag = "7")]
    pub given_up: u64,
}

impl Progress {
    /// Begins the next pass.
    pub fn begin(&mut self, now: UnixMicros, asked: bool) {
        let (pass, ended_us, totals) = (self.pass + 1, self.ended_us, self.totals);
        let disks = std::mem::take(&mut self.disks);
        *self = Self { pass, began_us: now.0, asked, ended_us, totals, disks, ..Self::default() };
    }

    /// Everything was read: the pass ends, and the next begins.
    pub fn end(&mut self, now: UnixMicros) {
        self.ended_us = now.0;
        self.begin(now, false);
    }

    /// Behind which segment to go on.
    pub fn after(&self) -> Option<(LedgerId, Seq)> {
        // A name that can't be read begins the pass anew: read twice is better than not at all.
        LedgerId::from_proto(Some(self.ledger.as_ref()?)).ok().map(|ledger| (ledger, Seq(self.seq)))
    }

    /// Counts something that was found on a disk.
    pub fn count(&mut self, disk: DiskNumber, one: impl Fn(&mut Totals)) {
        one(&mut self.totals);
        if disk == FIRST {
            return;
        }
        let known = self.disks.iter().position(|known| known.disk == disk);
        let at = known.unwrap_or_else(|| {
            self.disks.push(OnDisk { disk, ..OnDisk::default() });
            self.disks.len() - 1
        });
        one(&mut self.disks[at].totals);
    }

    /// What was read on a disk and what was wrong there. What became of it is counted of the whole archive alone.
    pub fn of_disk(&self, disk: DiskNumber) -> Totals {
        let of = |one: &OnDisk| Totals { repaired: 0, given_up: 0, ..one.totals };
        if disk != FIRST {
            return self.disks.iter().find(|one| one.disk == disk).map(of).unwrap_or_default();
        }
        let mut first = Totals { repaired: 0, given_up: 0, ..self.totals };
        for one in &self.disks {
            first.read_segments -= one.totals.read_segments;
            first.read_bytes -= one.totals.read_bytes;
            first.bad -= one.totals.bad;
            first.missing -= one.totals.missing;
            first.failing -= one.totals.failing;
        }
        first
    }

    /// A segment was read, on a disk.
    pub fn read(&mut self, ledger: &LedgerId, seq: Seq, (disk, bytes): (DiskNumber, u64)) {
        (self.ledger, self.seq) = (Some(ledger.to_proto()), seq.0);
        self.segments += 1;
        self.bytes += bytes;
        self.count(disk, |totals| {
            totals.read_segments += 1;
            totals.read_bytes += bytes;
        });
    }
}

/// How fast to read now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    /// Bytes a second.
    pub rate: f64,
    /// The period can't be kept at the rate that is allowed.
    pub late: bool,
}

/// How fast to read now, with so much held; `None`: not at all.
pub fn pace(rules: &Rules, progress: &Progress, now: UnixMicros, held_bytes: u64) -> Option<Pace> {
    if progress.asked {
        return Some(Pace { rate: rules.rate_max, late: false });
    }
    let period = rules.period.filter(|_| held_bytes > 0)?;
    // A clock that was set must not stop it, nor let it read everything at once.
    let passed = now.since(UnixMicros(progress.began_us)).min(period);
    let time = (period - passed).max(period / 50).as_secs_f64();
    let left = held_bytes.saturating_sub(progress.bytes) as f64 / time;
    // Never slower than evenly, or the end of a pass would drag on.
    let wanted = left.max(held_bytes as f64 / period.as_secs_f64());
    Some(Pace { rate: wanted.min(rules.rate_max), late: wanted > rules.rate_max })
}

/// How long after so many bytes the next may be read.
pub fn rest(pace: Pace, bytes: u64) -> Duration {
    Duration::try_from_secs_f64(bytes as f64 / pace.rate).map_or(REST_MAX, |rest| rest.min(REST_MAX))
}

/// How long to leave the disk alone after a piece of `bytes` that took `spent` to read: never less than that took, so
/// that a busy disk is used half the time at most.
pub fn breath(rules: &Rules, bytes: usize, spent: Duration) -> Duration {
    let due = Duration::try_from_secs_f64(bytes as f64 / rules.rate_max).unwrap_or(REST_MAX);
    due.saturating_sub(spent).max(spent).min(Duration::from_secs(5))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);
    const START: UnixMicros = UnixMicros(1_700_000_000_000_000);
    const SEGMENT: u64 = 5_000_000;

    fn rules() -> Rules {
        Rules { period: Some(30 * DAY), rate_max: 20e6 }
    }

    fn begun() -> Progress {
        let mut progress = Progress::default();
        progress.begin(START, false);
        progress
    }

    fn ledger() -> LedgerId {
        LedgerId { origin: wire::OriginId([1; 16]), stream: "till-1/main".parse().unwrap() }
    }

    /// Reads `count` segments and tells when each was read, until the pass is over.
    fn pass(progress: &mut Progress, mut now: UnixMicros, count: u64) -> (Vec<UnixMicros>, UnixMicros) {
        let mut read = Vec::new();
        for seq in 0..count {
            read.push(now);
            progress.read(&ledger(), Seq(seq), (0, SEGMENT));
            let pace = pace(&rules(), progress, now, count * SEGMENT).unwrap();
            assert!(!pace.late);
            now = now + rest(pace, SEGMENT);
        }
        progress.end(now);
        (read, now)
    }

    #[test]
    fn nothing_goes_unread_for_longer_than_the_period() {
        for count in [50, 1_000, 100_000] {
            let mut progress = begun();
            let (first, now) = pass(&mut progress, START, count);
            let (second, _) = pass(&mut progress, now, count);
            let longest =
                first.iter().zip(&second).map(|(first, second)| second.since(*first)).max().unwrap();
            assert!(longest <= 31 * DAY, "{count}: {longest:?}");
            assert!(
                now.since(START) > 25 * DAY,
                "{count}: it is spread, not hurried: {:?}",
                now.since(START)
            );
        }
    }

    #[test]
    fn a_pass_that_stood_still_catches_up_and_never_goes_faster_than_allowed() {
        let mut progress = begun();
        let held = 1_000 * SEGMENT;
        let even = pace(&rules(), &progress, START, held).unwrap().rate;
        let half = pace(&rules(), &progress, START + 15 * DAY, held).unwrap().rate;
        assert!((half / even - 2.0).abs() < 0.01, "{even} {half}");
        // Long past the period, or with a clock that was set back.
        let past = pace(&rules(), &progress, START + 300 * DAY, held).unwrap().rate;
        assert!((past / even - 50.0).abs() < 0.01, "{even} {past}");
        assert_eq!(pace(&rules(), &progress, START - 300 * DAY, held).unwrap().rate, even);
        let much = pace(&rules(), &progress, START, 100_000_000_000_000).unwrap();
        assert_eq!((much.rate, much.late), (20e6, true));
        progress.begin(START, true);
        assert_eq!(pace(&rules(), &progress, START, held).unwrap().rate, 20e6, "a person waits");
    }

    #[test]
    fn nothing_is_read_without_a_period_or_without_anything_to_read() {
        let never = Rules { period: None, ..rules() };
        assert_eq!(pace(&never, &begun(), START, SEGMENT), None);
        assert_eq!(pace(&rules(), &begun(), START, 0), None);
        let mut asked = begun();
        asked.begin(START, true);
        assert!(pace(&never, &asked, START, 0).is_some(), "it has to come to its end");
    }

    #[test]
    fn progress_survives_as_bytes() {
        use prost::Message;
        let mut progress = begun();
        progress.read(&ledger(), Seq(7), (1, SEGMENT));
        progress.totals.bad += 1;
        let known = Progress::decode(&*progress.encode_to_vec()).unwrap();
        assert_eq!(known, progress);
        assert_eq!(known.after(), Some((ledger(), Seq(7))));
        let mut next = known;
        next.end(START + DAY);
        assert_eq!((next.pass, next.after(), next.bytes, next.totals.bad), (2, None, 0, 1));
    }

    #[test]
    fn a_slow_disk_rests_as_long_as_it_worked() {
        let ms = Duration::from_millis;
        assert_eq!(breath(&rules(), 200_000, ms(1)), ms(9));
        assert_eq!(breath(&rules(), 200_000, ms(400)), ms(400));
    }
}
