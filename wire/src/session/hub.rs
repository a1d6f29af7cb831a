//! What a hub answers.
//!
//! The session holds no archive: it asks a [`VaultView`] what is durable, and tells its shell what to
//! send and which segments are complete. It acks nothing that the view does not call held.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use prost::Message;

use super::heard::WANT_RANGES_MAX;
use super::settled::{Bucket, Digest, FAN_OUT, Names, OFFERED_WHOLE, Settled};
use crate::chain::Head;
use crate::entry::Entry;
use crate::id::{LedgerId, NameError, SegmentNumber, Seq, VaultId};
use crate::proto;
use crate::range::RangeSet;

/// A Have is closed at about this size. The ranges of one ledger are not split.
const HAVE_BYTES: usize = 1 << 20;

/// What naming a ledger costs at most: an origin, two names and what is around them.
const NAME_BYTES_MAX: usize = 160;

/// Splits in one Have: about 1 KiB and a count each.
const SPLITS_PER_HAVE: usize = HAVE_BYTES / (FAN_OUT * 24);

/// Splits in one connection, however many ledgers the site says it has.
const SPLITS_MAX: u64 = 1 << 18;

/// The site asks for more digests than any difference could need.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it asks for more digests than any difference could need")]
pub struct TooManySplits;

/// A segment whose entry is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownSegment {
    /// Its place in the ledger.
    pub seq: Seq,
    /// How many parts it has.
    pub parts: u32,
    /// The segment of an ended origin whose parts serve as well.
    pub recovered_from: Option<(LedgerId, SegmentNumber)>,
}

/// What is durable in the vault, as the session may ask at any time.
pub trait VaultView {
    /// `(next, head)` of a ledger; `(0, genesis)` if it is unknown.
    fn ledger(&self, ledger: &LedgerId) -> (Seq, Head);
    /// Seqs durable here: entry, and bytes where it has any.
    fn held(&self, ledger: &LedgerId) -> RangeSet;
    /// Seqs whose bytes are not here and not wanted: they were freed, here or at the site.
    fn gone(&self, _ledger: &LedgerId) -> RangeSet {
        RangeSet::new()
    }
    /// The segment of that number, if its entry is known.
    fn segment(&self, ledger: &LedgerId, number: SegmentNumber) -> Option<KnownSegment>;
    /// Durable parts of one segment that is not held.
    fn tail(&self, ledger: &LedgerId, number: SegmentNumber) -> RangeSet;
    /// All segments of a ledger that have such parts.
    fn tails(&self, ledger: &LedgerId) -> Vec<(SegmentNumber, RangeSet)>;
}

/// What a vault has of the one site that a session is with.
pub trait SiteView {
    /// The site's ledgers of which nothing is wanted, but for some.
    fn digest(&self, except: &BTreeSet<LedgerId>) -> Digest;
    /// The same, to be told in parts.
    fn settled(&self, except: &BTreeSet<LedgerId>) -> Settled;
}

/// What the shell has to do.
#[derive(Clone, Debug, PartialEq)]
#[allow(clippy::large_enum_variant)] // one at a time, and sent at once
pub enum Output {
    /// Send this on the control stream.
    Control(proto::HubMessage),
    /// All parts of this segment are durable: put it together, then call [`HubSession::completed`].
    Complete {
        /// Of which ledger.
        ledger: LedgerId,
        /// Which segment.
        number: SegmentNumber,
        /// Its entry.
        seq: Seq,
    },
}

/// How putting a segment together ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Completion {
    /// It is durable, bytes and all.
    Held,
    /// The parts don't hash to the entry; the shell has dropped them.
    Mismatch,
    /// The vault could not store it; it is tried again when the site connects next.
    Failed,
}

/// The hub's side of one connection.
#[derive(Debug)]
pub struct HubSession {
    vault: VaultId,
    generation: u64,
    /// Those that may be spoken of.
    ledgers: BTreeSet<LedgerId>,
    /// Those that the site has offered one by one: not in its digest.
    offered: BTreeSet<LedgerId>,
    /// What the rest is here, once the digests were found to differ.
    settled: Option<Settled>,
    /// How many digests more the site may ask for.
    splits_left: u64,
    /// Has the site nothing more to offer?
    complete: bool,
    completing: BTreeSet<(LedgerId, SegmentNumber)>,
    /// What the site was asked for in this connection.
    wanted: BTreeMap<LedgerId, RangeSet>,
    /// Recovered segments waiting for parts that may come under their old name.
    aliases: BTreeMap<(LedgerId, SegmentNumber), (LedgerId, SegmentNumber)>,
    out: VecDeque<Output>,
}

