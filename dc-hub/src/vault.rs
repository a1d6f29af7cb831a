//! The vault: the archive of what sites send, and the journal of what they have not finished.
//!
//! It answers the replication session's questions ([`VaultView`]) from what is durable, and puts
//! segments together when all their parts are.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use site_agent::archive::disks::Place;
use site_agent::archive::{self, Archive, ArchiveError, Change, Placed, Sender, Use};
use site_agent::retention::Writer;
use site_agent::{failpoint, scrub, virtual_server};
use wire::chain::Head;
use wire::entry::{Entry, part_count};
use wire::proto::GapCause;
use wire::proto::entry::Kind;
use wire::session::hub::{Completion, KnownSegment, SiteView, VaultView};
use wire::session::settled::{Digest, Settled};
use wire::session::site::{recovered_from, segment_name};
use wire::{LedgerId, OriginId, RangeSet, SegmentNumber, Seq, SiteId, UnixMicros, proto};

use crate::journal::{Journal, JournalError, Tail, TailPart};

/// Between two looks whether a full disk has room again.
const LOOK: Duration = Duration::from_secs(1);

/// Why the vault could not do something.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// The archive could not.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The journal could not.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

impl VaultError {
    /// Would it go with more room on the disk?
    pub fn is_out_of_space(&self) -> bool {
        match self {
            Self::Archive(error) => error.is_out_of_space(),
            Self::Journal(error) => matches!(error, JournalError::Full(_)),
        }
    }
}

/// An open vault. Clones share it.
#[derive(Clone)]
pub struct Vault {
    archive: Archive,
    journal: Journal,
    /// The vault's own run: the writer of what it salvages.
    origin: OriginId,
    /// Sites that have told all they have since the index was lost.
    asked: Arc<Mutex<BTreeSet<SiteId>>>,
    /// Whoever looks whether there is room again: one at a time.
    looks: Arc<tokio::sync::Mutex<()>>,
}

impl Vault {
    /// Opens the vault in `dir`, making it if there is none.
    pub fn open(dir: &Path, journal_file_bytes: u64) -> Result<Self, VaultError> {
        Self::open_with(dir, &[], journal_file_bytes)
    }

    /// [`Vault::open`], with further disks at these places.
    pub fn open_with(dir: &Path, places: &[Place], journal_file_bytes: u64) -> Result<Self, VaultError> {
        let archive = Archive::open_with(dir, places)?;
        // A thread that is not async's, so that this may be called from anywhere.
        let recovered = std::thread::scope(|scope| {
            scope
                .spawn(|| virtual_server::recover_standbys(&archive))
                .join()
                .unwrap_or(Err(ArchiveError::Closed))
        });
        recovered?;
        let done = Done::of(&archive)?;
        let held = |ledger: &LedgerId, number| match archive.seq_of(ledger, number) {
            Ok(Some(seq)) => archive.holds(ledger, seq) || done.was_freed(ledger, seq),
            _ => done.salvaged.contains(&(ledger.clone(), number)),
        };
        let journal = Journal::open(&dir.join("tails"), journal_file_bytes, held)?;
        Ok(Self {
            archive,
            journal,
            origin: archive::new_origin(),
            asked: Arc::default(),
            looks: Arc::default(),
        })
    }

    /// The id of this run of the vault.
    pub fn origin(&self) -> OriginId {
        self.origin
    }

    /// What is complete.
    pub fn archive(&self) -> &Archive {
        &self.archive
    }

    /// What is not.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// Why it accepts nothing more, if so.
    pub fn poisoned(&self) -> Option<&str> {
        self.archive.poisoned().or_else(|| self.journal.poisoned())
    }

    /// Takes a ledger in from whoever brings it, or finds that it is another's.
    pub async fn claim(
        &self,
        by: &Sender,
        ledger: &LedgerId,
        state: &proto::LedgerState,
    ) -> Result<(), VaultError> {
        let known = self.archive.ledger(ledger);
        let opened = UnixMicros(state.opened_us);
        let (ledger, site) = (ledger.clone(), by.site.clone());
        let begin = || match by.host {
            None => Change::Open { ledger: ledger.clone(), site: site.clone(), opened },
            Some(_) => Change::OpenHosted { ledger: ledger.clone(), by: by.clone(), opened },
        };
        if known.as_ref().is_none_or(|record| !by.brings(record)) {
            self.submit(begin).await?;
        }
        if state.ended && known.is_none_or(|record| !record.ended) {
            self.end(&ledger).await?;
        }
        Ok(())
    }

    /// What it has of what one sender brings.
    pub fn brought_by<'a>(&'a self, by: &'a Sender) -> BroughtBy<'a> {
        BroughtBy { vault: self, by }
    }

