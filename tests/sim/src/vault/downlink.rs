//! The shell around the hub's session: messages in, what they bring made durable, answers out.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use prost::Message;
use wire::entry::Entry;
use wire::proto::{hub_message, site_message};
use wire::session::hub::{Completion, HubSession, Output, offered_ledgers};
use wire::{LedgerId, RangeSet, SegmentNumber, Seq, proto};

use super::store::OfPlace;
use super::{Downlink, Vault, VaultChange, VaultIx};
use crate::conn::{ConnIx, End};
use crate::event::{Event, PartMessage, Up};
use crate::invariants::Invariant;
use crate::mutant::Mutant;
use crate::place::PlaceIx;
use crate::reach::State;
use crate::world::World;

impl Vault {
    /// The connection, if the vault still believes in it.
    pub fn downlink(&mut self, conn: ConnIx) -> Option<&mut Downlink> {
        self.downlinks.values_mut().find(|downlink| downlink.conn == conn)
    }
}

impl World {
    /// A new connection; one of the same place that the vault still believes in is replaced.
    pub fn accept(&mut self, ix: VaultIx, place: PlaceIx, conn: ConnIx) {
        let vault = &mut self.vaults[ix.index()];
        let session = HubSession::new(vault.id, vault.generation);
        let new = Downlink { conn, session, early: VecDeque::new(), offers: Vec::new() };
        if let Some(replaced) = vault.downlinks.insert(place, new) {
            self.stage.reach.note(State::Replaced);
            self.stage.close(replaced.conn, End::Hub);
        }
    }

    /// Something of a site arrives.
    pub fn hub_hears(&mut self, conn: ConnIx, message: Up) {
        let ix = self.stage.conns[conn.0 as usize].vault;
        let vault = &mut self.vaults[ix.index()];
        let site = vault.site;
        let Some(downlink) = vault.downlinks.values_mut().find(|downlink| downlink.conn == conn) else {
            return;
        };
        match message {
            Up::Part(part) => {
                if downlink.session.knows(&part.ledger) {
                    self.journal_part(ix, conn, part);
                } else {
                    self.stage.reach.note(State::EarlyPart);
                    downlink.early.push_back(part);
                }
                self.room(conn);
            }
            Up::Control(message) => match message.kind {
                Some(site_message::Kind::Hello(_)) => {
                    let welcome = proto::Welcome {
                        vault: Bytes::copy_from_slice(&vault.id.0),
                        generation: vault.generation,
                        ..Default::default()
                    };
                    let message = proto::HubMessage { kind: Some(hub_message::Kind::Welcome(welcome)) };
                    self.stage.send_down(conn, message);
                }
                Some(site_message::Kind::Offer(offer)) => {
                    downlink.offers.push(offer);
                    self.answer_offers(ix, self.stage.conns[conn.0 as usize].place);
                }
                Some(site_message::Kind::Opened(opened)) => {
                    let state = opened.ledger.and_then(|state| state.ledger);
                    let Ok(ledger) = LedgerId::from_proto(state.as_ref()) else { return };
                    let place = self.stage.conns[conn.0 as usize].place;
                    vault.store.claim(&ledger, self.stage.oracle.ledger(&ledger, site), place);
                    downlink.session.opened(ledger);
                    self.take_early(ix, conn);
                }
                Some(site_message::Kind::Entries(entries)) => self.entries_come(ix, conn, &entries),
                _ => {}
            },
        }
        self.pump_hub(ix, conn);
    }

