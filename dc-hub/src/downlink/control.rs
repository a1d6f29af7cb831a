//! The control stream of one site: the task that owns its session.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context, bail};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use site_agent::archive::{ArchiveError, Event};
use site_agent::uplink::batch::unpack;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use wire::session::hub::{Completion, HubSession, Output, VaultView, offered_ledgers};
use wire::{LedgerId, RangeSet, SegmentNumber, Seq, frame, proto};

use super::peer::{Peer, StoredPart};
use super::turn::Turn;
use crate::beats;
use crate::salvage::salvage;
use crate::scrubs::{Question, Unanswered};
use crate::vault::VaultError;

/// Runs the session until the site says goodbye (`Ok`) or something fails.
pub(super) async fn run(
    peer: Arc<Peer>,
    send: quinn::SendStream,
    mut reader: frame::Reader<quinn::RecvStream>,
    mut stored: mpsc::Receiver<StoredPart>,
) -> anyhow::Result<()> {
    let (vault, generation) = peer.downlink.vault.archive().identity();
    let turn = peer.downlink.turns.take(&peer.by).await;
    // Followed before anything is told: what is found damaged from here on is told by itself.
    let mut events = peer.downlink.vault.archive().events();
    let mut asked = peer.downlink.asked.changes();
    // A host brings what it recorded, and has no archive of the site's.
    let mut questions = peer.by.host.is_none().then(|| peer.downlink.scrubs.listen(&peer.site));
    let mut control = Control {
        peer,
        turn,
        send,
        session: HubSession::new(vault, generation),
        completing: FuturesUnordered::new(),
        owed: Some(BTreeMap::new()),
        lost: Vec::new(),
        offered: false,
        unanswered: Unanswered::default(),
    };
    loop {
        control.carry_out().await?;
        tokio::select! {
            message = reader.next::<proto::SiteMessage>() => {
                let Some(message) = message.context("read control stream")? else { return Ok(()) };
                if control.message(message).await? {
                    return Ok(());
                }
            }
            part = stored.recv() => {
                let Some(part) = part else { bail!("its streams are gone") };
                control.stored(part, &mut stored);
            }
            event = events.recv() => match event {
                Ok(Event::Damaged { ledger, seq, segment }) => control.lost(&ledger, segment, seq),
                // As good as a restart: what is held is told anew.
                Ok(Event::Moved { .. }) => bail!("a disk of the vault went out, or is back; it is to connect anew"),
                Ok(_) => {}
                Err(RecvError::Lagged(missed)) => bail!("missed {missed} events of the vault; it is to connect anew"),
                Err(RecvError::Closed) => bail!("the vault is closed"),
            },
            // The hub's own end keeps the other end.
            Ok(()) = asked.changed() => control.ask().await?,
            Some(question) = next(&mut questions) => control.question(question).await?,
            Some(done) = control.completing.next() => {
                let Completed { ledger, number, seq, completion } = done.context("put segment together")?;
                control.session.completed(&ledger, number, seq, completion);
            }
        }
    }
}

/// The next question, where there are any.
async fn next(questions: &mut Option<mpsc::Receiver<Question>>) -> Option<Question> {
    questions.as_mut()?.recv().await
}

struct Control {
    peer: Arc<Peer>,
    turn: Turn,
    send: quinn::SendStream,
    session: HubSession,
    completing: FuturesUnordered<JoinHandle<Completed>>,
    /// Ledgers whose offered entries are not all here, with the seq they reach to; `None` once they were.
    owed: Option<BTreeMap<LedgerId, Seq>>,
    /// What is gone of offered ledgers where they were written.
    lost: Vec<(LedgerId, RangeSet)>,
    /// Is the offer complete?
    offered: bool,
    /// What the site was asked of its re-reading.
    unanswered: Unanswered,
}

/// How putting a segment together ended.
struct Completed {
    ledger: LedgerId,
    number: SegmentNumber,
    seq: Seq,
    completion: Completion,
}

impl Control {
    /// Takes a message in; `true` if it was the last.
    async fn message(&mut self, message: proto::SiteMessage) -> anyhow::Result<bool> {
        use proto::site_message::Kind;
        match message.kind {
            Some(Kind::Hello(_)) => bail!("it said hello twice"),
            Some(Kind::Offer(offer)) => self.offer(&offer).await?,
            Some(Kind::Opened(opened)) => self.opened(&opened).await?,
            Some(Kind::Entries(entries)) => self.entries(&entries).await?,
            Some(Kind::Beat(_) | Kind::Configuration(_)) => {
                bail!("it sent on the control stream what belongs among beats")
            }
            Some(Kind::Scrubbed(scrubbed)) => self.unanswered.answered(scrubbed),
            Some(Kind::Bye(_)) => return Ok(true),
            None => {} // of a later version; what matters is announced by the protocol number
        }
        Ok(false)
    }

