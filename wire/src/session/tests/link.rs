//! One connection: two sessions, the streams between them, and what each shell has in hand. Dropping it is
//! the cut. Every rule about what may be said when is checked here.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Instant;

use bytes::Bytes;
use prost::Message;

use super::site_model::{Happened, SiteModel};
use super::vault_model::VaultModel;
use crate::entry::Entry;
use crate::proto::{hub_message, site_message};
use crate::session::hub::{self, Completion, HubSession, VaultView, offered_ledgers};
use crate::session::site::{self, LivePart, SiteLimits, SiteSession, recovered_from, told_ledgers};
use crate::{LedgerId, Policies, RangeSet, Replicate, SegmentNumber, Seq, VaultId, proto};

pub(super) const VAULT: VaultId = VaultId([9; 16]);
pub(super) const GENERATION: u64 = 3;
pub(super) const BACKLOG_STREAMS: usize = 3;

pub(super) type PartKey = (LedgerId, SegmentNumber, u32);

/// A backlog job and the parts it has yet to send.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) ledger: LedgerId,
    pub(super) seq: Seq,
    parts: Option<(SegmentNumber, VecDeque<u64>)>,
}

#[derive(Debug)]
pub(super) struct Link {
    pub(super) site: SiteSession,
    pub(super) hub: HubSession,
    /// May bytes of scheduled streams go?
    pub(super) window: bool,
    /// What the site has heard that the hub wants now.
    wanted: BTreeMap<LedgerId, RangeSet>,
    /// Not told to the site's session yet.
    pub(super) events: VecDeque<Happened>,
    pub(super) to_hub: VecDeque<proto::SiteMessage>,
    pub(super) to_site: VecDeque<proto::HubMessage>,
    pub(super) live: BTreeMap<LedgerId, VecDeque<PartKey>>,
    pub(super) backlog: [VecDeque<PartKey>; BACKLOG_STREAMS],
    pub(super) jobs: Vec<Job>,
    /// Arrived at the hub, not synced.
    pub(super) unsynced: Vec<PartKey>,
    pub(super) completing: Vec<(LedgerId, SegmentNumber, Seq)>,
    /// Ledgers the hub takes for another site's.
    pub(super) refused: BTreeSet<LedgerId>,
    pub(super) quarantined: BTreeSet<LedgerId>,
    pub(super) entries_sent: u64,
    /// Parts sent, and how often.
    pub(super) sent: BTreeMap<PartKey, u32>,
    /// Parts durable before this connection.
    durable_before: BTreeSet<PartKey>,
    /// Segments the hub has asked for again, and how often.
    pub(super) again: BTreeMap<(LedgerId, SegmentNumber), u32>,
    /// Per ledger the first entry that may be sent next.
    entries_next: BTreeMap<LedgerId, u64>,
}

impl Link {
    pub(super) fn new(model: &SiteModel, vault: &VaultModel, limits: SiteLimits) -> Self {
        let tails = vault
            .tails
            .iter()
            .flat_map(|((ledger, number), parts)| parts.keys().map(|part| (ledger.clone(), *number, *part)));
        let mut durable_before: BTreeSet<_> = tails.collect();
        for (ledger, site) in &model.ledgers {
            for (number, parts) in &site.segments {
                for part in 0..parts.len() as u32 {
                    if vault.has(ledger, *number, part) {
                        durable_before.insert((ledger.clone(), *number, part));
                    }
                }
            }
        }
        let open = model.ledgers.iter().filter_map(|(id, ledger)| Some((id, ledger.open.as_ref()?)));
        let open = open.flat_map(|(id, (number, parts))| {
            (0..parts.len() as u32).map(|part| Happened::Part(id.clone(), *number, part))
        });
        let hello = proto::Hello { policies: model.policies.to_proto(), ..Default::default() };
        Self {
            site: SiteSession::new(hello, model.facts(), limits),
            window: false,
            wanted: BTreeMap::new(),
            hub: HubSession::new(VAULT, GENERATION),
            events: open.collect(),
            to_hub: VecDeque::new(),
            to_site: VecDeque::new(),
            live: BTreeMap::new(),
            backlog: Default::default(),
            jobs: Vec::new(),
            unsynced: Vec::new(),
            completing: Vec::new(),
            refused: BTreeSet::new(),
            quarantined: BTreeSet::new(),
            entries_sent: 0,
            sent: BTreeMap::new(),
            durable_before,
            again: BTreeMap::new(),
            entries_next: BTreeMap::new(),
        }
    }

