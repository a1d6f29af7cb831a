//! What a site sends.
//!
//! Three kinds of traffic come out: entries (control stream, in order per ledger), live parts (one
//! stream per ledger, as they are recorded) and backlog jobs (whole segments, less what the hub already
//! has). Live parts are only ever dropped from the queue, never waited for: what is dropped is backlog
//! once its segment is committed. Whether and when bytes go is each stream's policy, by what the Hello says.
//!
//! What comes of the hub's messages is in `heard`.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::time::{Duration, Instant};

use super::ledger::Ledger;
use super::offering::{Offering, state_of};
use super::order::Jobs;
use super::settled::Names;
use crate::chain::Head;
use crate::entry::part_count;
use crate::id::{LedgerId, NameError, SegmentNumber, Seq, VaultId};
use crate::policy::{Policies, Replicate};
use crate::proto;
use crate::range::RangeSet;

/// Bounds of a session; each queue has one.
#[derive(Clone, Debug)]
pub struct SiteLimits {
    /// A live queue whose oldest part waits longer than this is emptied into the backlog.
    pub live_behind: Duration,
    /// Backlog segments under way at once; so many more, if the hub asked for them.
    pub backlog_jobs: usize,
    /// Entries in one message.
    pub entries_per_message: u64,
}

impl Default for SiteLimits {
    fn default() -> Self {
        Self { live_behind: Duration::from_secs(10), backlog_jobs: 8, entries_per_message: 512 }
    }
}

/// A ledger as the site has it when a session begins.
#[derive(Clone, Debug)]
pub struct LedgerFacts {
    /// Which.
    pub ledger: LedgerId,
    /// The seq of the entry to come.
    pub next: Seq,
    /// The chain's head before it.
    pub head: Head,
    /// Will its origin never write again?
    pub ended: bool,
    /// Seqs whose bytes are gone here.
    pub gone: RangeSet,
    /// Seqs of which a vault said, in whatever connection, that they are durable there, or not wanted.
    pub acked: RangeSet,
    /// When the origin began.
    pub opened: crate::UnixMicros,
}

/// What the shell has to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Send this on the control stream.
    Control(proto::SiteMessage),
    /// Read these entries and send them on the control stream.
    Entries {
        /// Of which ledger.
        ledger: LedgerId,
        /// Which seqs.
        seqs: Range<u64>,
    },
    /// Send the missing parts of this segment as backlog; then call [`SiteSession::backlog_sent`].
    Backlog {
        /// Of which ledger.
        ledger: LedgerId,
        /// Which entry; if it turns out not to be a segment there is nothing to send.
        seq: Seq,
        /// The hub asked for it: it goes ahead of what it did not ask for.
        asked: bool,
    },
    /// Remember that the vault has these, durably.
    Acked {
        /// Of which ledger.
        ledger: LedgerId,
        /// Which seqs.
        seqs: RangeSet,
        /// Replace what was remembered, rather than add to it: the vault has told all it holds.
        all: bool,
    },
    /// Parts are safe at the hub; a measure of lag only.
    TailAcked {
        /// Of which ledger.
        ledger: LedgerId,
        /// Of which segment.
        segment: SegmentNumber,
        /// Which parts.
        parts: RangeSet,
    },
    /// The two sides disagree about this ledger's past: tell a person. Nothing of it is sent.
    Quarantined {
        /// Which.
        ledger: LedgerId,
        /// What was found.
        detail: String,
    },
    /// The session can't go on.
    Refused(proto::Refuse),
}

/// A live part in line to be sent; its bytes are with the shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LivePart {
    /// Of which segment.
    pub segment: SegmentNumber,
    /// Which part.
    pub part: u32,
    /// When its first frame arrived, on the monotonic clock.
    pub since: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Greeting,
    Offering,
    Running,
}

/// The site's side of one connection. A new connection is a new session.
#[derive(Debug)]
pub struct SiteSession {
    pub(super) limits: SiteLimits,
    pub(super) policies: Policies,
    /// May bytes of scheduled streams go now?
    pub(super) window: bool,
    pub(super) phase: Phase,
    pub(super) vault: Option<(VaultId, u64)>,
    /// Ledgers in which something may be left to exchange.
    pub(super) ledgers: BTreeMap<LedgerId, Ledger>,
    /// All others.
    pub(super) settled: Offering,
    pub(super) jobs: Jobs,
    pub(super) out: VecDeque<Output>,
}

impl SiteSession {
    /// Begins a session with what the site has; says hello. What the hello says of policies holds here too.
    pub fn new(hello: proto::Hello, ledgers: Vec<LedgerFacts>, limits: SiteLimits) -> Self {
        // What can't be said can't be meant: a site writes its own hello.
        let policies = Policies::from_proto(&hello.policies).unwrap_or_default();
        let (others, settled) = Offering::new(ledgers, &policies);
        let mut session = Self {
            limits,
            policies,
            window: false,
            phase: Phase::Greeting,
            vault: None,
            ledgers: BTreeMap::new(),
            settled,
            jobs: Jobs::default(),
            out: VecDeque::new(),
        };
        session.take_in(others);
        session.control(proto::site_message::Kind::Hello(hello));
        session
    }

