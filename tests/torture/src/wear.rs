//! Daemons that die while footage grows old and is deleted, segments rot and are repaired, and tails are salvaged: at each
//! step of that.
//!
//! Both sides keep footage for a minute and a half. After each death everything acked in the last minute is held again at
//! the hub; in the end all that either side ever had an entry of is held and right, or gone and old enough for it.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use holdfast_tests::account::open;
use holdfast_tests::rot::{flip_bit, names};
use holdfast_tests::scene::{EntryName, PATIENCE, QUICK, Scene, Side, try_play};
use ops::rig::wait_until;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use serde_json::json;
use site_agent::archive::verify::verify;
use site_agent::archive::{Archive, layout};
use site_agent::failpoint::{FREE_STEPS, REPAIR_STEPS, SALVAGE_STEPS, VARIABLE};
use wire::proto::GapCause;
use wire::proto::entry::Kind;
use wire::session::site::segment_name;
use wire::{LedgerId, RangeSet, UnixMicros};

use crate::ledger_of_acks::Fate;
use crate::{Victim, chance, sites};

/// What both sides keep.
const KEEP_DAYS: f64 = 0.001;
const KEEP: Duration = Duration::from_micros((KEEP_DAYS * 86_400e6) as u64);
/// Of this nothing has been deleted for its age, whatever waits.
const YOUNG: Duration = Duration::from_secs(60);
/// Retention looks every few seconds; a salvage and a repair take a connection.
const STEP: Duration = Duration::from_secs(20);

/// What came of it.
#[derive(Debug, Default)]
pub struct Worn {
    /// Deaths.
    pub kills: u32,
    /// Of these, at the step that was asked for.
    pub at_steps: u32,
    /// What became of what was acked.
    pub fate: Fate,
    /// Segments that were deleted for their age, both sides together.
    pub expired: u64,
    /// Tails that were salvaged.
    pub salvaged: u64,
    /// Segments in which a bit was flipped.
    pub rotted: u64,
}

/// What is drawn: who dies, and where.
fn deaths() -> Vec<(Victim, &'static str)> {
    let both = || FREE_STEPS.iter().chain(&REPAIR_STEPS);
    let agent = both().map(|step| (Victim::Agent, *step));
    let hub = both().chain(&SALVAGE_STEPS).map(|step| (Victim::Hub, *step));
    agent.chain(hub).collect()
}

/// Lets daemons die `times` times, at each step in turn.
pub fn run(times: u32, seed: u64) -> anyhow::Result<Worn> {
    let mut chance = chance(seed);
    try_play(&sites(), &QUICK, |scene| {
        keep_little(&scene.rig.sites[0].config, "[archive]")?;
        keep_little(scene.rig.hub_config(), "[vault]")?;
        scene.start()?;
        // From here on something is always old enough to go.
        scene.await_recorded(Side::Hub, 0, wire::clock::wall(), KEEP.as_secs_f64())?;
        let (mut worn, mut acked) = (Worn::default(), BTreeSet::new());
        for turn in 0..times {
            let all = deaths();
            let (victim, step) = all[turn as usize % all.len()];
            let died = die(scene, (victim, step), &mut chance, &mut worn)?;
            (worn.kills, worn.at_steps) = (worn.kills + 1, worn.at_steps + u32::from(died));
            scene.await_recording(0)?;
            scene.await_recorded(Side::Hub, 0, wire::clock::wall(), 2.0)?;
            note(scene, &mut acked)?;
            young_are_held(scene, &acked).with_context(|| format!("{victim:?} at {step}"))?;
            eprintln!("{}/{times}: {victim:?} at {step}: {}", turn + 1, if died { "died" } else { "killed" });
        }
        conclude(scene, &acked, worn)
    })
}

fn keep_little(config: &Path, section: &str) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(config).context("read a configuration")?;
    ensure!(text.contains(section), "{} has no {section}", config.display());
    let kept = format!("{section}\nkeep_days_max = {KEEP_DAYS}");
    std::fs::write(config, text.replacen(section, &kept, 1)).context("write a configuration")
}