    /// Answers what a place offers, once nothing is under way that an earlier connection of it brought: what
    /// is told to be here may not be used up behind the answer.
    pub fn answer_offers(&mut self, ix: VaultIx, place: PlaceIx) {
        let vault = &mut self.vaults[ix.index()];
        let Some(downlink) = vault.downlinks.get_mut(&place) else { return };
        if vault.completing.contains_key(&place) {
            self.stage.reach.note_if(!downlink.offers.is_empty(), State::OfferWaits);
            return;
        }
        let (conn, policies) = (downlink.conn, self.stage.params.policies());
        for offer in std::mem::take(&mut downlink.offers) {
            let Ok(ledgers) = offered_ledgers(&offer) else { continue };
            for ledger in &ledgers {
                vault.store.claim(ledger, self.stage.oracle.ledger(ledger, vault.site), place);
            }
            let (store, besides) = (&vault.store, vault.store.unfinished(place));
            let of_place = OfPlace { store, place, policies: &policies };
            if let Err(error) = downlink.session.offered((store, &of_place), ledgers, besides, &offer) {
                self.stage.violate(Invariant::Own, error.to_string());
            }
        }
        self.take_early(ix, conn);
        self.pump_hub(ix, conn);
    }

    /// Parts whose ledger has become known.
    fn take_early(&mut self, ix: VaultIx, conn: ConnIx) {
        let Some(downlink) = self.vaults[ix.index()].downlink(conn) else { return };
        let (known, early) = downlink.early.drain(..).partition(|part| downlink.session.knows(&part.ledger));
        let known: VecDeque<PartMessage> = known;
        downlink.early = early;
        known.into_iter().for_each(|part| self.journal_part(ix, conn, part));
    }

    fn journal_part(&mut self, ix: VaultIx, conn: ConnIx, part: PartMessage) {
        let vault = &mut self.vaults[ix.index()];
        if vault.journal.write((conn, part)) {
            self.begin_journal_sync(ix);
        }
    }

    fn begin_journal_sync(&mut self, ix: VaultIx) {
        let node = self.vaults[ix.index()].node;
        let event = Event::Journal { vault: ix, life: self.stage.node(node).life };
        let wait = self.stage.sync_time(node);
        self.stage.after(wait, event);
    }

    /// What was journalled is durable: the sites are told.
    pub fn journal_synced(&mut self, ix: VaultIx) {
        let vault = &mut self.vaults[ix.index()];
        let (parts, more) = vault.journal.synced();
        let mut stored: BTreeMap<ConnIx, BTreeMap<(LedgerId, SegmentNumber), RangeSet>> = BTreeMap::new();
        for (conn, part) in parts {
            vault.store.take_part(&part.ledger, part.number, part.part, part.data);
            let of_conn = stored.entry(conn).or_default();
            of_conn.entry((part.ledger, part.number)).or_default().insert_one(part.part.into());
        }
        for (conn, stored) in stored {
            let vault = &mut self.vaults[ix.index()];
            let stored: Vec<_> =
                stored.into_iter().map(|((ledger, number), parts)| (ledger, number, parts)).collect();
            if let Some(downlink) = vault.downlinks.values_mut().find(|downlink| downlink.conn == conn) {
                downlink.session.parts_stored(&vault.store, &stored);
            }
            self.pump_hub(ix, conn);
        }
        if more {
            self.begin_journal_sync(ix);
        }
    }

    fn entries_come(&mut self, ix: VaultIx, conn: ConnIx, message: &proto::Entries) {
        let Ok(ledger) = LedgerId::from_proto(message.ledger.as_ref()) else { return };
        let Ok(batch) = proto::EntryBatch::decode(message.batch.clone()) else { return };
        let entries: Result<Vec<_>, _> = batch.entries.into_iter().map(Entry::read).collect();
        let first = Seq(message.first_seq);
        match entries {
            Ok(entries) => self.index_change(ix, VaultChange::Entries { conn, ledger, first, entries }),
            Err(error) => {
                self.stage.violate(Invariant::Acked, format!("an entry came damaged: {error}"));
            }
        }
    }

    /// Writes a change of the index.
    pub fn index_change(&mut self, ix: VaultIx, change: VaultChange) {
        if self.stage.mutant == Some(Mutant::AckBeforeSync) && matches!(change, VaultChange::Held { .. }) {
            self.tell_change(ix, &change);
        }
        if self.vaults[ix.index()].index.write(change) {
            self.begin_index_sync(ix);
        }
    }

