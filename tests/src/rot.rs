//! Rot: bits that flip in segment files beneath a running daemon, and scrubs that find them.

use std::collections::BTreeSet;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use ops::client::Client;
use ops::rig::wait_until;
use rand::rngs::SmallRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use site_agent::archive::layout;

/// Flips a bit in so many random segment files of an archive, none of them in `spared`. Names are relative to the
/// archive, and the same at a site and at its hub.
pub fn flip_bits(
    archive: &Path,
    segments: usize,
    seed: u64,
    spared: &BTreeSet<PathBuf>,
) -> anyhow::Result<BTreeSet<PathBuf>> {
    let mut random = SmallRng::seed_from_u64(seed);
    let mut names = names(archive)?;
    names.retain(|name| !spared.contains(name));
    ensure!(names.len() >= segments, "{} has only {} segments", archive.display(), names.len());
    names.shuffle(&mut random);
    names.truncate(segments);
    for name in &names {
        flip_bit(&archive.join(name), &mut random)?;
    }
    Ok(names.into_iter().collect())
}

/// All segment files, by their names in the archive.
pub fn names(archive: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let files = layout::files(&archive.join("media"))?;
    files
        .iter()
        .map(|file| Ok(file.strip_prefix(archive).context("a file of the archive")?.to_owned()))
        .collect()
}

/// Flips a random bit of a file, in place.
pub fn flip_bit(path: &Path, random: &mut SmallRng) -> anyhow::Result<()> {
    let what = || format!("flip a bit in {}", path.display());
    let file = std::fs::File::options().read(true).write(true).open(path).with_context(what)?;
    let at = random.random_range(0..file.metadata().with_context(what)?.len());
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).with_context(what)?;
    byte[0] ^= 1 << random.random_range(0..8);
    file.write_all_at(&byte, at).and_then(|()| file.sync_all()).with_context(what)
}

/// Asks a daemon to re-read everything now, and waits until it has; tells what it says of itself then.
pub fn scrub(daemon: &Client, patience: Duration) -> anyhow::Result<Value> {
    daemon.post("/scrub", &json!({}))?;
    await_scrub(daemon, "everything is re-read", patience, |scrub| scrub["asked"] == false)
}

/// Waits until nothing is damaged any more, or was given up.
pub fn await_repaired(daemon: &Client, patience: Duration) -> anyhow::Result<Value> {
    await_scrub(daemon, "nothing is damaged any more", patience, |scrub| scrub["wanted"] == 0)
}

fn await_scrub(
    daemon: &Client,
    what: &str,
    patience: Duration,
    right: impl Fn(&Value) -> bool,
) -> anyhow::Result<Value> {
    let mut last = Value::Null;
    let waited = wait_until(what, patience, || {
        last = daemon.get("/scrub")?;
        Ok(right(&last))
    });
    waited.with_context(|| format!("the scrub says {last:#}"))?;
    Ok(last)
}
