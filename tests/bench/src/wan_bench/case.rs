//! What is measured: a line, and who uses it. Also for how long, and what has to come of it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A line to a hub, the same in both directions.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Case {
    pub(crate) rtt_ms: u32,
    pub(crate) loss_percent: f64,
    pub(crate) mbit: u32,
}

impl std::fmt::Display for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} Mbit/s, {} ms, {} % loss", self.mbit, self.rtt_ms, self.loss_percent)
    }
}

/// Losses of the matrix.
pub(crate) const LOSSES: [f64; 4] = [0.0, 0.1, 1.0, 5.0];

/// Everything that was promised for: the matrix, and the satellite.
pub(crate) fn matrix() -> Vec<Case> {
    let lines = [5, 100, 500].into_iter().flat_map(|mbit| [20, 100, 200].map(|rtt_ms| (rtt_ms, mbit)));
    let lines = lines.chain([(600, 50)]);
    lines.flat_map(|(rtt_ms, mbit)| LOSSES.map(|loss_percent| Case { rtt_ms, loss_percent, mbit })).collect()
}

/// Who sends.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Contender {
    /// An agent with a backlog, and cameras that are recorded meanwhile.
    Ours,
    /// `rsync` over `ssh`, its TCP under CUBIC.
    RsyncCubic,
    /// Likewise under BBR.
    RsyncBbr,
    /// `rclone` over SFTP, its TCP under CUBIC.
    RcloneCubic,
    /// Likewise under BBR.
    RcloneBbr,
}

impl Contender {
    /// All, ours first.
    pub(crate) const ALL: [Self; 5] =
        [Self::Ours, Self::RsyncCubic, Self::RsyncBbr, Self::RcloneCubic, Self::RcloneBbr];

    /// As people call it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Ours => "Holdfast",
            Self::RsyncCubic => "rsync, CUBIC",
            Self::RsyncBbr => "rsync, BBR",
            Self::RcloneCubic => "rclone, CUBIC",
            Self::RcloneBbr => "rclone, BBR",
        }
    }

    /// As the beginning of a key.
    pub(crate) fn key(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::RsyncCubic => "rsync_cubic",
            Self::RsyncBbr => "rsync_bbr",
            Self::RcloneCubic => "rclone_cubic",
            Self::RcloneBbr => "rclone_bbr",
        }
    }
}

/// How long a contender is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Times {
    /// From the first byte until the steady interval.
    pub(crate) warm: Duration,
    /// The steady interval.
    pub(crate) steady: Duration,
    /// The cameras alone, for the lag to compare with.
    pub(crate) idle: Duration,
}

/// Parts of a backlog become durable eight at a time, 2 MB in all: an interval has to hold many of them.
const STEADY_BYTES: f64 = 20e6;

impl Case {
    /// Long enough for the slowest start, and for steps of a part each not to matter.
    pub(crate) fn times(&self) -> Times {
        let round = Duration::from_millis(self.rtt_ms.into());
        let steady = STEADY_BYTES / self.bytes_per_s();
        Times {
            warm: (round * 30).clamp(Duration::from_secs(4), Duration::from_secs(18)),
            steady: Duration::from_secs_f64(steady.clamp(10.0, 32.0)),
            idle: Duration::from_secs(12),
        }
    }

    pub(crate) fn bytes_per_s(&self) -> f64 {
        f64::from(self.mbit) * 1e6 / 8.0
    }

    /// What can't all be sent within `times`.
    pub(crate) fn backlog_bytes(&self, times: &Times) -> u64 {
        let seconds = (times.warm + times.steady).as_secs_f64() + 2.0;
        (self.bytes_per_s() * seconds) as u64 + 16_000_000
    }

    /// The least share of the link that ours has to reach.
    pub(crate) fn floor(&self) -> f64 {
        if self.loss_percent > 1.0 {
            0.75
        } else if self.rtt_ms >= 600 {
            0.80
        } else {
            0.90
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_matrix_is_the_one_promised() {
        let cases = matrix();
        assert_eq!(cases.len(), 40);
        assert!(cases.contains(&Case { rtt_ms: 200, loss_percent: 5.0, mbit: 500 }));
        assert!(cases.contains(&Case { rtt_ms: 600, loss_percent: 0.1, mbit: 50 }));
    }

    #[test]
    fn no_contender_takes_more_than_a_minute() {
        for case in matrix() {
            let times = case.times();
            assert!(times.warm + times.steady + times.idle <= Duration::from_secs(60), "{case}: {times:?}");
            assert!(case.bytes_per_s() * times.steady.as_secs_f64() >= 19e6, "{case}: too little to measure");
        }
    }

    #[test]
    fn a_backlog_outlasts_its_case() {
        let case = Case { rtt_ms: 100, loss_percent: 0.0, mbit: 100 };
        let times = case.times();
        assert!(case.backlog_bytes(&times) as f64 > 12.5e6 * (times.warm + times.steady).as_secs_f64());
    }

    #[test]
    fn floors() {
        let floor = |rtt_ms, loss_percent| Case { rtt_ms, loss_percent, mbit: 50 }.floor();
        assert_eq!([floor(20, 1.0), floor(20, 5.0), floor(600, 0.1)], [0.90, 0.75, 0.80]);
    }
}