    fn begin_index_sync(&mut self, ix: VaultIx) {
        let node = self.vaults[ix.index()].node;
        let event = Event::Index { vault: ix, life: self.stage.node(node).life };
        let wait = self.stage.sync_time(node);
        self.stage.after(wait, event);
    }

    /// Changes of the index are durable.
    pub fn index_synced(&mut self, ix: VaultIx) {
        let (changes, more) = self.vaults[ix.index()].index.synced();
        for change in &changes {
            self.apply_change(ix, change);
            self.tell_change(ix, change);
            if let VaultChange::Held { conn, .. } = change {
                self.completion_ends(ix, *conn);
            }
        }
        if more {
            self.begin_index_sync(ix);
        }
    }

    /// The session that brought a change learns that it counts.
    fn tell_change(&mut self, ix: VaultIx, change: &VaultChange) {
        let vault = &mut self.vaults[ix.index()];
        let conn = change.conn();
        let Some(downlink) = vault.downlinks.values_mut().find(|downlink| downlink.conn == conn) else {
            return;
        };
        match change {
            VaultChange::Entries { ledger, first, entries, .. } => {
                downlink.session.entries_stored(&vault.store, ledger, *first, entries);
            }
            VaultChange::Held { ledger, number, seq, .. } => {
                downlink.session.completed(ledger, *number, *seq, Completion::Held);
            }
        }
        self.pump_hub(ix, conn);
    }

    /// A change is durable in the index.
    pub fn apply_change(&mut self, ix: VaultIx, change: &VaultChange) {
        match change {
            VaultChange::Entries { ledger, first, entries, .. } => self.enter(ix, ledger, *first, entries),
            VaultChange::Held { ledger, number, seq, .. } => {
                let store = &mut self.vaults[ix.index()].store;
                if let Some(row) = store.rows.get_mut(ledger) {
                    row.held.insert_one(seq.0);
                }
                store.forget(ledger, *number);
            }
        }
    }

    fn enter(&mut self, ix: VaultIx, ledger: &LedgerId, first: Seq, entries: &[Entry]) {
        let vault = &mut self.vaults[ix.index()];
        let site = vault.site;
        let new = match vault.store.take_entries(ledger, first, entries) {
            Ok(new) => new,
            Err(conflict) => {
                let what = format!("{ledger}: seq {} came with other bytes, or after a hole", conflict.0);
                return self.stage.violate(Invariant::Acked, what);
            }
        };
        for seq in new {
            let index = usize::try_from(seq.0 - first.0).unwrap_or(usize::MAX);
            if let Err(what) = self.stage.oracle.arrived(ledger, site, seq, entries[index].bytes()) {
                self.stage.violate(Invariant::Acked, what);
            }
        }
    }

    /// Carries out what the session wants.
    pub fn pump_hub(&mut self, ix: VaultIx, conn: ConnIx) {
        loop {
            let vault = &mut self.vaults[ix.index()];
            let Some(downlink) = vault.downlinks.values_mut().find(|downlink| downlink.conn == conn) else {
                return;
            };
            let Some(output) = downlink.session.poll_output() else { return };
            match output {
                Output::Control(message) => {
                    match &message.kind {
                        Some(hub_message::Kind::Ack(ack)) => self.stage.oracle.acked(vault.id, ack),
                        Some(hub_message::Kind::Resend(_)) => self.stage.reach.note(State::Resend),
                        _ => {}
                    }
                    self.stage.send_down(conn, message);
                }
                Output::Complete { ledger, number, seq } => self.assemble(ix, conn, ledger, number, seq),
            }
        }
    }

    /// The vault gives a connection up.
    pub fn downlink_lost(&mut self, conn: ConnIx) {
        let ix = self.stage.conns[conn.0 as usize].vault;
        self.stage.close(conn, End::Hub);
        self.vaults[ix.index()].downlinks.retain(|_, downlink| downlink.conn != conn);
    }
}
