//! Fetches the bytes of what came back as entries, the latest runs' first.

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;
use tokio::sync::Notify;
use tokio::task::spawn_blocking;
use wire::proto::GapCause;
use wire::{LedgerId, RangeSet, Seq, UnixMicros};

use super::Restoring;
use super::plan::{Facts, Verdict, verdict};
use crate::archive::{Archive, Change, Placed};
use crate::retention::plan::Camera;
use crate::scrub::give_up;
use crate::uplink::fetch::{self, Answer, Pace};
use crate::uplink::shared::Shared;

/// What it waits for may have come after this: room, the end of a backlog, the end of a segment.
const EVERY: std::time::Duration = std::time::Duration::from_secs(10);
/// Segments looked at in one go.
const STEP: usize = 256;

/// Brings back what is lacking, whenever there is news of it, or something it waited for may have come.
pub(super) async fn fetch_all(shared: &Shared, news: &Notify, told: &AtomicBool) -> Infallible {
    let mut pace = Pace::new(shared.uplink.config.archive.restore_rate_max);
    loop {
        // A round that fails is no news: what it waits for is told, and the next one begins soon.
        let all = told.load(Ordering::Relaxed);
        let mut done = round(shared, &mut pace).await;
        if done.is_ok() && all && shared.uplink.archive.is_index_lost() {
            done = enter_unknown(shared).await;
        }
        if let Err(error) = done {
            tracing::warn!(error = format!("{error:#}"), "bring back what the hub has: tried again later");
            tell(shared, |state| state.waits_for = format!("{error:#}"));
        }
        let _ = tokio::time::timeout(EVERY, news.notified()).await;
    }
}

/// Looks at all that is lacking once.
async fn round(shared: &Shared, pace: &mut Pace) -> anyhow::Result<()> {
    let mut waits_for = "";
    look(shared).await?;
    'ledgers: for (ledger, _) in shared.uplink.archive.missing() {
        let mut from = Seq(0);
        loop {
            let (archive, id) = (shared.uplink.archive.clone(), ledger.clone());
            let step = spawn_blocking(move || archive.missing_in(&id, from, STEP));
            let step = step.await.context("look what is lacking")??;
            let Some(last) = step.last() else { break };
            from = Seq(last.seq.0 + 1);
            let mut unwanted = RangeSet::new();
            let mut later = None;
            for placed in step {
                if take_from_place(shared, &placed).await? {
                    continue;
                }
                match decide(shared, &placed).await? {
                    Verdict::Unwanted => unwanted.insert_one(placed.seq.0),
                    Verdict::Fetch => bring(shared, placed, pace).await?,
                    Verdict::Later(why) => {
                        later = Some(why);
                        break;
                    }
                }
            }
            if !unwanted.is_empty() {
                let change = Change::Unwanted { ledger: ledger.clone(), seqs: unwanted };
                shared.uplink.archive.submit(change).await.context("note what is not wanted")?;
                look(shared).await?;
            }
            if let Some(why) = later {
                waits_for = why;
                continue 'ledgers;
            }
        }
    }
    tell(shared, |state| waits_for.clone_into(&mut state.waits_for));
    look(shared).await
}

/// The file is in its place already: the index had been lost.
async fn take_from_place(shared: &Shared, placed: &Placed) -> anyhow::Result<bool> {
    let (archive, wanted) = (shared.uplink.archive.clone(), placed.clone());
    let found = spawn_blocking(move || archive.found_in_place(&wanted));
    let Some(file) = found.await.context("look for the file")?? else { return Ok(false) };
    let change = Change::Bytes { ledger: placed.ledger.clone(), seq: placed.seq, file };
    shared.uplink.archive.submit(change).await.context("take in")?;
    Ok(true)
}

/// Once the hub has told all it knows, what is here of files that it has no entry of is entered as what it is.
async fn enter_unknown(shared: &Shared) -> anyhow::Result<()> {
    let (archive, site) = (shared.uplink.archive.clone(), shared.uplink.config.site.id.clone());
    let entered = spawn_blocking(move || archive.index_is_whole(archive.enter_unknown(&site, false)?));
    entered.await.context("enter files")?.context("enter files that no entry speaks of").map(drop)
}

