//! What an installation left on disk once it has stopped: archives verified by the daemons' own command,
//! both sides compared entry by entry, and every frame compared with what the cameras logged.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use ops::oracle::{self, Comparison, Recorded, Sent};
use ops::rig::{Rig, programs, wait_until};
use serde_json::Value;
use site_agent::archive::{Archive, ArchiveError};
use site_agent::coverage::{GapCause, Span, What, totals};
use site_agent::serve::{NoTails, Present, timeline};
use wire::entry::Entry;
use wire::proto::Segment;
use wire::{LedgerId, Seq, SiteId, StreamId, UnixMicros};

use crate::scene::{EntryName, PATIENCE, Scene};

/// One camera's account.
pub struct CameraAccount {
    /// Which.
    pub camera: String,
    /// What it sent.
    pub log: Vec<Sent>,
    /// What the site has.
    pub at_site: Recorded,
    /// What the hub has.
    pub at_hub: Recorded,
    /// The log and the site.
    pub site: Comparison,
    /// The log and the hub.
    pub hub: Comparison,
    /// The timeline, from the beginning of the first run to the end of the last; the same on both sides.
    pub spans: Vec<Span>,
    /// The segments' entries at the site.
    pub segments: Vec<(EntryName, Segment)>,
}

/// Stops everything, and checks what must hold whatever happened: archives verify and are equal, no frame
/// is missing without an explanation or altered, no instant is unexplained.
pub fn settle(scene: &mut Scene) -> anyhow::Result<Vec<CameraAccount>> {
    each(scene, |camera, log, site, archive, vault| {
        let account = CameraAccount::take(camera, log, site, archive, vault)?;
        account.check().with_context(|| format!("camera {camera} of {site}"))?;
        Ok(account)
    })
}

/// Stops everything, and checks what must hold after power cuts: archives verify, everything the site has is at the hub, and
/// no frame is missing at either without an explanation, or altered. The hub may have more: what a site sent live, and
/// its disk lost, is salvaged there.
pub fn settle_with_more_at_hub(scene: &mut Scene) -> anyhow::Result<()> {
    let frames = each(scene, |camera, log, site, archive, vault| {
        let stream = StreamId::new(camera, "main")?;
        let at_site = oracle::read_open_archive(archive, site, &stream)?;
        let at_hub = oracle::read_open_archive(vault, site, &stream)?;
        for (side, recorded) in [(archive, &at_site), (vault, &at_hub)] {
            let found = oracle::compare(&log, recorded, recorded)?;
            let wrong = found.lost + found.foreign + found.audio_wrong;
            ensure!(wrong == 0 && found.sent > 0, "camera {camera} in {}: {found:?}", side.dir().display());
            let unexplained = totals(&timeline_of(side, site, &stream)?).unexplained;
            ensure!(
                unexplained.is_zero(),
                "{camera} in {}: {unexplained:?} unexplained",
                side.dir().display()
            );
        }
        let missing = at_site.video.keys().filter(|frame| !at_hub.video.contains_key(*frame)).count();
        ensure!(missing == 0, "the hub lacks {missing} frames of {camera} that the site has");
        Ok(at_site.video.len())
    })?;
    ensure!(!frames.is_empty(), "nothing was recorded");
    Ok(())
}

/// Stops everything; archives verify, everything a site has is at the hub. Then takes each camera's account.
fn each<T>(
    scene: &mut Scene,
    take: impl Fn(&str, Vec<Sent>, &SiteId, &Archive, &Archive) -> anyhow::Result<T>,
) -> anyhow::Result<Vec<T>> {
    scene.rig.stop()?;
    verify(&scene.rig)?;
    let rig = &scene.rig;
    let vault = open(&rig.vault)?;
    let mut accounts = Vec::new();
    for site in &rig.sites {
        let archive = open(&site.archive)?;
        equal(&archive, &vault)?;
        for camera in &site.cameras {
            let log = oracle::read_log(&site.camera_logs.join(format!("{}.log", camera.id)))?;
            accounts.push(take(&camera.id, log, &site.id, &archive, &vault)?);
        }
    }
    Ok(accounts)
}

/// One camera's account where a standby recorded too: what either side has counts.
pub struct MergedAccount {
    /// Which.
    pub camera: String,
    /// The log and both sides together.
    pub found: Comparison,
    /// Times that neither side has, between the first and the last that any has.
    pub holes: Vec<(UnixMicros, UnixMicros)>,
}