    async fn offer(&mut self, offer: &proto::Offer) -> anyhow::Result<()> {
        let mut claimed = Vec::new();
        for (ledger, state) in offered_ledgers(offer).context("offer")?.into_iter().zip(&offer.ledgers) {
            if self.claim(&ledger, state).await? {
                if let Some(owed) = &mut self.owed {
                    owed.insert(ledger.clone(), Seq(state.next));
                    self.lost.push((ledger.clone(), RangeSet::from_proto(&state.gone)));
                }
                claimed.push(ledger);
            }
        }
        let peer = self.peer.clone();
        let (vault, site, by) = (&peer.downlink.vault, &peer.site, &peer.by);
        let offered = peer.ledgers.borrow().clone();
        let besides = self.besides(offer);
        self.session
            .offered((vault, &vault.brought_by(by)), claimed, besides, offer)
            .with_context(|| format!("offer of {site}"))?;
        if offer.settled.is_some() {
            vault.end_others(by, peer.origin, &offered).await.context("end ledgers")?;
        }
        let first = !self.offered && self.session.is_offer_complete();
        self.offered |= self.session.is_offer_complete();
        if first {
            self.ask().await?;
        }
        self.told_all().await
    }

    /// Asks the site for what people asked for, once it is known what it has.
    async fn ask(&mut self) -> anyhow::Result<()> {
        // A host brings all it has unasked.
        if !self.offered || self.peer.by.host.is_some() {
            return Ok(());
        }
        let peer = self.peer.clone();
        let wanted = tokio::task::spawn_blocking(move || peer.downlink.asked.wanted(&peer.site));
        for (ledger, seqs) in
            wanted.await.context("look up what was asked for")?.context("look up what was asked for")?
        {
            self.want(&ledger, &seqs);
        }
        Ok(())
    }

    async fn question(&mut self, question: Question) -> anyhow::Result<()> {
        let wish = self.unanswered.put(question);
        beats::say(&mut self.send, proto::hub_message::Kind::Scrub(wish)).await
    }

    fn want(&mut self, ledger: &LedgerId, seqs: &RangeSet) {
        self.may_send(ledger);
        self.session.want(&self.peer.downlink.vault, ledger, seqs);
    }

    /// The site may send parts of a ledger that is part of its digest.
    fn may_send(&self, ledger: &LedgerId) {
        self.peer.ledgers.send_if_modified(|ledgers| ledgers.insert(ledger.clone()));
    }

    /// Ledgers of which parts are here and which a site may leave to its digest: it is told of the parts.
    fn besides(&self, offer: &proto::Offer) -> Vec<LedgerId> {
        if offer.settled.is_none() {
            return Vec::new();
        }
        let unfinished = self.peer.downlink.vault.unfinished(&self.peer.by);
        self.peer.ledgers.send_modify(|ledgers| ledgers.extend(unfinished.iter().cloned()));
        unfinished.into_iter().collect()
    }

    /// Once the site has told every entry it offered, what no entry speaks of is nobody's: salvages it.
    async fn told_all(&mut self) -> anyhow::Result<()> {
        let vault = &self.peer.downlink.vault;
        let Some(owed) = self.owed.as_mut().filter(|_| self.offered) else { return Ok(()) };
        owed.retain(|ledger, next| vault.ledger(ledger).0 < *next);
        if !owed.is_empty() {
            return Ok(());
        }
        self.owed = None;
        if self.peer.by.host.is_some() {
            vault.give_up(std::mem::take(&mut self.lost)).await.context("give up what its host lost")?;
        }
        loop {
            match salvage(vault, &self.peer.by, self.peer.origin).await {
                Err(error) if error.is_out_of_space() => vault.room().await,
                Err(error) => return Err(error).context("salvage"),
                Ok(_) => break,
            }
        }
        // A file that can't be read is no reason to take nothing from the site: it is looked at again when that comes back.
        if self.peer.by.host.is_none()
            && let Err(error) = vault.take_unknown(&self.peer.site).await
        {
            tracing::error!(site = %self.peer.site, %error, "enter files that no entry speaks of");
        }
        Ok(())
    }

    async fn opened(&mut self, opened: &proto::Opened) -> anyhow::Result<()> {
        let Some(state) = &opened.ledger else { return Ok(()) };
        let ledger = LedgerId::from_proto(state.ledger.as_ref()).context("opened")?;
        if self.claim(&ledger, state).await? {
            self.session.opened(ledger);
        }
        Ok(())
    }

