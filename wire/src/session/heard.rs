//! What a site's session makes of the hub's messages.

use super::site::{Output, Phase, SiteSession, told_ledgers};
use crate::chain::Head;
use crate::id::{LedgerId, NameError, SegmentNumber, Seq, VaultId};
use crate::proto;
use crate::range::RangeSet;

/// Ranges that are read of one Want.
pub(super) const WANT_RANGES_MAX: usize = 1000;

/// How often a segment is sent again in one connection. A hub's damaged copy is mended by the first time; a
/// damaged file of our own never is, and must not fill the uplink for ever.
const RESENDS_MAX: u32 = 3;

impl SiteSession {
    /// A message came from the hub. `head_at(ledger, next)` tells our head before entry `next`, if we
    /// know it.
    pub fn handle_message(
        &mut self,
        message: proto::HubMessage,
        head_at: &dyn Fn(&LedgerId, Seq) -> Option<Head>,
    ) -> Result<(), NameError> {
        use proto::hub_message::Kind;
        match message.kind {
            Some(Kind::Welcome(welcome)) => self.handle_welcome(&welcome)?,
            Some(Kind::Have(have)) => self.handle_have(&have, head_at)?,
            Some(Kind::TailAck(ack)) => self.handle_tail_ack(&ack)?,
            Some(Kind::Ack(ack)) => self.handle_ack(&ack)?,
            Some(Kind::Resend(resend)) => self.handle_resend(&resend)?,
            Some(Kind::Lost(lost)) => self.handle_lost(&lost)?,
            Some(Kind::Want(want)) => self.handle_want(&want)?,
            Some(Kind::Refuse(refuse)) => self.handle_refuse(refuse)?,
            Some(Kind::BeatAck(_) | Kind::Standing(_) | Kind::Scrub(_)) => {} // not of the session's
            None => {} // a message of a later version: what it asks for it must also offer without
        }
        Ok(())
    }

    fn handle_welcome(&mut self, welcome: &proto::Welcome) -> Result<(), NameError> {
        self.vault = Some((VaultId::from_bytes(&welcome.vault)?, welcome.generation));
        self.phase = Phase::Offering;
        let offers = self.settled.first(self.ledgers.values().map(|ledger| &ledger.facts));
        self.offer(offers);
        Ok(())
    }

    fn handle_have(
        &mut self,
        have: &proto::Have,
        head_at: &dyn Fn(&LedgerId, Seq) -> Option<Head>,
    ) -> Result<(), NameError> {
        for (ledger, held) in told_ledgers(have)?.into_iter().zip(&have.ledgers) {
            self.handle_held(ledger, held, head_at);
        }
        have.splits.iter().for_each(|split| self.settled.differs(split));
        if have.last && self.phase == Phase::Offering {
            self.phase = Phase::Running;
            let ledgers: Vec<_> = self.ledgers.keys().cloned().collect();
            ledgers.iter().for_each(|ledger| self.tell_entries(ledger));
        }
        if have.last
            && let Some((found, offers)) = self.settled.next()
        {
            self.take_in(found);
            self.offer(offers);
        }
        Ok(())
    }

    fn handle_held(
        &mut self,
        ledger: LedgerId,
        held: &proto::LedgerHeld,
        head_at: &dyn Fn(&LedgerId, Seq) -> Option<Head>,
    ) {
        // The hub tells of some that were not offered: of their parts.
        let settled = self.settled.take(&ledger);
        self.take_in(settled);
        let Some(view) = self.ledgers.get_mut(&ledger) else { return };
        // A hub that knows more than we do outlived a restore here: nothing of ours is missing there.
        if held.next <= view.facts.next.0 {
            let ours = head_at(&ledger, Seq(held.next));
            if ours.is_none() || ours != Head::from_bytes(&held.head) {
                view.quarantined = true;
                view.live.clear();
                let detail = format!("the hub's chain differs from ours at or before seq {}", held.next);
                self.out.push_back(Output::Quarantined { ledger, detail });
                return;
            }
        }
        view.told = held.next.min(view.facts.next.0);
        // What the hub held and has freed is no more wanted than what it holds, and was acked as well.
        view.acked = RangeSet::from_proto(&held.held).union(&RangeSet::from_proto(&held.gone));
        view.asked = view.asked.minus(&view.acked);
        for tail in &held.tails {
            let parts = view.parts.entry(SegmentNumber(tail.segment)).or_default();
            *parts = parts.union(&RangeSet::from_proto(&tail.parts));
        }
        // Parts that were recorded while we waited for this and that the hub already has.
        let known: Vec<(u64, RangeSet)> =
            held.tails.iter().map(|tail| (tail.segment, RangeSet::from_proto(&tail.parts))).collect();
        view.live.retain(|part| {
            !known
                .iter()
                .any(|(segment, parts)| *segment == part.segment.0 && parts.contains(part.part.into()))
        });
        let seqs = view.acked.clone();
        self.out.push_back(Output::Acked { ledger: ledger.clone(), seqs, all: true });
        if self.phase == Phase::Running {
            self.tell_entries(&ledger);
        }
    }