impl HubSession {
    /// Begins a session; the shell has checked the Hello and sends the Welcome.
    pub fn new(vault: VaultId, generation: u64) -> Self {
        Self {
            vault,
            generation,
            ledgers: BTreeSet::new(),
            offered: BTreeSet::new(),
            settled: None,
            splits_left: 0,
            complete: false,
            completing: BTreeSet::new(),
            wanted: BTreeMap::new(),
            aliases: BTreeMap::new(),
            out: VecDeque::new(),
        }
    }

    /// The next thing to do, if any.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// May the site speak of this ledger? Only of those it has offered or opened.
    pub fn knows(&self, ledger: &LedgerId) -> bool {
        self.ledgers.contains(ledger)
    }

    /// Has the site offered all in which the two sides differ?
    pub fn is_offer_complete(&self) -> bool {
        self.complete
    }

    /// The site offers these; the shell has checked that they are the site's own. Answers what is held, and where
    /// the digests of all others differ. `besides` are ledgers of the site's of which there are tails: they are told
    /// of with its first offer, if they are not among what it offers.
    pub fn offered(
        &mut self,
        (view, site): (&dyn VaultView, &dyn SiteView),
        mut ledgers: Vec<LedgerId>,
        besides: Vec<LedgerId>,
        offer: &proto::Offer,
    ) -> Result<(), TooManySplits> {
        self.offered.extend(ledgers.iter().cloned());
        if offer.settled.is_some() {
            ledgers.extend(besides.into_iter().filter(|ledger| !self.offered.contains(ledger)));
        }
        let splits = self.splits(site, offer)?;
        self.complete = offer.last && splits.is_empty();
        self.have(ledgers.iter().map(|ledger| (ledger, held_of(view, ledger))), splits, offer.last);
        for ledger in ledgers {
            self.ledgers.insert(ledger.clone());
            // Parts and entry may both have been there before the cut, with no time to put them together.
            for (number, _) in view.tails(&ledger) {
                self.check_complete(view, &ledger, number);
            }
            self.check_recovered(view, &ledger);
        }
        Ok(())
    }

    /// Where the site's digest and ours differ, and what it asks for.
    fn splits(
        &mut self,
        site: &dyn SiteView,
        offer: &proto::Offer,
    ) -> Result<Vec<proto::Split>, TooManySplits> {
        let mut splits = Vec::new();
        if let Some(theirs) = &offer.settled
            && Digest::from_proto(theirs) != Some(site.digest(&self.offered))
            && theirs.count > 0
        {
            let ours = site.settled(&self.offered);
            let whole = ours.digest().count == 0 || theirs.count <= OFFERED_WHOLE;
            splits.push(ours.split(Bucket::ALL, whole));
            // Each level of the tree has at most a bucket for each of the site's ledgers.
            self.splits_left = theirs.count.min(SPLITS_MAX);
            self.settled = Some(ours);
        }
        for bucket in &offer.split {
            let Some(ours) = &self.settled else { break };
            let Some(bucket) = Bucket::from_proto(bucket) else { continue };
            self.splits_left = self.splits_left.checked_sub(1).ok_or(TooManySplits)?;
            splits.push(ours.split(bucket, false));
        }
        Ok(splits)
    }