    /// Bytes of scheduled streams may go from now on, or not any more.
    pub fn set_window(&mut self, open: bool) {
        self.window = open;
    }

    /// Of what waits, this should go next, the first first: whoever foretells what retention destroys says so now and
    /// then. What is not among it goes after it.
    pub fn set_turns(&mut self, turns: impl IntoIterator<Item = (LedgerId, Seq)>) {
        self.jobs.set_turns(turns.into_iter().collect());
    }

    pub(super) fn take_in(&mut self, ledgers: impl IntoIterator<Item = LedgerFacts>) {
        for facts in ledgers {
            let policy = self.policies.of(&facts.ledger.stream);
            self.ledgers.insert(facts.ledger.clone(), Ledger::new(facts, policy));
        }
    }

    /// The next thing to do, if any.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.out.pop_front().or_else(|| self.next_backlog())
    }

    /// Is the hub's answer to the offer complete?
    pub fn is_running(&self) -> bool {
        self.phase == Phase::Running
    }

    /// How many committed entries the vault has not acked; of streams whose bytes stay here, those it asked for or was
    /// not told of.
    pub fn unacked(&self) -> u64 {
        self.ledgers.values().map(Ledger::unacked).sum()
    }

    /// Is something that was recorded here still to be sent, other than live?
    pub fn has_backlog(&self) -> bool {
        !self.jobs.is_idle() || self.ledgers.values().any(|ledger| ledger.wanted(self.window).is_some())
    }

    /// A ledger was opened by this run. Telling of one that is known changes nothing.
    pub fn ledger_opened(&mut self, facts: LedgerFacts) {
        if self.ledgers.contains_key(&facts.ledger) || self.settled.contains(&facts.ledger) {
            return;
        }
        if self.phase != Phase::Greeting {
            let state = state_of(&facts, facts.ledger.to_proto());
            self.control(proto::site_message::Kind::Opened(proto::Opened { ledger: Some(state) }));
        }
        self.take_in([facts]);
    }

    /// A part was recorded. Returns whether it is in line to be sent live. A line that is
    /// too long is given up with it.
    pub fn part_recorded(&mut self, ledger: &LedgerId, part: LivePart) -> bool {
        let behind = self.limits.live_behind;
        let Some(view) = self.ledgers.get_mut(ledger).filter(|view| !view.quarantined) else { return false };
        if view.policy.replicate != Replicate::Live {
            return false;
        }
        if view.whole.contains(part.segment.0) {
            return false; // a job was faster than whoever told of the part
        }
        let parts = view.parts.entry(part.segment).or_default();
        if parts.contains(u64::from(part.part)) {
            return false; // the hub has it from an earlier connection, or a job sends it
        }
        // Also while nobody asks for live parts, as before the hub has answered: the line has an end.
        if view.live.front().is_some_and(|front| part.since.saturating_duration_since(front.since) > behind) {
            view.give_up_live();
            return false;
        }
        parts.insert_one(u64::from(part.part));
        view.live.push_back(part);
        true
    }

    /// An entry was committed; `segment` tells its number and how many parts it has, if it is one. An entry
    /// that the session began with may be told again.
    pub fn committed(
        &mut self,
        ledger: &LedgerId,
        seq: Seq,
        head: Head,
        segment: Option<(SegmentNumber, u32)>,
    ) {
        let running = self.phase == Phase::Running;
        let Some(view) = self.ledgers.get_mut(ledger) else { return };
        if seq >= view.facts.next {
            view.facts.next = Seq(seq.0 + 1);
            view.facts.head = head;
        }
        match segment {
            None => view.sent.insert_one(seq.0),
            Some((number, count)) => {
                // What stays here would never leave the list.
                if !view.policy.replicate.withholds() {
                    view.seqs.insert(number, seq);
                }
                let complete =
                    view.parts.get(&number).is_some_and(|parts| parts.contains_all(0..u64::from(count)));
                if complete || view.whole.contains(number.0) {
                    view.sent.insert_one(seq.0);
                } else {
                    view.want_again(seq);
                }
            }
        }
        if running {
            self.tell_entries(ledger);
        }
    }

    /// Bytes were freed here: nothing of them is read any more. What is in line is in memory, and still goes.
    pub fn gone(&mut self, ledger: &LedgerId, seqs: &RangeSet) {
        let Some(view) = self.ledgers.get_mut(ledger) else { return self.settled.gone(ledger, seqs) };
        view.facts.gone = view.facts.gone.union(seqs);
        view.asked = view.asked.minus(seqs);
        let numbers: Vec<_> =
            view.seqs.iter().filter(|(_, seq)| seqs.contains(seq.0)).map(|(number, _)| *number).collect();
        for number in numbers {
            view.seqs.remove(&number);
            view.parts.remove(&number);
            view.resends.remove(&number);
        }
    }

    /// The next live part of a ledger, oldest first. A queue that is too far behind is emptied first.
    pub fn next_live(&mut self, ledger: &LedgerId, now: Instant) -> Option<LivePart> {
        if self.phase != Phase::Running {
            return None;
        }
        let behind = self.limits.live_behind;
        let view = self.ledgers.get_mut(ledger)?;
        let late = view.live.front().is_some_and(|part| now.saturating_duration_since(part.since) > behind);
        if late {
            view.give_up_live();
        }
        view.live.pop_front()
    }

    /// A part that [`Self::next_live`] gave was not sent after all: it is left to the backlog.
    pub fn live_unsent(&mut self, ledger: &LedgerId, part: &LivePart) {
        let Some(view) = self.ledgers.get_mut(ledger) else { return };
        view.live.push_front(*part);
        view.give_up_live();
    }

    /// Which parts of a committed segment the hub still needs; whoever asks is going to send them.
    pub fn missing(&mut self, ledger: &LedgerId, segment: &proto::Segment) -> RangeSet {
        let number = SegmentNumber(segment.number);
        let known = |ledger: &LedgerId, number: SegmentNumber| {
            self.ledgers.get(ledger).and_then(|view| view.parts.get(&number)).cloned().unwrap_or_default()
        };
        let mut have = known(ledger, number);
        let Some(view) = self.ledgers.get(ledger) else { return RangeSet::new() };
        if view.whole.contains(number.0) {
            return RangeSet::new();
        }
        // What the hub threw away it had by either name.
        if !view.resends.contains_key(&number)
            && let Some((before, number)) = recovered_from(segment)
        {
            have = have.union(&known(&before, number));
        }
        let missing = RangeSet::from(0..u64::from(part_count(segment))).minus(&have);
        if let Some(view) = self.ledgers.get_mut(ledger) {
            match view.parts.get_mut(&number) {
                Some(parts) => *parts = parts.union(&missing),
                None => view.whole.insert_one(number.0),
            }
        }
        missing
    }

    /// A backlog job was carried out, or there was nothing to send.
    pub fn backlog_sent(&mut self, ledger: &LedgerId, seq: Seq) {
        let Some(view) = self.ledgers.get_mut(ledger) else { return };
        self.jobs.done(view, seq.0);
        if view.again.contains(seq.0) {
            view.again.remove(seq.0..seq.0 + 1);
        } else {
            view.sent.insert_one(seq.0);
        }
    }

    pub(super) fn control(&mut self, kind: proto::site_message::Kind) {
        self.out.push_back(Output::Control(proto::SiteMessage { kind: Some(kind) }));
    }

    pub(super) fn offer(&mut self, offers: Vec<proto::Offer>) {
        offers.into_iter().for_each(|offer| self.control(proto::site_message::Kind::Offer(offer)));
    }

    /// Queues the entries the hub has not been told of.
    pub(super) fn tell_entries(&mut self, ledger: &LedgerId) {
        let step = self.limits.entries_per_message;
        let Some(view) = self.ledgers.get_mut(ledger).filter(|view| !view.quarantined) else { return };
        while view.told < view.facts.next.0 {
            let end = (view.told + step).min(view.facts.next.0);
            self.out.push_back(Output::Entries { ledger: ledger.clone(), seqs: view.told..end });
            view.told = end;
        }
    }

    fn next_backlog(&mut self) -> Option<Output> {
        if self.phase != Phase::Running {
            return None;
        }
        let (ledger, seq, asked) =
            self.jobs.next(&mut self.ledgers, (self.limits.backlog_jobs, self.window))?;
        Some(Output::Backlog { ledger, seq: Seq(seq), asked })
    }
}

/// What a recovered segment continues.
pub fn recovered_from(segment: &proto::Segment) -> Option<(LedgerId, SegmentNumber)> {
    segment.recovered_from.as_ref().and_then(segment_name)
}

/// A segment by its name in a message, if it can be one.
pub fn segment_name(name: &proto::SegmentName) -> Option<(LedgerId, SegmentNumber)> {
    let ledger = proto::Ledger { origin: name.origin.clone(), stream: name.stream.clone() };
    LedgerId::from_proto(Some(&ledger)).ok().map(|ledger| (ledger, SegmentNumber(name.number)))
}

/// Reads the ledgers of a Have.
pub fn told_ledgers(have: &proto::Have) -> Result<Vec<LedgerId>, NameError> {
    let mut names = Names::default();
    have.ledgers.iter().map(|held| names.read(held.ledger.as_ref())).collect()
}
