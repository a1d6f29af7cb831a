//! What was acked, noted while everything ran, and what became of it.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Context;
use holdfast_tests::account::open;
use holdfast_tests::scene::{EntryName, Scene};
use site_agent::archive::Archive;
use wire::entry::Entry;
use wire::{LedgerId, UnixMicros};

/// What is asked for again, in case it was acked since.
const AGAIN: Duration = Duration::from_secs(30);

/// Segments that the site was told are safe.
#[derive(Debug, Default)]
pub struct Acked {
    names: BTreeSet<EntryName>,
    asked: Option<UnixMicros>,
}

/// What became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fate {
    /// How many.
    pub acked: usize,
    /// Not at the hub any more.
    pub lost: usize,
    /// There, and not as the site wrote them.
    pub altered: usize,
}

impl Acked {
    /// Asks the site, which must be running.
    pub fn note(&mut self, scene: &Scene) -> anyhow::Result<()> {
        let now = wire::clock::wall();
        let from = self.asked.unwrap_or(now) - AGAIN;
        for camera in &scene.rig.sites[0].cameras {
            self.names.extend(scene.acked(0, &camera.id, from)?);
        }
        self.asked = Some(now);
        Ok(())
    }

    /// Once everything has stopped: reads every file.
    pub fn fate(&self, scene: &Scene) -> anyhow::Result<Fate> {
        let (ours, vault) = (open(&scene.rig.sites[0].archive)?, open(&scene.rig.vault)?);
        let mut fate = Fate { acked: self.names.len(), ..Fate::default() };
        for name in &self.names {
            let ledger = LedgerId { origin: name.origin, stream: name.stream.clone() };
            if !vault.holds(&ledger, name.seq) {
                eprintln!("lost: {ledger} entry {} was acked and is not held", name.seq);
                fate.lost += 1;
            } else if let Err(why) = is_as_written(&ours, &vault, &ledger, name) {
                eprintln!("altered: {ledger} entry {}: {why:#}", name.seq);
                fate.altered += 1;
            }
        }
        Ok(fate)
    }
}

/// The vault's entry is the site's, and its file hashes to it.
fn is_as_written(ours: &Archive, vault: &Archive, ledger: &LedgerId, name: &EntryName) -> anyhow::Result<()> {
    let theirs = vault.entry(ledger, name.seq)?.context("the vault has no such entry")?;
    let own = ours.entry(ledger, name.seq)?.context("the site has no such entry")?;
    anyhow::ensure!(own.bytes() == theirs.bytes(), "another entry");
    let segment = Entry::segment(&theirs).context("it is no segment")?;
    let path = vault.segment_path(ledger, wire::SegmentNumber(segment.number))?;
    let bytes = std::fs::read(&path).with_context(|| format!("read {}", path.display()))?;
    anyhow::ensure!(blake3::hash(&bytes).as_bytes().as_slice() == segment.hash, "other bytes");
    Ok(())
}