/// Stops everything, and checks what must hold with standbys: archives verify, everything the site has is at the
/// hub, and no frame is missing outside the holes of the timeline, or altered.
pub fn merged(scene: &mut Scene) -> anyhow::Result<Vec<MergedAccount>> {
    each(scene, |camera, log, site, _, vault| {
        let recorded = oracle::read_merged(&[vault], site, &StreamId::new(camera, "main")?)?;
        let found = oracle::compare(&log, &recorded, &recorded)?;
        let wrong = found.lost + found.foreign + found.audio_wrong;
        ensure!(wrong == 0 && found.sent > 0, "{camera}: {found:?}, holes {:?}", recorded.gaps);
        Ok(MergedAccount { camera: camera.to_owned(), found, holes: recorded.gaps })
    })
}

impl MergedAccount {
    /// How long nobody recorded around an instant.
    pub fn gap_around(&self, at: UnixMicros) -> Duration {
        oracle::gap_around(&self.holes, at).map_or(Duration::ZERO, |(from, to)| to.since(from))
    }

    /// Those that end later than a moment before `at`.
    pub fn holes_after(&self, at: UnixMicros) -> Vec<(UnixMicros, UnixMicros)> {
        self.holes.iter().copied().filter(|(_, to)| *to >= at - Duration::from_secs(2)).collect()
    }
}

/// Both daemons re-read their archives and find everything there.
fn verify(rig: &Rig) -> anyhow::Result<()> {
    let sites = rig.sites.iter().map(|site| ("site-agent", &site.archive));
    for (daemon, archive) in sites.chain([("dc-hub", &rig.vault)]) {
        let mut command = Command::new(programs::beside_this(daemon)?);
        let output = command.args(["verify", "--json"]).arg(archive).output().context("start verify")?;
        let text = String::from_utf8_lossy(&output.stdout);
        let last = text.lines().last().context("verify says something")?;
        let report: Value = serde_json::from_str(last).context("what verify says")?;
        let clean = ["without_bytes", "orphans", "open"].iter().all(|key| report[key] == 0);
        let whole = output.status.success() && report["ok"] == true && clean;
        ensure!(whole, "{daemon} verify {}: {last}", archive.display());
    }
    Ok(())
}

/// Opens an archive that somebody just had open.
pub fn open(dir: &Path) -> anyhow::Result<Archive> {
    let mut opened = None;
    wait_until("the archive can be opened", PATIENCE, || match Archive::open(dir) {
        Ok(archive) => {
            opened = Some(archive);
            Ok(true)
        }
        Err(ArchiveError::Locked(_)) => Ok(false),
        Err(error) => Err(error.into()),
    })?;
    opened.context("it was opened")
}

/// Every ledger that the site wrote is at the hub, entry by entry, with all its bytes; and every entry is acked. Of what
/// came back from the hub the hub still has all.
fn equal(site: &Archive, vault: &Archive) -> anyhow::Result<()> {
    for (ledger, ours) in site.ledgers() {
        let theirs =
            vault.ledger(&ledger).with_context(|| format!("the hub doesn't know ledger {ledger}"))?;
        if ours.returned {
            let more = ours.held().minus(&theirs.held());
            ensure!(more.is_empty(), "{ledger}: the hub wrote it, and only the site holds {more:?}");
            continue;
        }
        ensure!(
            (ours.next(), ours.head()) == (theirs.next(), theirs.head()),
            "ledger {ledger}: the site is at {}, the hub at {}",
            ours.next,
            theirs.next
        );
        ensure!(
            ours.held() == theirs.held(),
            "{ledger}: held {:?}, at the hub {:?}",
            ours.held(),
            theirs.held()
        );
    }
    Ok(())
}

/// Entries that were acked once are at the hub, and are what the site wrote.
pub fn still_held(rig: &Rig, site: usize, acked: &BTreeSet<EntryName>) -> anyhow::Result<()> {
    ensure!(!acked.is_empty(), "nothing had been acked");
    let (ours, vault) = (open(&rig.sites[site].archive)?, open(&rig.vault)?);
    for name in acked {
        let ledger = LedgerId { origin: name.origin, stream: name.stream.clone() };
        ensure!(vault.holds(&ledger, name.seq), "{ledger} entry {} was acked and is not held", name.seq);
        let bytes = |archive: &Archive| {
            archive.entry(&ledger, name.seq).map(|entry| entry.map(|one| one.bytes().clone()))
        };
        ensure!(bytes(&ours)? == bytes(&vault)?, "{ledger} entry {} was altered", name.seq);
    }
    Ok(())
}

