//! What the line could have carried.

use wan::Settings;

use crate::options::Options;

/// Of a full-size packet's 1480 bytes (1452 of UDP payload), what is left for streams: without 28 bytes of
/// IP and UDP, 11 of QUIC's header, 16 of a seal and some 7 of a frame.
pub(crate) const PAYLOAD: f64 = 1418.0 / 1480.0;

/// Rate over time: pieces of (from, Mbit/s), the first from 0.
#[derive(Debug)]
pub(crate) struct Line {
    pieces: Vec<(f64, f64)>,
    outages: Vec<(f64, f64)>,
}

impl Line {
    pub(crate) fn new(settings: &Settings) -> Self {
        let path = &settings.a_to_b;
        let mbit = |bps: u64| bps as f64 / 1e6;
        let most = path.policer.map_or(f64::INFINITY, |policer| mbit(policer.rate_bps));
        let first = (0.0, path.rate_bps.map_or(most, mbit).min(most));
        let later = path.capacity.iter().map(|step| (step.at.as_secs_f64(), mbit(step.rate_bps).min(most)));
        let outages =
            path.outages.iter().map(|cut| (cut.at.as_secs_f64(), (cut.at + cut.length).as_secs_f64()));
        Self { pieces: std::iter::once(first).chain(later).collect(), outages: outages.collect() }
    }

    /// Mean Mbit/s between two times, outages left out.
    pub(crate) fn mbit(&self, from: f64, to: f64) -> f64 {
        self.megabits(from, to) / (to - from)
    }

    fn megabits(&self, from: f64, to: f64) -> f64 {
        let ends = self.pieces.iter().skip(1).map(|piece| piece.0).chain([f64::INFINITY]);
        let pieces = self.pieces.iter().zip(ends);
        let overlap = |a: f64, b: f64, from: f64, to: f64| (b.min(to) - a.max(from)).max(0.0);
        let mut sum = 0.0;
        for (&(at, mbit), end) in pieces {
            let (a, b) = (at.max(from), end.min(to));
            let cut: f64 = self.outages.iter().map(|&(start, stop)| overlap(start, stop, a, b)).sum();
            sum += ((b - a).max(0.0) - cut) * mbit;
        }
        sum
    }

    /// Changes of the rate: from when, until when, to what.
    pub(crate) fn steps(&self, options: &Options) -> Vec<(f64, f64, f64)> {
        let ends = self.pieces.iter().skip(2).map(|piece| piece.0).chain([options.for_s]);
        self.pieces.iter().skip(1).zip(ends).map(|(&(at, mbit), end)| (at, end, mbit)).collect()
    }

    /// From when to when.
    pub(crate) fn outages(&self) -> &[(f64, f64)] {
        &self.outages
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_policers_and_outages_count() {
        let words = "--mbit 100 --capacity 10:20,15:100 --outage 2:3 --policer-mbit 50 --trust";
        let options = Options::parse(words.split(' ')).unwrap();
        let line = Line::new(&options.wan().unwrap());
        assert!((line.mbit(0.0, 20.0) - (50.0 * 7.0 + 20.0 * 5.0 + 50.0 * 5.0) / 20.0).abs() < 1e-9);
        assert!((line.mbit(3.0, 6.0) - 50.0 / 3.0).abs() < 1e-9);
        assert_eq!(line.steps(&options), [(10.0, 15.0, 20.0), (15.0, 20.0, 50.0)]);
    }
}