    /// Ledgers that a sender brings of whose unfinished segments there are parts.
    pub fn unfinished(&self, by: &Sender) -> BTreeSet<LedgerId> {
        self.tails_of(by).map(|tail| tail.ledger).collect()
    }

    /// Unfinished segments of what a sender brings. Those of ledgers that are not known here, as after the index was lost,
    /// are left to the site.
    pub fn tails_of(&self, by: &Sender) -> impl Iterator<Item = Tail> {
        let tails = self.journal.all().into_iter().filter(|tail| tail.site == by.site);
        let brings = |tail: &Tail| {
            let record = self.archive.ledger(&tail.ledger);
            record.map_or(by.host.is_none(), |record| by.brings(&record))
        };
        tails.filter(brings)
    }

    /// Bytes that are gone where they were recorded and did not come here never will: that is said, and nobody waits
    /// for them. What a site lost it says itself, in its ledgers; a host doesn't.
    pub async fn give_up(&self, lost: Vec<(LedgerId, RangeSet)>) -> Result<(), VaultError> {
        let vault = self.clone();
        let given_up = tokio::task::spawn_blocking(move || {
            for (ledger, seqs) in lost {
                let Some(record) = vault.archive.ledger(&ledger) else { continue };
                let missing = record.missing();
                for seq in missing.minus(&missing.minus(&seqs)).values().map(Seq) {
                    let Some(segment) =
                        vault.archive.entry(&ledger, seq)?.and_then(|one| one.segment().cloned())
                    else {
                        continue;
                    };
                    let placed = Placed { ledger: ledger.clone(), seq, segment };
                    let writer = Writer::Vault(vault.origin);
                    scrub::give_up(&vault.archive, writer, &placed, GapCause::LostBeforeReplication)?;
                }
            }
            Ok(())
        });
        given_up.await.unwrap_or(Err(ArchiveError::Closed)).map_err(VaultError::Archive)
    }

    /// Ends the ledgers that a sender does not offer one by one and that its present run does not write: an origin has
    /// one writer, and a site's agent has one origin; a host offers one by one what it still writes.
    pub async fn end_others(
        &self,
        by: &Sender,
        current: OriginId,
        offered: &BTreeSet<LedgerId>,
    ) -> Result<(), VaultError> {
        for ledger in self.archive.running(by) {
            if ledger.origin != current && !offered.contains(&ledger) {
                self.end(&ledger).await?;
            }
        }
        Ok(())
    }

    async fn end(&self, ledger: &LedgerId) -> Result<(), VaultError> {
        self.submit(|| Change::End { ledger: ledger.clone() }).await
    }

    /// Takes entries in, as first encoded.
    pub async fn take_entries(
        &self,
        site: &SiteId,
        ledger: &LedgerId,
        first: Seq,
        entries: Vec<Entry>,
    ) -> Result<(), VaultError> {
        // As good as never: nothing is copied for it otherwise.
        let wanted = if self.archive.is_index_lost() { placed(ledger, first, &entries) } else { Vec::new() };
        let entries = || Change::Entries {
            site: site.clone(),
            ledger: ledger.clone(),
            first,
            entries: entries.clone(),
        };
        self.submit(entries).await?;
        self.take_from_place(wanted).await
    }

    /// The index was lost: what is in its place, and is what its entry says, need not come again.
    async fn take_from_place(&self, segments: Vec<Placed>) -> Result<(), VaultError> {
        for placed in segments.into_iter().filter(|placed| !self.archive.holds(&placed.ledger, placed.seq)) {
            let (archive, wanted) = (self.archive.clone(), placed.clone());
            let found = tokio::task::spawn_blocking(move || archive.found_in_place(&wanted)).await;
            let Some(file) = found.unwrap_or(Err(ArchiveError::Closed))? else { continue };
            self.archive.submit(Change::Bytes { ledger: placed.ledger, seq: placed.seq, file }).await?;
        }
        Ok(())
    }

    /// The index was lost, and a site's agent has told all it has: what no entry speaks of then, its standbys recorded.
    /// It is entered as theirs. When that was done for every site of which anything is here, the index is whole. Returns
    /// how many segments were entered.
    pub async fn take_unknown(&self, site: &SiteId) -> Result<u64, VaultError> {
        let was_asked = || self.asked.lock().unwrap_or_else(PoisonError::into_inner).contains(site);
        if !self.archive.is_index_lost() || was_asked() {
            return Ok(0);
        }
        let (archive, asked, site) = (self.archive.clone(), self.asked.clone(), site.clone());
        let entering = tokio::task::spawn_blocking(move || {
            let entered = archive.enter_unknown(&site, true)?;
            let mut asked = asked.lock().unwrap_or_else(PoisonError::into_inner);
            asked.insert(site);
            if archive.sites_on_disk()?.is_subset(&asked) {
                archive.index_is_whole(entered)?;
            }
            Ok(entered)
        });
        Ok(entering.await.unwrap_or(Err(ArchiveError::Closed))?)
    }