    /// Tells the session the next thing that happened at the site.
    ///
    /// The shell has two channels, parts and the rest, and takes parts first if it finds any.
    pub(super) fn follow(&mut self, model: &SiteModel, now: Instant, parts_first: bool) -> bool {
        let is_part = |happened: &Happened| matches!(happened, Happened::Part(..));
        let next = self.events.iter().position(is_part).filter(|_| parts_first).unwrap_or(0);
        match self.events.remove(next) {
            None => return false,
            Some(Happened::Opened(ledger)) => self.site.ledger_opened(model.facts_of(&ledger)),
            Some(Happened::Part(ledger, segment, part)) => {
                self.site.part_recorded(&ledger, LivePart { segment, part, since: now });
                self.live.entry(ledger).or_default();
            }
            Some(Happened::Committed { ledger, seq, head, segment }) => {
                self.site.committed(&ledger, seq, head, segment);
            }
        }
        true
    }

    /// Carries out one thing the site's session wants.
    pub(super) fn poll_site(&mut self, model: &mut SiteModel) -> bool {
        let Some(output) = self.site.poll_output() else { return false };
        match output {
            site::Output::Control(message) => {
                self.to_hub.push_back(message);
            }
            site::Output::Entries { ledger, seqs } => self.send_entries(model, &ledger, seqs),
            site::Output::Backlog { ledger, seq, asked } => {
                let wanted = self.wanted.get(&ledger).is_some_and(|seqs| seqs.contains(seq.0));
                let right = match model.replicate(&ledger) {
                    Replicate::Live => true,
                    Replicate::Scheduled => wanted || self.window,
                    Replicate::OnDemand => wanted,
                    Replicate::Never => false,
                };
                assert!(right && (wanted || !asked), "{ledger} {seq} goes, asked: {asked}");
                self.jobs.push(Job { ledger, seq, parts: None });
            }
            site::Output::Acked { ledger, seqs, all } => {
                let known = &mut model.ledgers.get_mut(&ledger).unwrap().acked;
                *known = if all { seqs } else { known.union(&seqs) };
            }
            site::Output::TailAcked { .. } => {}
            site::Output::Quarantined { ledger, .. } => drop(self.quarantined.insert(ledger)),
            site::Output::Refused(refuse) => panic!("{refuse:?}"),
        }
        true
    }

    fn send_entries(&mut self, model: &SiteModel, ledger: &LedgerId, seqs: std::ops::Range<u64>) {
        assert!(!self.quarantined.contains(ledger), "entries of a quarantined ledger");
        let next = self.entries_next.get(ledger).copied().unwrap_or(0);
        assert_eq!(seqs.start, next, "entries of {ledger} out of order or sent twice");
        self.entries_next.insert(ledger.clone(), seqs.end);
        self.entries_sent += seqs.end - seqs.start;
        let entries = &model.ledgers[ledger].entries[seqs.start as usize..seqs.end as usize];
        let batch =
            proto::EntryBatch { entries: entries.iter().map(|entry| entry.bytes().clone()).collect() };
        let message = proto::Entries {
            ledger: Some(ledger.to_proto()),
            first_seq: seqs.start,
            count: entries.len() as u32,
            batch: batch.encode_to_vec().into(),
            ..Default::default()
        };
        self.to_hub.push_back(proto::SiteMessage { kind: Some(site_message::Kind::Entries(message)) });
    }

    /// Does one step of job `index`: sends a part, or says that it is done.
    pub(super) fn step_job(&mut self, index: usize, model: &SiteModel) {
        let job = &mut self.jobs[index];
        if job.parts.is_none() {
            let entry = &model.ledgers[&job.ledger].entries[job.seq.0 as usize];
            let parts = entry.segment().map(|segment| {
                let missing = self.site.missing(&job.ledger, segment);
                (SegmentNumber(segment.number), missing.values().collect())
            });
            job.parts = Some(parts.unwrap_or_default());
        }
        let ledger = job.ledger.clone();
        let next = job.parts.as_mut().and_then(|(number, parts)| Some((*number, parts.pop_front()?)));
        match next {
            Some((number, part)) => {
                let key = (ledger, number, part as u32);
                self.check_part(model, &key);
                self.backlog[index % BACKLOG_STREAMS].push_back(key);
            }
            None => {
                let job = self.jobs.remove(index);
                self.site.backlog_sent(&job.ledger, job.seq);
            }
        }
    }

    pub(super) fn send_live(&mut self, ledger: &LedgerId, model: &SiteModel, now: Instant) -> bool {
        let Some(part) = self.site.next_live(ledger, now) else { return false };
        assert_eq!(model.replicate(ledger), Replicate::Live, "{ledger} is sent live");
        let key = (ledger.clone(), part.segment, part.part);
        self.check_part(model, &key);
        self.live.entry(ledger.clone()).or_default().push_back(key);
        true
    }