    /// Answers an offer, in messages far below the frame limit.
    fn have<'a>(
        &mut self,
        ledgers: impl Iterator<Item = (&'a LedgerId, proto::LedgerHeld)>,
        splits: Vec<proto::Split>,
        last: bool,
    ) {
        let (mut have, mut bytes, mut names) = (proto::Have::default(), 0, Names::default());
        for (ledger, mut held) in ledgers {
            let more = held.encoded_len() + NAME_BYTES_MAX;
            if bytes + more > HAVE_BYTES && !have.ledgers.is_empty() {
                self.control(proto::hub_message::Kind::Have(std::mem::take(&mut have)));
                (bytes, names) = (0, Names::default());
            }
            bytes += more;
            held.ledger = Some(names.write(ledger));
            have.ledgers.push(held);
        }
        for some in splits.chunks(SPLITS_PER_HAVE) {
            if !have.ledgers.is_empty() || !have.splits.is_empty() {
                self.control(proto::hub_message::Kind::Have(std::mem::take(&mut have)));
            }
            have.splits = some.to_vec();
        }
        have.last = last;
        self.control(proto::hub_message::Kind::Have(have));
    }

    /// The parts of a recovered segment may all be here by their old name, so that none will come by the new
    /// one. A run enters what it recovered before anything else: those segments are its ledger's first.
    fn check_recovered(&mut self, view: &dyn VaultView, ledger: &LedgerId) {
        let held = view.held(ledger);
        if held.contains_all(0..view.ledger(ledger).0.0) {
            return;
        }
        for number in (0..).map(SegmentNumber) {
            let Some(known) = view.segment(ledger, number) else { return };
            let Some(before) = known.recovered_from else { return };
            if !held.contains(known.seq.0) {
                self.aliases.insert(before, (ledger.clone(), number));
                self.check_complete(view, ledger, number);
            }
        }
    }

    /// The site opened a ledger while connected.
    pub fn opened(&mut self, ledger: LedgerId) {
        self.ledgers.insert(ledger);
    }

    /// Entries `first..` of a ledger are durable.
    pub fn entries_stored(&mut self, view: &dyn VaultView, ledger: &LedgerId, first: Seq, entries: &[Entry]) {
        let mut done = RangeSet::new();
        let held = view.held(ledger);
        for (seq, entry) in (first.0..).zip(entries) {
            let Some(segment) = entry.segment() else {
                done.insert_one(seq);
                continue;
            };
            if held.contains(seq) {
                done.insert_one(seq);
                continue;
            }
            let number = SegmentNumber(segment.number);
            if let Some(before) = super::site::recovered_from(segment) {
                self.resend_if_used_up(view, &before, ledger, number);
                self.aliases.insert(before, (ledger.clone(), number));
            }
            self.check_complete(view, ledger, number);
        }
        self.ack(ledger, &done);
    }

    /// Parts of a segment are durable in the tail journal.
    pub fn parts_stored(&mut self, view: &dyn VaultView, stored: &[(LedgerId, SegmentNumber, RangeSet)]) {
        let acked = stored
            .iter()
            .map(|(ledger, segment, parts)| proto::TailAcked {
                ledger: Some(ledger.to_proto()),
                segment: segment.0,
                parts: parts.to_proto(),
            })
            .collect();
        self.control(proto::hub_message::Kind::TailAck(proto::TailAck { acked }));
        for (ledger, number, _) in stored {
            self.check_complete(view, ledger, *number);
            if let Some((ledger, number)) = self.aliases.get(&(ledger.clone(), *number)).cloned() {
                self.check_complete(view, &ledger, number);
            }
        }
    }

    /// The bytes of a segment of this site's that was held are damaged, and held no more: the site may have them still.
    pub fn lost(&mut self, view: &dyn VaultView, ledger: &LedgerId, number: SegmentNumber, seq: Seq) {
        if self.ledgers.insert(ledger.clone()) {
            // It was equal until now, and part of a digest: the site learns what is left of it.
            self.have([(ledger, held_of(view, ledger))].into_iter(), Vec::new(), false);
        } else {
            let lost = proto::Lost { ledger: Some(ledger.to_proto()), seq: seq.0, segment: number.0 };
            self.control(proto::hub_message::Kind::Lost(lost));
        }
    }