    /// Makes a part durable in the journal.
    pub async fn take_part(&self, part: &TailPart) -> Result<(), VaultError> {
        loop {
            match self.journal.append(part.clone()).await {
                Err(JournalError::Full(_)) => self.room().await,
                done => return Ok(done?),
            }
        }
    }

    /// Waits until there is room on the disk: nobody tells of that.
    pub(crate) async fn room(&self) {
        loop {
            tokio::time::sleep(LOOK).await;
            let _look = self.looks.lock().await;
            let archive = self.archive.clone();
            let is_there = move || archive.room().admits(0, Use::Media);
            if tokio::task::spawn_blocking(is_there).await.unwrap_or(true) {
                return;
            }
        }
    }

    /// Has the archive change, if need be when there is room again: what a full vault can't take it neither acks nor
    /// refuses. So sites keep it, and their connections.
    async fn submit(&self, change: impl Fn() -> Change) -> Result<(), VaultError> {
        loop {
            match self.archive.submit(change()).await {
                Err(error) if error.is_out_of_space() => self.room().await,
                done => return done.map(drop).map_err(VaultError::Archive),
            }
        }
    }

    /// Puts a segment together from its parts; checks it against its entry before it is called held.
    pub async fn complete(&self, ledger: &LedgerId, number: SegmentNumber, seq: Seq) -> Completion {
        loop {
            match self.try_complete(ledger, number, seq).await {
                Ok(completion) => return completion,
                Err(error) if error.is_out_of_space() => self.room().await,
                Err(error) => {
                    tracing::error!(%ledger, segment = %number, %error, "put segment together");
                    return Completion::Failed;
                }
            }
        }
    }

    async fn try_complete(
        &self,
        ledger: &LedgerId,
        number: SegmentNumber,
        seq: Seq,
    ) -> Result<Completion, VaultError> {
        // A connection that is gone may have been faster.
        if self.archive.holds(ledger, seq) {
            self.forget(ledger, number, seq);
            return Ok(Completion::Held);
        }
        let (vault, id) = (self.clone(), ledger.clone());
        let put_together = tokio::task::spawn_blocking(move || vault.put_together(&id, number, seq));
        let file = put_together.await.unwrap_or(Err(ArchiveError::Closed.into()))?;
        let Some(file) = file else {
            tracing::error!(%ledger, segment = %number, "parts don't hash to their entry; asking for them again");
            self.forget(ledger, number, seq);
            return Ok(Completion::Mismatch);
        };
        failpoint::pass("ingest/put-together");
        let repairs = self.archive.ledger(ledger).is_some_and(|record| record.damaged().contains(seq.0));
        if repairs {
            failpoint::pass("repair/fetched");
        }
        let bytes = Change::Bytes { ledger: ledger.clone(), seq, file: file.clone() };
        let taken = self.archive.submit(bytes).await;
        taken.inspect_err(|_| drop(std::fs::remove_file(&file)))?; // what is left in the folder goes at the next start
        if repairs {
            failpoint::pass("repair/taken-in");
        }
        self.forget(ledger, number, seq);
        Ok(Completion::Held)
    }

    /// Writes the file; `None` if it does not hash to its entry.
    fn put_together(
        &self,
        ledger: &LedgerId,
        number: SegmentNumber,
        seq: Seq,
    ) -> Result<Option<std::path::PathBuf>, VaultError> {
        let entry = self.archive.entry(ledger, seq)?;
        let Some(segment) = entry.as_ref().and_then(Entry::segment) else { return Ok(None) };
        let path = self.archive.incoming(ledger, number, segment.bytes)?;
        let right = self.write_parts(ledger, number, segment, &path);
        if !matches!(right, Ok(true)) {
            let _ = std::fs::remove_file(&path); // what is left in the folder goes at the next start
        }
        Ok(right?.then_some(path))
    }

    /// Writes a segment's parts into a file; tells whether it hashes to its entry.
    fn write_parts(
        &self,
        ledger: &LedgerId,
        number: SegmentNumber,
        segment: &proto::Segment,
        path: &Path,
    ) -> Result<bool, VaultError> {
        let before = recovered_from(segment);
        let io = |what| move |source| ArchiveError::Io { what, path: path.to_owned(), source };
        let mut file = std::fs::File::create(path).map_err(io("make file"))?;
        let (mut hasher, mut bytes) = (blake3::Hasher::new(), 0);
        for part in 0..part_count(segment) {
            let mut data = self.journal.read(ledger, number, part)?;
            if let (None, Some((ledger, number))) = (&data, &before) {
                data = self.journal.read(ledger, *number, part)?;
            }
            let Some(data) = data else { return Ok(false) };
            file.write_all(&data).map_err(io("write file"))?;
            hasher.update(&data);
            bytes += data.len() as u64;
        }
        Ok(hasher.finalize().as_bytes().as_slice() == segment.hash && bytes == segment.bytes)
    }

