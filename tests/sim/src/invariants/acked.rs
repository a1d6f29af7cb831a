//! 3: An acked segment is never lost or altered while its vault class stands.
//!
//! A site frees bytes on an ack and on nothing else, so a vault that acks what a power cut can still take
//! destroys evidence. Checked when a vault's machine comes back and at the end: everything the vault ever
//! acked is an entry with the bytes that were committed, and a file that hashes to it.

use wire::{LedgerId, SegmentNumber, Seq};

use crate::invariants::Invariant;
use crate::stage::Stage;
use crate::vault::Vault;

/// Looks at all a vault has acked.
pub fn check(stage: &mut Stage, vault: &Vault) {
    let mut broken = Vec::new();
    for truth in stage.oracle.ledgers.iter().filter(|truth| truth.site == vault.site) {
        let acked = truth.acked.get(&vault.id).into_iter().flat_map(|acked| acked.values());
        broken.extend(acked.filter_map(|seq| lost(vault, &truth.ledger, Seq(seq))));
    }
    for what in broken.into_iter().take(1) {
        stage.violate(Invariant::Acked, what);
    }
}

fn lost(vault: &Vault, ledger: &LedgerId, seq: Seq) -> Option<String> {
    let Some(entry) = vault.store.entry(ledger, seq) else {
        return Some(format!("{ledger}: seq {seq} was acked and its entry is lost"));
    };
    let segment = entry.segment()?;
    let held = vault.store.rows.get(ledger).is_some_and(|row| row.held.contains(seq.0));
    let Some(file) = vault.file(ledger, SegmentNumber(segment.number)).filter(|_| held) else {
        return Some(format!("{ledger}: seq {seq} was acked and its bytes are lost"));
    };
    let mut hasher = blake3::Hasher::new();
    for part in file {
        hasher.update(part);
    }
    let right = hasher.finalize().as_bytes().as_slice() == segment.hash;
    (!right).then(|| format!("{ledger}: seq {seq} was acked and its bytes are altered"))
}
