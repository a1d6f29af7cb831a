//! How long a start takes that finds a large archive as a killed run left it.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use site_agent::archive::{self, Archive, Change, OpenSegment, layout};
use site_agent::virtual_server;
use tokio::task::JoinSet;
use wire::proto::entry::Kind;
use wire::{LedgerId, SegmentNumber, SiteId};

use crate::chance;
use crate::schedules::recorder::{self, SITE};

/// Segments whose entries are under way at once: the writer takes that many in one group.
const GROUP: u64 = 256;
/// What is allowed.
const RECOVERY_MAX: Duration = Duration::from_secs(5);

/// What came of it.
#[derive(Debug)]
pub struct Outcome {
    segments: u64,
    recovered: u64,
    took: Duration,
    /// Could the page cache be emptied before?
    cold: bool,
}

/// Makes an archive of so many small segments in one run's ledger, with one more that is open, and starts anew.
pub fn run(segments: u64) -> anyhow::Result<Outcome> {
    let dir = tempfile::Builder::new().prefix("holdfast-torture-").tempdir().context("make a folder")?;
    eprintln!("making {segments} segments");
    tokio::runtime::Runtime::new().context("start threads")?.block_on(fill(dir.path(), segments))?;
    let cold = std::fs::write("/proc/sys/vm/drop_caches", "3").is_ok();
    let own = std::env::current_exe().context("find this program")?;
    let began = wire::clock::now();
    let output = Command::new(own).arg("recover-once").arg(dir.path()).output().context("start anew")?;
    let took = began.elapsed();
    ensure!(output.status.success(), "it failed: {}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    Ok(Outcome { segments, recovered: said.parse().context("what was recovered")?, took, cold })
}

/// What a start does before it records.
pub fn once(dir: &Path) -> anyhow::Result<u64> {
    let archive = Archive::open(dir)?;
    Ok(virtual_server::recover(&archive, &SiteId::new(SITE)?)?)
}

async fn fill(dir: &Path, segments: u64) -> anyhow::Result<()> {
    let archive = Archive::open(dir)?;
    let ledger = LedgerId { origin: archive::new_origin(), stream: "till-1/main".parse()? };
    let (site, opened) = (SiteId::new(SITE)?, wire::clock::wall());
    archive.submit(Change::Open { ledger: ledger.clone(), site, opened }).await?;
    let folder = layout::open_segment(dir, &ledger, SegmentNumber(0));
    std::fs::create_dir_all(folder.parent().context("a folder")?)?;
    let mut chance = chance(1);
    for first in (0..segments).step_by(GROUP as usize) {
        let mut group = JoinSet::new();
        for number in first..segments.min(first + GROUP) {
            let (parts, segment) = recorder::make(&ledger, number, 200, &mut chance)?;
            let file = layout::open_segment(dir, &ledger, SegmentNumber(number));
            std::fs::write(&file, parts.concat()).context("write a segment")?;
            let (archive, at) = (archive.clone(), wire::clock::wall());
            let kind = Kind::Segment(segment);
            let change = Change::Append { ledger: ledger.clone(), at, kind, file: Some(file) };
            group.spawn(async move { archive.submit(change).await });
        }
        while let Some(done) = group.join_next().await {
            done.context("enter a segment")??;
        }
    }
    let (parts, _) = recorder::make(&ledger, segments, 200, &mut chance)?;
    let mut open = OpenSegment::create(dir, &ledger, SegmentNumber(segments))?;
    parts.iter().try_for_each(|part| open.append(part))?;
    Ok(())
}

impl Outcome {
    /// Was it fast enough, and was the open segment taken in?
    pub fn holds(&self) -> bool {
        self.took < RECOVERY_MAX && self.recovered == 1
    }

    /// The figures.
    pub fn json(&self) -> Value {
        json!({
            "segments": self.segments, "recovered": self.recovered, "recover_ms": self.took.as_millis() as u64,
            "cold": self.cold, "ok": self.holds(),
        })
    }
}
