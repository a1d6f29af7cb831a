//! One failover.

use std::fmt;
use std::time::Duration;

use anyhow::{Context, ensure};
use ops::oracle;
use ops::rig::wait_until;
use serde_json::{Value, json};
use wire::UnixMicros;

use super::By;
use super::lab::Lab;

/// What a takeover may take before the whole benchmark is given up.
const PATIENCE: Duration = Duration::from_secs(60);
/// What a standby records before anything else happens.
const RECORDED_S: f64 = 2.0;
/// The leader is killed so long after the recorder at first, and so much later each time: from before anybody is
/// asked until after the standby has begun, over and over.
const LEADER_FROM: Duration = Duration::from_millis(1_500);
const LEADER_STEP: Duration = Duration::from_millis(37);
const LEADER_STEPS: u32 = 30;

/// When what happened, by this machine's clock, which all parts share.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    /// The hub could know.
    began: UnixMicros,
    /// The site's recorder was killed or told to stop.
    gone: UnixMicros,
    leader_gone: Option<UnixMicros>,
    suspected: UnixMicros,
    decided: UnixMicros,
    /// For each camera: the last instant recorded before, the first after.
    gaps: Vec<(UnixMicros, UnixMicros)>,
}

impl Sample {
    /// Takes the recorder away, waits for the standby, and lets the recorder come back.
    pub(super) fn take(lab: &mut Lab, by: By, number: u32) -> anyhow::Result<Self> {
        match by {
            By::Kill => Self::without(lab, Lab::kill_agent),
            By::Shutdown => Self::without(lab, Lab::stop_agent),
            By::Maintenance => {
                let maintenance =
                    |for_s: Option<u64>| json!({ "wish": "maintenance", "for_s": for_s, "by": "bench" });
                Self::planned(lab, &maintenance(Some(600)), &maintenance(None))
            }
            By::Person => Self::planned(
                lab,
                &json!({ "wish": "failover", "reason": "a measurement", "by": "bench" }),
                &json!({ "wish": "failback", "by": "bench" }),
            ),
            By::Leader => Self::without_leader(lab, number),
        }
    }

    fn without(lab: &mut Lab, take: fn(&mut Lab) -> anyhow::Result<UnixMicros>) -> anyhow::Result<Self> {
        let gone = take(lab)?;
        let (suspected, decided) = await_authority(lab, gone)?;
        await_recorded(lab, decided)?;
        lab.start_agent()?;
        lab.await_home()?;
        Ok(Self { began: gone, gone, leader_gone: None, suspected, decided, gaps: Vec::new() })
    }

    fn planned(lab: &mut Lab, on: &Value, off: &Value) -> anyhow::Result<Self> {
        let began = wire::clock::wall();
        lab.wish(on)?;
        let (suspected, decided) = await_authority(lab, began)?;
        await_recorded(lab, decided)?;
        let gone = lab.kill_agent()?;
        await_recorded(lab, gone)?;
        lab.start_agent()?;
        lab.await_recording()?;
        lab.wish(off)?;
        lab.await_home()?;
        Ok(Self { began, gone, leader_gone: None, suspected, decided, gaps: Vec::new() })
    }

    fn without_leader(lab: &mut Lab, number: u32) -> anyhow::Result<Self> {
        let gone = lab.kill_agent()?;
        std::thread::sleep(LEADER_FROM + LEADER_STEP * (number % LEADER_STEPS));
        let (leader, leader_gone) = lab.kill_leader()?;
        let (suspected, decided) = await_authority(lab, gone)?;
        let witness = lab.alive()?;
        lab.start_hub(leader)?;
        await_recorded(lab, decided)?;
        lab.start_agent()?;
        lab.await_home()?;
        // What a node has seen itself: one that was restarted takes its log in anew.
        let why = lab.why_of(witness)?;
        let moves = times_of(&why, "Authority", gone).count();
        ensure!(moves == 2, "authority moved {moves} times, and not there and back: {why:#}");
        let epochs = lab.epochs()?;
        ensure!(epochs.iter().all(|epoch| *epoch == epochs[0]), "nodes know different epochs: {epochs:?}");
        Ok(Self { began: gone, gone, leader_gone: Some(leader_gone), suspected, decided, gaps: Vec::new() })
    }

    /// Takes the one of a camera's gaps that belongs to this failover.
    pub(super) fn add_gap(&mut self, holes: &[(UnixMicros, UnixMicros)]) {
        // Without a hole the standby had been recording all along.
        self.gaps.push(oracle::gap_around(holes, self.gone).unwrap_or((self.gone, self.gone)));
    }

    /// The longest of the cameras' gaps.
    pub(super) fn gap(&self) -> Duration {
        self.gaps.iter().map(|(from, to)| to.since(*from)).max().unwrap_or_default()
    }

    /// From when the hub could know until every voter was asked.
    pub(super) fn detect(&self) -> Duration {
        self.suspected.since(self.began)
    }

    /// From then until a standby had authority.
    pub(super) fn decide(&self) -> Duration {
        self.decided.since(self.suspected)
    }

    /// From then until its first recorded frame, of the slower camera; nothing where none was missing.
    pub(super) fn record(&self) -> Duration {
        let gaps = self.gaps.iter().filter(|(from, to)| from < to);
        gaps.map(|(_, to)| to.since(self.decided)).max().unwrap_or_default()
    }

    /// From the death of the leader until a standby had authority; nothing if it had that before.
    pub(super) fn without_a_leader(&self) -> Duration {
        self.leader_gone.map_or(Duration::ZERO, |gone| self.decided.since(gone))
    }
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [detect, decide] = [self.detect(), self.decide()].map(|took| took.as_secs_f64());
        write!(f, "asked after {detect:.2} s, decided {decide:.2} s later")?;
        if let Some(leader) = self.leader_gone {
            write!(f, ", the leader killed after {:.2} s", leader.since(self.gone).as_secs_f64())?;
        }
        Ok(())
    }
}

/// When the round was opened, and when authority left home.
fn await_authority(lab: &Lab, after: UnixMicros) -> anyhow::Result<(UnixMicros, UnixMicros)> {
    let mut times = None;
    wait_until("a standby has authority", PATIENCE, || {
        times = lab.why().ok().and_then(|why| decided_after(&why, after));
        Ok(times.is_some())
    })?;
    times.context("a standby has authority")
}

fn await_recorded(lab: &Lab, from: UnixMicros) -> anyhow::Result<()> {
    wait_until("the standby records", PATIENCE, || {
        Ok(lab.recorded_s(from).is_ok_and(|seconds| seconds >= RECORDED_S))
    })
    .map(drop)
}

fn decided_after(why: &Value, after: UnixMicros) -> Option<(UnixMicros, UnixMicros)> {
    let authority = times_of(why, "Authority", after).next()?;
    Some((times_of(why, "RoundOpened", after).next().unwrap_or(authority), authority))
}

fn times_of<'a>(why: &'a Value, kind: &'a str, after: UnixMicros) -> impl Iterator<Item = UnixMicros> + 'a {
    let decided = why["decided"].as_array().into_iter().flatten();
    let of_kind = decided.filter(move |was| was["event"].get(kind).is_some());
    of_kind.filter_map(|was| was["at_us"].as_i64().map(UnixMicros)).filter(move |at| *at > after)
}