pub(in crate::uplink) async fn decide(shared: &Shared, placed: &Placed) -> anyhow::Result<Verdict> {
    let uplink = &shared.uplink;
    let backlog = shared.session().has_backlog();
    let (archive, rules) = (uplink.archive.clone(), uplink.config.retention());
    let (site, placed) = (uplink.config.site.id.clone(), placed.clone());
    let settles_after = 3 * uplink.config.archive.segment;
    let facts = move || -> anyhow::Result<Facts> {
        let (start, end) = (UnixMicros(placed.segment.start_us), UnixMicros(placed.segment.end_us));
        let camera = Camera::of(&site, &placed.ledger);
        let around = archive.query(&site, &placed.ledger.stream, start, end)?;
        Ok(Facts {
            now: wire::clock::wall(),
            start,
            end,
            bytes: placed.segment.bytes,
            held: around
                .iter()
                .filter(|one| one.held && one.entry.segment().is_some())
                .map(|one| (one.start, one.end))
                .collect(),
            keep: rules.of(&camera),
            camera_bytes: camera_bytes(&archive, &placed.ledger),
            free: archive.disks().most_free().context("ask for free space")?,
            free_high: rules.marks.map_or(0, |marks| marks.high),
            backlog,
            settles_after,
        })
    };
    Ok(verdict(&spawn_blocking(facts).await.context("look at a segment")??))
}

fn camera_bytes(archive: &Archive, ledger: &LedgerId) -> u64 {
    let same = |other: &LedgerId| other.stream.camera() == ledger.stream.camera();
    archive.ledgers().iter().filter(|(other, _)| same(other)).map(|(_, record)| record.bytes).sum()
}

async fn bring(shared: &Shared, placed: Placed, pace: &mut Pace) -> anyhow::Result<()> {
    let archive = &shared.uplink.archive;
    let Placed { ledger, seq, segment } = &placed;
    match fetch::fetch(&shared.connection, archive, &placed, pace).await? {
        Answer::Here(file) => {
            let change = Change::Bytes { ledger: ledger.clone(), seq: *seq, file };
            archive.submit(change).await.context("take in")?;
            tracing::info!(%ledger, %seq, "restored from the hub");
            tell(shared, |state| {
                state.segments = state.segments.saturating_sub(1);
                state.bytes = state.bytes.saturating_sub(segment.bytes);
                state.restored_segments += 1;
                state.restored_bytes += segment.bytes;
                state.waits_for.clear();
            });
        }
        Answer::NotHeld => {
            // What the hub wrote itself it will say gone itself.
            let record = archive.ledger(ledger).filter(|record| !record.returned);
            if record.is_some() {
                let (archive, writer) = (archive.clone(), shared.uplink.writer);
                let given_up = spawn_blocking(move || {
                    give_up(&archive, writer, &placed, GapCause::LostBeforeReplication)
                });
                given_up.await.context("give up")?.context("give up")?;
            }
        }
        Answer::NotNow(why) => anyhow::bail!("the hub does not give it: {why}"),
    }
    Ok(())
}

/// How much is lacking, for whoever asks.
async fn look(shared: &Shared) -> anyhow::Result<()> {
    let archive = shared.uplink.archive.clone();
    let lacking = spawn_blocking(move || {
        let ledgers = archive.missing();
        let segments = ledgers.iter().map(|(_, segments)| segments).sum();
        let Some((first, _)) = ledgers.first() else { return anyhow::Ok((0, 0)) };
        let some = archive.missing_in(first, Seq(0), STEP)?;
        let bytes: u64 = some.iter().map(|placed| placed.segment.bytes).sum();
        Ok((segments, bytes * segments / (some.len() as u64).max(1)))
    });
    let (segments, bytes) = lacking.await.context("look what is lacking")??;
    tell(shared, |state| (state.segments, state.bytes) = (segments, bytes));
    Ok(())
}

/// Into the status, if it is news.
fn tell(shared: &Shared, change: impl FnOnce(&mut Restoring)) {
    let mut now = shared.uplink.status.snapshot().restore;
    let before = now.clone();
    change(&mut now);
    if now != before {
        shared.uplink.status.update(|state| state.restore = now);
    }
}