    /// Takes a ledger in as the site's; `false` if it is another's, which is refused and nothing more.
    async fn claim(&mut self, ledger: &LedgerId, state: &proto::LedgerState) -> anyhow::Result<bool> {
        let peer = self.peer.clone();
        if peer.ledgers.borrow().len() >= peer.downlink.limits.ledgers_per_site_max {
            bail!("it has more ledgers than limits.ledgers_per_site_max allows");
        }
        match peer.downlink.vault.claim(&peer.by, ledger, state).await {
            Ok(()) => {
                peer.ledgers.send_modify(|ledgers| {
                    ledgers.insert(ledger.clone());
                });
                Ok(true)
            }
            Err(VaultError::Archive(
                error @ (ArchiveError::NotYours { .. }
                | ArchiveError::NotTheirs(_)
                | ArchiveError::WrittenHere(_)),
            )) => {
                self.refuse_ledger(ledger, proto::RefuseCode::NotYours, &error.to_string()).await?;
                Ok(false)
            }
            Err(error) => Err(error).context("claim ledger"),
        }
    }

    async fn entries(&mut self, message: &proto::Entries) -> anyhow::Result<()> {
        let ledger = LedgerId::from_proto(message.ledger.as_ref()).context("entries")?;
        if !self.session.knows(&ledger) {
            bail!("it sent entries of ledger {ledger}, which it never offered");
        }
        let entries = unpack(message).with_context(|| format!("entries of {ledger}"))?;
        let first = Seq(message.first_seq);
        let vault = self.peer.downlink.vault.clone();
        match vault.take_entries(&self.peer.site, &ledger, first, entries.clone()).await {
            Ok(()) => {
                self.session.entries_stored(&vault, &ledger, first, &entries);
                let asked = self.peer.downlink.asked.among(&self.peer.site, &ledger, first, &entries);
                if self.offered && !asked.is_empty() && self.peer.by.host.is_none() {
                    let held = vault.held(&ledger);
                    self.want(&ledger, &asked.minus(&held));
                }
                self.told_all().await
            }
            Err(VaultError::Archive(error @ ArchiveError::Conflict { .. })) => {
                tracing::error!(site = %self.peer.site, %error, "same seq, other bytes: ledger quarantined");
                self.refuse_ledger(&ledger, proto::RefuseCode::Chain, &error.to_string()).await
            }
            Err(error) => Err(error).context("store entries"),
        }
    }

    /// The vault found bytes damaged. Those of other sites, and of what it wrote itself, are no business of this one's.
    fn lost(&mut self, ledger: &LedgerId, number: SegmentNumber, seq: Seq) {
        let vault = &self.peer.downlink.vault;
        if vault.archive().ledger(ledger).is_some_and(|record| self.peer.by.brings(&record)) {
            self.may_send(ledger);
            self.session.lost(vault, ledger, number, seq);
        }
    }

    /// Takes in what became durable, and everything else that waits: one TailAck for all.
    fn stored(&mut self, first: StoredPart, more: &mut mpsc::Receiver<StoredPart>) {
        let mut parts: BTreeMap<(LedgerId, SegmentNumber), RangeSet> = BTreeMap::new();
        let mut next = Some(first);
        while let Some(StoredPart { ledger, segment, part }) = next {
            parts.entry((ledger, segment)).or_default().insert_one(part.into());
            next = more.try_recv().ok();
        }
        let stored: Vec<_> =
            parts.into_iter().map(|((ledger, segment), parts)| (ledger, segment, parts)).collect();
        self.session.parts_stored(&self.peer.downlink.vault, &stored);
    }

    async fn carry_out(&mut self) -> anyhow::Result<()> {
        while let Some(output) = self.session.poll_output() {
            match output {
                Output::Control(message) => {
                    frame::write(&mut self.send, &message).await.context("write control stream")?;
                }
                Output::Complete { ledger, number, seq } => self.complete(ledger, number, seq),
            }
        }
        Ok(())
    }

    /// Puts a segment together. Begun, it is finished, also when the connection ends meanwhile.
    fn complete(&self, ledger: LedgerId, number: SegmentNumber, seq: Seq) {
        let (peer, turn) = (Arc::clone(&self.peer), self.turn.clone());
        self.completing.push(tokio::spawn(async move {
            let completion = peer.downlink.vault.complete(&ledger, number, seq).await;
            if completion == Completion::Held {
                peer.downlink.live.closed(&peer.site, &ledger, number);
            }
            drop(turn);
            Completed { ledger, number, seq, completion }
        }));
    }

    async fn refuse_ledger(
        &mut self,
        ledger: &LedgerId,
        code: proto::RefuseCode,
        detail: &str,
    ) -> anyhow::Result<()> {
        let refuse =
            proto::Refuse { code: code.into(), detail: detail.to_owned(), ledger: Some(ledger.to_proto()) };
        beats::say(&mut self.send, proto::hub_message::Kind::Refuse(refuse)).await
    }
}