    /// Bytes of the site's are wanted now. Once the site's offer is complete; what was asked for already is not asked
    /// for again in one connection.
    pub fn want(&mut self, view: &dyn VaultView, ledger: &LedgerId, seqs: &RangeSet) {
        let known = self.wanted.entry(ledger.clone()).or_default();
        let new = seqs.minus(known);
        if new.is_empty() {
            return;
        }
        *known = known.union(&new);
        if self.ledgers.insert(ledger.clone()) {
            // It is part of a digest: the site learns what of it is here.
            self.have([(ledger, held_of(view, ledger))].into_iter(), Vec::new(), false);
        }
        for seqs in new.to_proto().chunks(WANT_RANGES_MAX) {
            let want = proto::Want { ledger: Some(ledger.to_proto()), seqs: seqs.to_vec() };
            self.control(proto::hub_message::Kind::Want(want));
        }
    }

    /// The shell has put a segment together, or failed to.
    pub fn completed(&mut self, ledger: &LedgerId, number: SegmentNumber, seq: Seq, completion: Completion) {
        self.completing.remove(&(ledger.clone(), number));
        match completion {
            Completion::Held => {
                self.aliases.retain(|_, current| current != &(ledger.clone(), number));
                self.ack(ledger, &RangeSet::from(seq.0..seq.0 + 1));
                if let Some((later, number)) = self.aliases.get(&(ledger.clone(), number)).cloned() {
                    self.resend(&later, number);
                }
            }
            Completion::Mismatch => self.resend(ledger, number),
            Completion::Failed => {}
        }
    }

    fn control(&mut self, kind: proto::hub_message::Kind) {
        self.out.push_back(Output::Control(proto::HubMessage { kind: Some(kind) }));
    }

    fn ack(&mut self, ledger: &LedgerId, seqs: &RangeSet) {
        if seqs.is_empty() {
            return;
        }
        let ack = proto::Ack {
            ledger: Some(ledger.to_proto()),
            seqs: seqs.to_proto(),
            vault: bytes::Bytes::copy_from_slice(&self.vault.0),
            generation: self.generation,
            class: proto::Durability::Node.into(),
        };
        self.control(proto::hub_message::Kind::Ack(ack));
    }

    fn resend(&mut self, ledger: &LedgerId, number: SegmentNumber) {
        let resend = proto::Resend { ledger: Some(ledger.to_proto()), segment: number.0 };
        self.control(proto::hub_message::Kind::Resend(resend));
    }

    /// A site that came back from an older copy of its disk recovers what it had entered already. The parts
    /// it takes for being here by their old name are used up: they are a segment of that name.
    fn resend_if_used_up(
        &mut self,
        view: &dyn VaultView,
        (before, old): &(LedgerId, SegmentNumber),
        ledger: &LedgerId,
        number: SegmentNumber,
    ) {
        let used = view.segment(before, *old).is_some_and(|known| view.held(before).contains(known.seq.0));
        if used {
            self.resend(ledger, number);
        }
    }

    fn check_complete(&mut self, view: &dyn VaultView, ledger: &LedgerId, number: SegmentNumber) {
        let Some(known) = view.segment(ledger, number) else { return };
        if view.held(ledger).contains(known.seq.0) {
            return;
        }
        let mut parts = view.tail(ledger, number);
        if let Some((before, number)) = &known.recovered_from {
            parts = parts.union(&view.tail(before, *number));
        }
        let complete = parts.contains_all(0..u64::from(known.parts));
        if complete && self.completing.insert((ledger.clone(), number)) {
            self.out.push_back(Output::Complete { ledger: ledger.clone(), number, seq: known.seq });
        }
    }
}

/// What the vault holds of a ledger, as it is told to the site.
fn held_of(view: &dyn VaultView, ledger: &LedgerId) -> proto::LedgerHeld {
    let (next, head) = view.ledger(ledger);
    let tails = view
        .tails(ledger)
        .into_iter()
        .map(|(segment, parts)| proto::Tail { segment: segment.0, parts: parts.to_proto() })
        .collect();
    proto::LedgerHeld {
        ledger: None, // named in its message
        next: next.0,
        head: head.to_bytes(),
        held: view.held(ledger).to_proto(),
        tails,
        gone: view.gone(ledger).to_proto(),
    }
}

/// Reads the ledgers of an Offer.
pub fn offered_ledgers(offer: &proto::Offer) -> Result<Vec<LedgerId>, NameError> {
    let mut names = Names::default();
    offer.ledgers.iter().map(|state| names.read(state.ledger.as_ref())).collect()
}
