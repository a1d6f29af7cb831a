//! One failover.

use std::fmt;
use std::time::Duration;

use anyhow::Context;
use ops::rig::wait_until;
use serde_json::Value;
use wire::UnixMicros;

use super::lab::Lab;

/// What a takeover may take before the whole benchmark is given up.
const PATIENCE: Duration = Duration::from_secs(60);
/// What a standby records before the site's recorder comes back.
const RECORDED_S: f64 = 2.0;

/// When what happened, by this machine's clock, which all parts share.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    killed: UnixMicros,
    suspected: UnixMicros,
    decided: UnixMicros,
    /// For each camera: the last instant recorded before, the first after.
    gaps: Vec<(UnixMicros, UnixMicros)>,
}

impl Sample {
    /// Kills the recorder, waits for the standby, and lets the recorder come back.
    pub(super) fn take(lab: &mut Lab) -> anyhow::Result<Self> {
        let killed = lab.kill_agent()?;
        let mut times = None;
        wait_until("a standby has authority", PATIENCE, || {
            times = decided_after(&lab.why()?, killed);
            Ok(times.is_some())
        })?;
        let (suspected, decided) = times.context("a standby has authority")?;
        wait_until("the standby records", PATIENCE, || Ok(lab.recorded_s(decided)? >= RECORDED_S))?;
        lab.start_agent()?;
        lab.await_home()?;
        Ok(Self { killed, suspected, decided, gaps: Vec::new() })
    }

    /// Takes the one of a camera's gaps that belongs to this failover.
    pub(super) fn add_gap(&mut self, holes: &[(UnixMicros, UnixMicros)]) {
        let moment = Duration::from_secs(2);
        let own = holes.iter().find(|(from, to)| *from <= self.killed + moment && *to >= self.killed);
        // Without a hole the standby had been recording all along.
        self.gaps.push(own.copied().unwrap_or((self.killed, self.killed)));
    }

    /// The longest of the cameras' gaps.
    pub(super) fn gap(&self) -> Duration {
        self.gaps.iter().map(|(from, to)| to.since(*from)).max().unwrap_or_default()
    }

    /// From the kill until every voter was asked.
    pub(super) fn detect(&self) -> Duration {
        self.suspected.since(self.killed)
    }

    /// From then until a standby had authority.
    pub(super) fn decide(&self) -> Duration {
        self.decided.since(self.suspected)
    }

    /// From then until its first recorded frame, of the slower camera.
    pub(super) fn record(&self) -> Duration {
        self.gaps.iter().map(|(_, to)| to.since(self.decided)).max().unwrap_or_default()
    }
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "asked after {:.2} s, decided {:.2} s later",
            self.detect().as_secs_f64(),
            self.decide().as_secs_f64()
        )
    }
}

/// When the round was opened, and when authority left home, after `killed`.
fn decided_after(why: &Value, killed: UnixMicros) -> Option<(UnixMicros, UnixMicros)> {
    let decided = why["decided"].as_array()?;
    let at = |kind: &str| {
        decided.iter().find_map(|was| {
            let at = UnixMicros(was["at_us"].as_i64()?);
            (at > killed && was["event"].get(kind).is_some()).then_some(at)
        })
    };
    let authority = at("Authority")?;
    Some((at("RoundOpened").unwrap_or(authority), authority))
}