impl CameraAccount {
    fn take(
        camera: &str,
        log: Vec<Sent>,
        site: &SiteId,
        archive: &Archive,
        vault: &Archive,
    ) -> anyhow::Result<Self> {
        let stream = StreamId::new(camera, "main")?;
        let at_site = oracle::read_open_archive(archive, site, &stream)?;
        let at_hub = oracle::read_open_archive(vault, site, &stream)?;
        let spans = timeline_of(archive, site, &stream)?;
        ensure!(spans == timeline_of(vault, site, &stream)?, "the sides tell different timelines");
        Ok(Self {
            camera: camera.to_owned(),
            site: oracle::compare(&log, &at_site, &at_site)?,
            hub: oracle::compare(&log, &at_site, &at_hub)?,
            segments: segments(archive, site, &stream)?,
            log,
            at_site,
            at_hub,
            spans,
        })
    }

    fn check(&self) -> anyhow::Result<()> {
        for (side, found) in [("site", &self.site), ("hub", &self.hub)] {
            let wrong = found.lost + found.foreign + found.audio_wrong;
            ensure!(wrong == 0, "at the {side}: {found:?}");
        }
        ensure!(self.at_site.video == self.at_hub.video, "the sides have different frames");
        let unexplained = totals(&self.spans).unexplained;
        ensure!(unexplained.is_zero(), "{unexplained:?} are unexplained: {:#?}", self.gaps());
        Ok(())
    }

    /// Something was recorded, and from its first to its last frame nothing is missing.
    pub fn without_gap(&self) -> anyhow::Result<()> {
        ensure!(self.site.sent > 0, "{}: nothing was recorded", self.camera);
        let missing = self.site.explained + self.hub.explained;
        ensure!(missing == 0, "{}: at the site {:?}, at the hub {:?}", self.camera, self.site, self.hub);
        ensure!(self.inner_gaps().is_empty(), "{}: {:#?}", self.camera, self.inner_gaps());
        Ok(())
    }

    /// Times without a recording, with their causes.
    pub fn gaps(&self) -> Vec<(UnixMicros, UnixMicros, GapCause)> {
        gaps(&self.spans)
    }

    /// Those between the first and the last recording.
    pub fn inner_gaps(&self) -> Vec<(UnixMicros, UnixMicros, GapCause)> {
        let recorded = |span: &Span| matches!(span.what, What::Recorded { .. });
        let first = self.spans.iter().position(recorded).unwrap_or(0);
        let last = self.spans.iter().rposition(recorded).unwrap_or(0);
        gaps(&self.spans[first..=last])
    }
}

fn gaps(spans: &[Span]) -> Vec<(UnixMicros, UnixMicros, GapCause)> {
    let gap = |span: &Span| match &span.what {
        What::Recorded { .. } => None,
        What::Gap { cause, .. } => Some((span.start, span.end, *cause)),
        _ => Some((span.start, span.end, GapCause::Unspecified)),
    };
    spans.iter().filter_map(gap).collect()
}

/// The whole timeline of a stream; who has acked what is left out, since only a site knows.
fn timeline_of(archive: &Archive, site: &SiteId, stream: &StreamId) -> anyhow::Result<Vec<Span>> {
    let ledgers = archive.ledgers();
    let own = || ledgers.iter().filter(|(ledger, _)| ledger.stream == *stream).map(|(_, record)| record);
    let from = own().map(|record| record.opened()).min().context("the stream has a ledger")?;
    let to = own().map(|record| UnixMicros(record.last_us)).max().context("the stream has a ledger")?;
    let present = Present { now: wire::clock::wall(), ..Present::default() };
    let mut spans = timeline(archive, &NoTails, (site, stream), (from, to), present)?.spans;
    for span in &mut spans {
        if let What::Recorded { acked, .. } = &mut span.what {
            *acked = false;
        }
    }
    Ok(spans)
}

fn segments(
    archive: &Archive,
    site: &SiteId,
    stream: &StreamId,
) -> anyhow::Result<Vec<(EntryName, Segment)>> {
    let located = archive.query(site, stream, UnixMicros(0), UnixMicros::MAX)?;
    let segment = |entry: &Entry| entry.segment().cloned();
    let named = |origin, seq: Seq| EntryName { origin, stream: stream.clone(), seq };
    Ok(located
        .iter()
        .filter_map(|one| Some((named(one.ledger.origin, one.seq), segment(&one.entry)?)))
        .collect())
}