    /// May this part be sent now?
    fn check_part(&mut self, model: &SiteModel, key: &PartKey) {
        let (ledger, number, part) = key;
        assert!(self.site.is_running(), "bytes before the hub told what it has");
        assert!(!self.quarantined.contains(ledger), "bytes of a quarantined ledger: {key:?}");
        assert!(model.part(ledger, *number, *part).is_some(), "a part that was never recorded: {key:?}");
        let again = self.again.get(&(ledger.clone(), *number)).copied().unwrap_or(0);
        let times = self.sent.entry(key.clone()).or_default();
        *times += 1;
        assert!(*times <= 1 + again, "sent twice: {key:?}");
        if again == 0 {
            assert!(!self.durable_before.contains(key), "the hub has had it: {key:?}");
            let entries = model.ledgers[ledger].entries.iter();
            let mut segments = entries.filter_map(|entry| entry.segment());
            let before = segments.find(|segment| segment.number == number.0).and_then(recovered_from);
            if let Some((ledger, number)) = before {
                let old = (ledger, number, *part);
                assert!(!self.durable_before.contains(&old), "the hub has had it by its old name: {old:?}");
            }
        }
    }

    pub(super) fn deliver_to_hub(&mut self, vault: &mut VaultModel) -> bool {
        let Some(message) = self.to_hub.pop_front() else { return false };
        match message.kind {
            Some(site_message::Kind::Hello(hello)) => {
                vault.policies = Policies::from_proto(&hello.policies).unwrap();
                let welcome = proto::Welcome {
                    vault: Bytes::copy_from_slice(&VAULT.0),
                    generation: GENERATION,
                    ..Default::default()
                };
                self.say(hub_message::Kind::Welcome(welcome));
            }
            Some(site_message::Kind::Offer(offer)) => {
                let ledgers = offered_ledgers(&offer).unwrap();
                let claimed: Vec<_> =
                    ledgers.into_iter().filter(|ledger| self.claim(ledger, vault)).collect();
                let besides = vault.unfinished();
                self.hub.offered((&*vault, &*vault), claimed, besides, &offer).unwrap();
            }
            Some(site_message::Kind::Opened(opened)) => {
                let ledger = opened.ledger.unwrap().ledger;
                let ledger = LedgerId::from_proto(ledger.as_ref()).unwrap();
                if self.claim(&ledger, vault) {
                    self.hub.opened(ledger);
                }
            }
            Some(site_message::Kind::Entries(entries)) => self.take_entries(&entries, vault),
            other => panic!("{other:?}"),
        }
        true
    }

    fn claim(&mut self, ledger: &LedgerId, vault: &mut VaultModel) -> bool {
        if self.refused.contains(ledger) {
            self.refuse(ledger, proto::RefuseCode::NotYours);
            return false;
        }
        let known = vault.ledgers.entry(ledger.clone()).or_default().entries.len() as u64;
        self.entries_next.entry(ledger.clone()).or_insert(known);
        true
    }

    pub(super) fn refuse(&mut self, ledger: &LedgerId, code: proto::RefuseCode) {
        let refuse =
            proto::Refuse { code: code.into(), ledger: Some(ledger.to_proto()), ..Default::default() };
        self.say(hub_message::Kind::Refuse(refuse));
    }

    fn take_entries(&mut self, message: &proto::Entries, vault: &mut VaultModel) {
        let ledger = LedgerId::from_proto(message.ledger.as_ref()).unwrap();
        assert!(self.hub.knows(&ledger), "entries of a ledger that was never offered");
        let batch = proto::EntryBatch::decode(message.batch.clone()).unwrap();
        let entries: Vec<_> = batch.entries.into_iter().map(|bytes| Entry::read(bytes).unwrap()).collect();
        match vault.take_entries(&ledger, Seq(message.first_seq), &entries) {
            Ok(()) => self.hub.entries_stored(vault, &ledger, Seq(message.first_seq), &entries),
            Err(_) => self.refuse(&ledger, proto::RefuseCode::Chain),
        }
    }

    /// A part arrives at the hub; it waits there while its ledger is not known.
    pub(super) fn deliver_part(&mut self, stream: PartStream) -> bool {
        let queue = match &stream {
            PartStream::Live(ledger) => self.live.get_mut(ledger).unwrap(),
            PartStream::Backlog(index) => &mut self.backlog[*index],
        };
        match queue.pop_front_if(|(ledger, _, _)| self.hub.knows(ledger)) {
            Some(key) => self.unsynced.push(key),
            None => return false,
        }
        true
    }