    fn handle_tail_ack(&mut self, ack: &proto::TailAck) -> Result<(), NameError> {
        for acked in &ack.acked {
            let ledger = LedgerId::from_proto(acked.ledger.as_ref())?;
            let parts = RangeSet::from_proto(&acked.parts);
            self.out.push_back(Output::TailAcked { ledger, segment: SegmentNumber(acked.segment), parts });
        }
        Ok(())
    }

    fn handle_ack(&mut self, ack: &proto::Ack) -> Result<(), NameError> {
        let named = (VaultId::from_bytes(&ack.vault)?, ack.generation);
        if self.vault != Some(named) {
            return Ok(()); // an ack of another place frees nothing
        }
        let ledger = LedgerId::from_proto(ack.ledger.as_ref())?;
        let Some(view) = self.ledgers.get_mut(&ledger) else { return Ok(()) };
        let seqs = RangeSet::from_proto(&ack.seqs);
        view.acked = view.acked.union(&seqs);
        view.asked = view.asked.minus(&seqs);
        for range in seqs.iter() {
            view.sent.remove(range);
        }
        let done: Vec<_> = view
            .seqs
            .iter()
            .filter(|(_, seq)| view.acked.contains(seq.0))
            .map(|(number, _)| *number)
            .collect();
        for number in done {
            view.seqs.remove(&number);
            view.parts.remove(&number);
            view.resends.remove(&number);
        }
        self.out.push_back(Output::Acked { ledger, seqs, all: false });
        Ok(())
    }

    fn handle_resend(&mut self, resend: &proto::Resend) -> Result<(), NameError> {
        let ledger = LedgerId::from_proto(resend.ledger.as_ref())?;
        if let Some(view) = self.ledgers.get_mut(&ledger) {
            let number = SegmentNumber(resend.segment);
            let times = view.resends.entry(number).or_default();
            *times += 1;
            if *times > RESENDS_MAX {
                return Ok(()); // our own file must be damaged: it stays unacked, and the next session tries again
            }
            view.parts.remove(&number);
            view.whole.remove(number.0..number.0 + 1);
            view.live.retain(|part| part.segment != number);
            match view.seqs.get(&number).copied() {
                Some(seq) => view.want_again(seq),
                // It was committed before this session began: look at all entries again. Jobs for those that
                // need nothing send nothing.
                None => {
                    view.sent = RangeSet::new();
                    view.again = view.under_way.clone();
                }
            }
        }
        Ok(())
    }

    /// What was acked is not held any more: it counts as never sent, by any name.
    fn handle_lost(&mut self, lost: &proto::Lost) -> Result<(), NameError> {
        let ledger = LedgerId::from_proto(lost.ledger.as_ref())?;
        let (seq, number) = (Seq(lost.seq), SegmentNumber(lost.segment));
        let Some(view) = self.ledgers.get_mut(&ledger).filter(|view| seq < view.facts.next) else {
            return Ok(());
        };
        view.acked.remove(seq.0..seq.0 + 1);
        view.parts.remove(&number);
        view.whole.remove(number.0..number.0 + 1);
        view.live.retain(|part| part.segment != number);
        view.resends.entry(number).or_default();
        if !view.facts.gone.contains(seq.0) {
            view.seqs.insert(number, seq);
            view.want_again(seq);
            // Somebody had it brought there once.
            view.ask(&RangeSet::from(seq.0..seq.0 + 1));
        }
        let seqs = view.acked.clone();
        self.out.push_back(Output::Acked { ledger, seqs, all: true });
        Ok(())
    }

    /// The hub wants bytes now. Of a ledger that it never told of, or whose bytes never go, nothing comes of it.
    fn handle_want(&mut self, want: &proto::Want) -> Result<(), NameError> {
        let ledger = LedgerId::from_proto(want.ledger.as_ref())?;
        if let Some(view) = self.ledgers.get_mut(&ledger) {
            let ranges = &want.seqs[..want.seqs.len().min(WANT_RANGES_MAX)];
            view.ask(&RangeSet::from_proto(ranges));
        }
        Ok(())
    }

    fn handle_refuse(&mut self, refuse: proto::Refuse) -> Result<(), NameError> {
        if refuse.ledger.is_none() {
            self.out.push_back(Output::Refused(refuse));
            return Ok(());
        }
        let ledger = LedgerId::from_proto(refuse.ledger.as_ref())?;
        if let Some(view) = self.ledgers.get_mut(&ledger) {
            view.quarantined = true;
            view.live.clear();
        }
        self.out.push_back(Output::Quarantined { ledger, detail: refuse.detail });
        Ok(())
    }
}
