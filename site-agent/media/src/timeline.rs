//! The ledger's one media timeline: where the frames of successive connections lie on it.
//!
//! It begins at 0 with the first recorded frame. Within a connection it follows the camera's RTP clock;
//! across connections, and wherever the camera's clock jumps, it follows our clock since boot. It never
//! goes back.

use crate::VIDEO_TIMESCALE;
use crate::frame::Arrival;

/// A step of a camera's clock that is no frame interval: 10 s.
pub(crate) const JUMP_SECONDS: u32 = 10;
const JUMP_90K: i64 = (JUMP_SECONDS * VIDEO_TIMESCALE) as i64;

/// The length of 1/25 s: what a frame lasts of which nothing else is known.
pub(crate) const LAST_RESORT_90K: i64 = (VIDEO_TIMESCALE / 25) as i64;

/// `us` microseconds in units of `1/rate` s.
pub(crate) fn ticks(us: u64, rate: u32) -> i64 {
    i64::try_from(u128::from(us) * u128::from(rate) / 1_000_000).unwrap_or(i64::MAX)
}

/// A time in another time scale, rounded down.
pub(crate) fn rescale(time: i64, from: u32, to: u32) -> i64 {
    let scaled = i128::from(time) * i128::from(to);
    i64::try_from(scaled.div_euclid(i128::from(from.max(1)))).unwrap_or(i64::MAX)
}

/// Places video frames.
#[derive(Default)]
pub(crate) struct VideoClock {
    /// What turns a frame's time into media time; none until the connection's first recorded frame.
    offset: Option<i64>,
    /// The time of the last frame seen, recorded or not.
    seen: Option<i64>,
    /// The last recorded frame: its media time, and its arrival since boot.
    last: Option<(i64, u64)>,
    /// Everything closed ends here, in decode time.
    end: i64,
}

impl VideoClock {
    /// The camera's clock has begun anew.
    pub(crate) fn forget(&mut self) {
        self.offset = None;
        self.seen = None;
    }

    /// Looks at a frame's time; true if it is so far from the last one's, or from where the timeline
    /// stands, that the camera's clock must have jumped.
    pub(crate) fn jumps(&mut self, pts: i64) -> bool {
        let from_last =
            self.seen.replace(pts).is_some_and(|seen| seen.abs_diff(pts) > JUMP_90K.unsigned_abs());
        let from_end = self.offset.is_some_and(|offset| pts.wrapping_add(offset) < self.end - JUMP_90K);
        from_last || from_end
    }

    /// The media time of a frame that will be recorded. Places a connection's first one by its arrival.
    pub(crate) fn place(&mut self, pts: i64, arrival: Arrival) -> i64 {
        let offset = *self.offset.get_or_insert_with(|| {
            let first = match self.last {
                None => 0,
                Some(last) => after(last, arrival).max(self.end + 1),
            };
            first.wrapping_sub(pts)
        });
        let time = pts.wrapping_add(offset);
        self.last = Some((time, arrival.boot_us));
        time
    }

    /// Where the arrival of something falls on the timeline, seen from the last recorded frame.
    pub(crate) fn at_arrival(&self, arrival: Arrival) -> Option<i64> {
        self.last.map(|last| after(last, arrival))
    }

    /// Where the closed part of the timeline ends.
    pub(crate) fn end(&self) -> i64 {
        self.end
    }

    /// Closes the timeline up to `end`.
    pub(crate) fn close(&mut self, end: i64) {
        debug_assert!(end >= self.end, "the timeline goes back from {} to {end}", self.end);
        self.end = end;
    }
}

fn after((time, boot_us): (i64, u64), arrival: Arrival) -> i64 {
    time.saturating_add(ticks(arrival.boot_us.saturating_sub(boot_us), VIDEO_TIMESCALE))
}

/// Places audio frames on the same timeline, in their own time scale.
#[derive(Default)]
pub(crate) struct AudioClock {
    rate: u32,
    offset: Option<i64>,
    seen: Option<i64>,
    next: i64,
}

impl AudioClock {
    /// The camera's clock has begun anew.
    pub(crate) fn forget(&mut self) {
        self.offset = None;
        self.seen = None;
    }

    /// The track's clock rate may have changed.
    pub(crate) fn set_rate(&mut self, rate: u32) {
        if self.rate != rate {
            self.next = if self.rate == 0 { 0 } else { rescale(self.next, self.rate, rate) + 1 };
            self.rate = rate;
            self.forget();
        }
    }

    /// Looks at the time of a frame that is not recorded.
    pub(crate) fn look(&mut self, pts: i64) {
        let jump = u64::from(JUMP_SECONDS) * u64::from(self.rate);
        if self.seen.replace(pts).is_some_and(|seen| seen.abs_diff(pts) > jump) {
            self.offset = None;
        }
    }

    /// The decode time of a frame that will be recorded; `now_90k` is its arrival on video's timeline,
    /// by which a connection's first one is placed.
    pub(crate) fn place(&mut self, pts: i64, now_90k: i64) -> i64 {
        self.look(pts);
        let now = rescale(now_90k, VIDEO_TIMESCALE, self.rate);
        let offset = *self.offset.get_or_insert_with(|| now.wrapping_sub(pts));
        let time = pts.wrapping_add(offset).max(self.next);
        self.next = time.saturating_add(1);
        time
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::UnixMicros;

    fn at(boot_us: u64) -> Arrival {
        Arrival { wall: UnixMicros(0), boot_us }
    }

    #[test]
    fn a_reconnection_is_placed_by_arrival() {
        let mut clock = VideoClock::default();
        assert_eq!(clock.place(5_000, at(1_000_000)), 0);
        assert_eq!(clock.place(8_600, at(1_040_000)), 3_600);
        clock.close(7_200);
        clock.forget();
        assert_eq!(clock.place(77, at(3_040_000)), 3_600 + 2 * 90_000);
        clock.close(200_000);
        clock.forget();
        assert_eq!(clock.place(77, at(3_040_001)), 200_001, "never before the end, whatever the arrival");
    }

    #[test]
    fn audio_follows_its_own_clock_after_the_first() {
        let mut clock = AudioClock::default();
        clock.set_rate(8_000);
        assert_eq!(clock.place(-5, 90_000), 8_000);
        assert_eq!(clock.place(155, 0), 8_160);
        assert_eq!(clock.place(100, 0), 8_161, "never back");
        assert_eq!(clock.place(1_000_000, 900_000), 80_000, "a jump is placed by arrival");
        clock.set_rate(16_000);
        assert_eq!(clock.place(0, 0), 2 * 80_001 + 1);
    }

    #[test]
    fn far_steps_are_jumps() {
        let mut clock = VideoClock::default();
        assert!(!clock.jumps(i64::MIN));
        assert!(clock.jumps(i64::MAX));
        assert!(!clock.jumps(i64::MAX - 900_000));
    }
}