    /// The journal syncs all that waits for it.
    pub(super) fn sync(&mut self, model: &SiteModel, vault: &mut VaultModel) -> bool {
        if self.unsynced.is_empty() {
            return false;
        }
        let mut stored: BTreeMap<(LedgerId, SegmentNumber), RangeSet> = BTreeMap::new();
        for (ledger, number, part) in self.unsynced.drain(..) {
            let data = model.part(&ledger, number, part).unwrap();
            vault.take_part(&ledger, number, part, data);
            stored.entry((ledger, number)).or_default().insert_one(part.into());
        }
        let stored: Vec<_> =
            stored.into_iter().map(|((ledger, number), parts)| (ledger, number, parts)).collect();
        self.hub.parts_stored(vault, &stored);
        true
    }

    /// A segment has been put together, or not.
    pub(super) fn complete(&mut self, index: usize, vault: &mut VaultModel, fails: bool) -> Completion {
        let (ledger, number, seq) = self.completing.remove(index);
        let completion = if fails { Completion::Failed } else { vault.complete(&ledger, number, seq) };
        self.hub.completed(&ledger, number, seq, completion);
        completion
    }

    /// Carries out one thing the hub's session wants.
    pub(super) fn poll_hub(&mut self, vault: &VaultModel) -> bool {
        let Some(output) = self.hub.poll_output() else { return false };
        match output {
            hub::Output::Control(message) => {
                match &message.kind {
                    Some(hub_message::Kind::Ack(ack)) => check_ack(vault, ack),
                    Some(hub_message::Kind::Resend(resend)) => {
                        let ledger = LedgerId::from_proto(resend.ledger.as_ref()).unwrap();
                        let number = SegmentNumber(resend.segment);
                        *self.again.entry((ledger, number)).or_default() += 1;
                    }
                    // Also of ledgers that were not offered: of their tails, or because something of them is wanted.
                    Some(hub_message::Kind::Have(have)) => {
                        for (ledger, held) in told_ledgers(have).unwrap().into_iter().zip(&have.ledgers) {
                            self.entries_next.entry(ledger).or_insert(held.next);
                        }
                    }
                    Some(hub_message::Kind::Lost(lost)) => {
                        let ledger = LedgerId::from_proto(lost.ledger.as_ref()).unwrap();
                        *self.again.entry((ledger.clone(), SegmentNumber(lost.segment))).or_default() += 1;
                        self.wanted.entry(ledger).or_default().insert_one(lost.seq);
                    }
                    _ => {}
                }
                self.to_site.push_back(message);
            }
            hub::Output::Complete { ledger, number, seq } => {
                let segment = vault.segment(&ledger, number).expect("Complete without an entry");
                assert_eq!(segment.seq, seq);
                self.completing.push((ledger, number, seq));
            }
        }
        true
    }

    pub(super) fn deliver_to_site(&mut self, model: &SiteModel) -> bool {
        let Some(message) = self.to_site.pop_front() else { return false };
        if let Some(hub_message::Kind::Want(want)) = &message.kind {
            let wanted = self.wanted.entry(LedgerId::from_proto(want.ledger.as_ref()).unwrap()).or_default();
            *wanted = wanted.union(&RangeSet::from_proto(&want.seqs));
        }
        self.site.handle_message(message, &|ledger, next| model.head_at(ledger, next)).unwrap();
        true
    }

    pub(super) fn set_window(&mut self, open: bool) {
        self.window = open;
        self.site.set_window(open);
    }

    pub(super) fn say(&mut self, kind: hub_message::Kind) {
        self.to_site.push_back(proto::HubMessage { kind: Some(kind) });
    }

    /// Parts that were sent and are not durable.
    pub(super) fn in_flight(&self) -> u64 {
        let streams = self.live.values().chain(&self.backlog).map(VecDeque::len);
        (streams.sum::<usize>() + self.unsynced.len()) as u64
    }
}

/// Where a part comes along.
#[derive(Clone, Debug)]
pub(super) enum PartStream {
    Live(LedgerId),
    Backlog(usize),
}

/// The hub acks only what its vault holds: the entry, and the bytes if it has any.
fn check_ack(vault: &VaultModel, ack: &proto::Ack) {
    let ledger = LedgerId::from_proto(ack.ledger.as_ref()).unwrap();
    let held = vault.held(&ledger);
    for seq in RangeSet::from_proto(&ack.seqs).values() {
        assert!(held.contains(seq), "acked and not held: {ledger} {seq}");
        let entry = vault.entry(&ledger, Seq(seq)).expect("acked without its entry");
        if let Some(segment) = entry.segment() {
            let file = &vault.files[&(ledger.clone(), SegmentNumber(segment.number))];
            assert_eq!(blake3::hash(file).as_bytes().as_slice(), segment.hash);
        }
    }
}