    fn forget(&self, ledger: &LedgerId, number: SegmentNumber, seq: Seq) {
        self.journal.forget(ledger, number);
        let entry = self.archive.entry(ledger, seq).ok().flatten();
        if let Some((ledger, number)) = entry.as_ref().and_then(Entry::segment).and_then(recovered_from) {
            self.journal.forget(&ledger, number);
        }
    }
}

/// The segments among entries, and their places.
fn placed(ledger: &LedgerId, first: Seq, entries: &[Entry]) -> Vec<Placed> {
    let placed = |(seq, entry): (u64, &Entry)| {
        Some(Placed { ledger: ledger.clone(), seq: Seq(seq), segment: entry.segment()?.clone() })
    };
    (first.0..).zip(entries).filter_map(placed).collect()
}

/// What is no tail any more, though the journal may still have parts of it: it only deletes whole files.
#[derive(Default)]
struct Done {
    /// Tails that were entered as what they are.
    salvaged: BTreeSet<(LedgerId, SegmentNumber)>,
    /// Segments that were held here, and were too old or too much: they must not come back as tails.
    freed: BTreeMap<LedgerId, RangeSet>,
}

impl Done {
    fn of(archive: &Archive) -> Result<Self, ArchiveError> {
        let mut done = Self::default();
        for (ledger, record) in archive.ledgers().into_iter().filter(|(_, record)| record.salvage) {
            for entry in archive.entries(&ledger, 0..record.next)? {
                match entry.kind() {
                    Some(Kind::Salvage(salvage)) => {
                        done.salvaged.extend(salvage.continues.as_ref().and_then(segment_name));
                    }
                    Some(Kind::Gone(gone)) if gone.cause() == GapCause::Expired => done.gone(gone),
                    _ => {}
                }
            }
        }
        Ok(done)
    }

    fn gone(&mut self, gone: &proto::Gone) {
        if let Ok(of) = LedgerId::from_proto(gone.ledger.as_ref()) {
            let freed = self.freed.entry(of).or_default();
            *freed = freed.union(&RangeSet::from_proto(&gone.seqs));
        }
    }

    fn was_freed(&self, ledger: &LedgerId, seq: Seq) -> bool {
        self.freed.get(ledger).is_some_and(|seqs| seqs.contains(seq.0))
    }
}

/// A vault as a session asks of one sender.
pub struct BroughtBy<'a> {
    vault: &'a Vault,
    by: &'a Sender,
}

impl SiteView for BroughtBy<'_> {
    fn digest(&self, except: &BTreeSet<LedgerId>) -> Digest {
        self.vault.archive.settled_digest(self.by, except)
    }

    fn settled(&self, except: &BTreeSet<LedgerId>) -> Settled {
        self.vault.archive.settled(self.by, except)
    }
}

impl VaultView for Vault {
    fn ledger(&self, ledger: &LedgerId) -> (Seq, Head) {
        let known = self.archive.ledger(ledger).map(|record| (record.next(), record.head()));
        known.unwrap_or_else(|| (Seq(0), Head::genesis(ledger)))
    }

    fn held(&self, ledger: &LedgerId) -> RangeSet {
        self.archive.ledger(ledger).map(|record| record.held()).unwrap_or_default()
    }

    fn gone(&self, ledger: &LedgerId) -> RangeSet {
        self.archive.ledger(ledger).map(|record| record.gone()).unwrap_or_default()
    }

    fn segment(&self, ledger: &LedgerId, number: SegmentNumber) -> Option<KnownSegment> {
        // An index that can't be read answers as if it were empty: nothing is acked on its word.
        let seq = self.archive.seq_of(ledger, number).ok().flatten()?;
        let entry = self.archive.entry(ledger, seq).ok().flatten()?;
        let segment = entry.segment()?;
        Some(KnownSegment { seq, parts: part_count(segment), recovered_from: recovered_from(segment) })
    }

    fn tail(&self, ledger: &LedgerId, number: SegmentNumber) -> RangeSet {
        self.journal.parts(ledger, number)
    }

    fn tails(&self, ledger: &LedgerId) -> Vec<(SegmentNumber, RangeSet)> {
        self.journal.of_ledger(ledger).into_iter().map(|tail| (tail.segment, tail.parts)).collect()
    }
}
