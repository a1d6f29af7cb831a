//! Putting segments together, and what a vault's machine leaves when it dies.

use wire::session::hub::Completion;
use wire::{LedgerId, SegmentNumber, Seq};

use super::{Assembly, INCOMING, MEDIA, VaultChange, VaultIx};
use crate::conn::{ConnIx, End};
use crate::event::Event;
use crate::model::disk::Name;
use crate::reach::State;
use crate::world::World;

impl World {
    /// All parts are durable: checks them against the entry, and writes the file.
    pub fn assemble(&mut self, ix: VaultIx, conn: ConnIx, ledger: LedgerId, number: SegmentNumber, seq: Seq) {
        let vault = &mut self.vaults[ix.index()];
        let Some(row) = vault.store.rows.get(&ledger) else { return };
        let to = Name { folder: MEDIA, file: (row.known, number.0) };
        vault.assembled += 1;
        let from = Name { folder: INCOMING, file: (vault.assembled, 0) };
        let parts = vault.store.parts(&ledger, number).unwrap_or_default();
        let mut hasher = blake3::Hasher::new();
        for part in &parts {
            hasher.update(part);
        }
        let entry = vault.store.entry(&ledger, seq).and_then(|entry| entry.segment());
        if entry.is_none_or(|segment| segment.hash != hasher.finalize().as_bytes().as_slice()) {
            vault.store.forget(&ledger, number);
            return self.tell_completed(ix, conn, &ledger, number, seq, Completion::Mismatch);
        }
        let written = vault
            .disk
            .create(from)
            .and_then(|()| parts.into_iter().try_for_each(|part| vault.disk.append(from, part)));
        let Some(sync) = written.ok().and_then(|()| vault.disk.begin_sync(from)) else {
            return self.tell_completed(ix, conn, &ledger, number, seq, Completion::Failed);
        };
        let node = vault.node;
        let life = self.stage.node(node).life;
        let wait = self.stage.sync_time(node);
        *self.vaults[ix.index()].completing.entry(self.stage.conns[conn.0 as usize].place).or_default() += 1;
        let assembly = Box::new(Assembly { conn, ledger, number, seq, from, to, sync });
        self.stage.after(wait, Event::Assembled { vault: ix, life, assembly });
    }

    /// The file is synced: into place with it, and into the index.
    pub fn assembled(&mut self, ix: VaultIx, assembly: Assembly) {
        let Assembly { conn, ledger, number, seq, from, to, sync } = assembly;
        let disk = &mut self.vaults[ix.index()].disk;
        disk.finish_sync(sync);
        disk.rename(from, to);
        disk.sync_folder(MEDIA);
        self.index_change(ix, VaultChange::Held { conn, ledger, number, seq });
    }

    /// A segment is put together for good.
    pub fn completion_ends(&mut self, ix: VaultIx, conn: ConnIx) {
        let place = self.stage.conns[conn.0 as usize].place;
        let completing = &mut self.vaults[ix.index()].completing;
        let Some(count) = completing.get_mut(&place) else { return };
        *count -= 1;
        if *count == 0 {
            completing.remove(&place);
            self.answer_offers(ix, place);
        }
    }

    fn tell_completed(
        &mut self,
        ix: VaultIx,
        conn: ConnIx,
        ledger: &LedgerId,
        number: SegmentNumber,
        seq: Seq,
        completion: Completion,
    ) {
        if let Some(downlink) = self.vaults[ix.index()].downlink(conn) {
            downlink.session.completed(ledger, number, seq, completion);
        }
    }

    /// The vault's process is gone, with the power or without.
    pub fn end_vault(&mut self, ix: VaultIx, power: bool) {
        let vault = &mut self.vaults[ix.index()];
        let downlinks = std::mem::take(&mut vault.downlinks);
        vault.completing.clear();
        let chance = &mut self.stage.chance.disk;
        let (before, index, journal) = if power {
            let lost = vault.disk.power_cut(chance);
            self.stage.reach.note_if(lost.writes > 0, State::UnsyncedWriteLost);
            let before = vault.journal.len();
            (before, vault.index.power_cut(chance), vault.journal.power_cut(chance))
        } else {
            (0, vault.index.killed(), vault.journal.killed())
        };
        self.stage.reach.note_if(journal.len() < before, State::JournalLost);
        for (_, part) in journal {
            vault.store.take_part(&part.ledger, part.number, part.part, part.data);
        }
        for name in vault.disk.list(INCOMING).collect::<Vec<_>>() {
            vault.disk.remove(name);
        }
        for change in &index {
            self.apply_change(ix, change);
        }
        for downlink in downlinks.into_values() {
            self.stage.close(downlink.conn, End::Hub);
        }
    }
}