/// Starts the victim anew, told where to die, and does what brings it there.
fn die(
    scene: &mut Scene,
    (victim, step): (Victim, &'static str),
    chance: &mut SmallRng,
    worn: &mut Worn,
) -> anyhow::Result<bool> {
    let salvages = step.starts_with("salvage/");
    if salvages {
        // The site loses what it had open: only the hub has it, as tails.
        Victim::Agent.kill(scene)?;
        for file in layout::files(&scene.rig.sites[0].archive.join("open"))? {
            std::fs::remove_file(&file).with_context(|| format!("delete {}", file.display()))?;
        }
    }
    victim.kill(scene)?;
    scene.rig.environment = vec![format!("{VARIABLE}={step}")];
    let started = victim.start(scene);
    scene.rig.environment.clear();
    if salvages {
        Victim::Agent.start(scene)?;
    }
    let repairs = step.starts_with("repair/") || step.starts_with("scrub/");
    if started.is_ok() && repairs {
        worn.rotted += u64::from(rot(scene, victim, chance)?);
    }
    let died = started.is_err() || victim.await_end(scene, STEP);
    if !died {
        victim.kill(scene)?;
    }
    victim.start(scene)?;
    Ok(died)
}

/// Flips a bit in a young segment that the other side has too, and asks for a scrub. One that ends meanwhile is what is
/// wanted.
fn rot(scene: &Scene, victim: Victim, chance: &mut SmallRng) -> anyhow::Result<bool> {
    scene.await_link(0, true)?;
    let (ours, vault) = (&scene.rig.sites[0].archive, &scene.rig.vault);
    let there: BTreeSet<_> = names(vault)?.into_iter().collect();
    let young = |name: &std::path::PathBuf| {
        let changed = std::fs::metadata(ours.join(name)).and_then(|found| found.modified());
        changed.is_ok_and(|at| at.elapsed().is_ok_and(|age| age < YOUNG / 3))
    };
    let both: Vec<_> = names(ours)?.into_iter().filter(|name| there.contains(name) && young(name)).collect();
    let Some(name) = both.choose(chance) else { return Ok(false) };
    let archive = if victim == Victim::Agent { ours } else { vault };
    flip_bit(&archive.join(name), chance)?;
    let _ = scene.client(victim.side(), 0)?.post("/scrub", &json!({}));
    Ok(true)
}

/// Remembers what the site knows as acked of the last minute.
fn note(scene: &Scene, acked: &mut BTreeSet<(EntryName, UnixMicros)>) -> anyhow::Result<()> {
    let now = wire::clock::wall();
    for camera in &scene.rig.sites[0].cameras {
        let names = scene.acked(0, &camera.id, now - YOUNG)?;
        acked.extend(names.into_iter().map(|name| (name, now)));
    }
    Ok(())
}

/// Everything that was acked, and not longer than a minute ago, is held at the hub, or will be in a moment: what rotted is
/// brought again.
fn young_are_held(scene: &Scene, acked: &BTreeSet<(EntryName, UnixMicros)>) -> anyhow::Result<()> {
    let mut lacking = BTreeSet::new();
    let all = || {
        let from = wire::clock::wall() - YOUNG / 2;
        let mut held = BTreeSet::new();
        let mut asked = BTreeSet::new();
        for camera in &scene.rig.sites[0].cameras {
            held.extend(scene.held_at_hub(0, &camera.id, from)?);
            asked.extend(scene.acked(0, &camera.id, from)?);
        }
        let known: BTreeSet<_> = acked.iter().map(|(name, _)| name).collect();
        lacking = asked.into_iter().filter(|name| known.contains(name) && !held.contains(name)).collect();
        Ok(lacking.is_empty())
    };
    let waited = wait_until("all that was acked of late is held at the hub", PATIENCE, all);
    waited.map(drop).with_context(|| format!("it lacks {lacking:?}"))
}

fn conclude(
    scene: &mut Scene,
    acked: &BTreeSet<(EntryName, UnixMicros)>,
    mut worn: Worn,
) -> anyhow::Result<Worn> {
    scene.rig.stop()?;
    let (ours, vault) = (open(&scene.rig.sites[0].archive)?, open(&scene.rig.vault)?);
    drop((ours, vault));
    for dir in [&scene.rig.sites[0].archive, &scene.rig.vault] {
        let report = verify(dir, |_| {})?;
        let left = report.orphans + report.open;
        ensure!(report.ok && left == 0, "{}: {report:?}", dir.display());
    }
    let (ours, vault) = (open(&scene.rig.sites[0].archive)?, open(&scene.rig.vault)?);
    worn.expired = explained(&ours)? + explained(&vault)?;
    let names: BTreeSet<_> = acked.iter().map(|(name, _)| name).collect();
    let (tails, twice) = salvaged(&vault, &names)?;
    ensure!(twice == 0, "{twice} of {tails} salvaged tails were acked whole, or salvaged before");
    worn.salvaged = tails;
    worn.fate.acked = names.len();
    for name in names {
        let ledger = LedgerId { origin: name.origin, stream: name.stream.clone() };
        let same = |archive: &Archive| {
            archive.entry(&ledger, name.seq).map(|entry| entry.map(|one| one.bytes().clone()))
        };
        if vault
            .ledger(&ledger)
            .is_none_or(|record| !record.held().union(&record.gone()).contains(name.seq.0))
        {
            eprintln!("lost: {ledger} entry {}", name.seq);
            worn.fate.lost += 1;
        } else if same(&ours)? != same(&vault)? {
            eprintln!("altered: {ledger} entry {}", name.seq);
            worn.fate.altered += 1;
        }
    }
    Ok(worn)
}

/// Every segment of an archive is held, or gone with a cause in some ledger, and then old enough. Tells how many are gone.
fn explained(archive: &Archive) -> anyhow::Result<u64> {
    let now = wire::clock::wall();
    let mut causes: Vec<(LedgerId, RangeSet, GapCause)> = Vec::new();
    for (ledger, record) in archive.ledgers() {
        for entry in archive.entries(&ledger, 0..record.next)? {
            if let Some(Kind::Gone(gone)) = entry.kind() {
                let of = LedgerId::from_proto(gone.ledger.as_ref())?;
                causes.push((of, RangeSet::from_proto(&gone.seqs), gone.cause()));
            }
        }
    }
    let mut expired = 0;
    for (ledger, record) in archive.ledgers() {
        let held = record.held();
        if record.returned {
            continue; // the hub's: it comes, or is not wanted any more
        }
        for (seq, entry) in (0..).zip(archive.entries(&ledger, 0..record.next)?) {
            let Some(segment) = entry.segment().filter(|_| !held.contains(seq)) else { continue };
            let of = |(of, seqs, _): &&(LedgerId, RangeSet, GapCause)| *of == ledger && seqs.contains(seq);
            let told = causes.iter().filter(of).map(|(_, _, cause)| *cause).collect::<Vec<_>>();
            ensure!(
                !told.is_empty(),
                "{}: {ledger} entry {seq} is gone without a word",
                archive.dir().display()
            );
            let old = UnixMicros(segment.end_us) + KEEP <= now;
            ensure!(old, "{}: {ledger} entry {seq} went too early: {told:?}", archive.dir().display());
            expired += 1;
        }
    }
    Ok(expired)
}

/// How many tails were salvaged, and how many of these the hub had acked whole, or salvaged already.
fn salvaged(vault: &Archive, acked: &BTreeSet<&EntryName>) -> anyhow::Result<(u64, u64)> {
    let (mut known, mut twice) = (BTreeSet::new(), 0);
    for (ledger, record) in vault.ledgers().into_iter().filter(|(_, record)| record.salvage) {
        for entry in vault.entries(&ledger, 0..record.next)? {
            let Some(Kind::Salvage(salvage)) = entry.kind() else { continue };
            let Some((of, number)) = salvage.continues.as_ref().and_then(segment_name) else { continue };
            let whole = vault.seq_of(&of, number)?.is_some_and(|seq| {
                acked.contains(&EntryName { origin: of.origin, stream: of.stream.clone(), seq })
            });
            twice += u64::from(whole || !known.insert((of, number)));
        }
    }
    Ok((known.len() as u64, twice))
}
