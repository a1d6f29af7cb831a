//! 5: After heal and quiet, each seq is held, or gone with a cause, on each side, and both know it of the other.
//!
//! This is what replication is for, and a liveness rule: nothing can break it while faults go on, and nothing
//! may be left of them after a quiet while. A wanted range computed wrongly shows only here: nobody ever asks
//! for what both believe to be there.

use wire::session::hub::VaultView;
use wire::{Policies, RangeSet, SegmentNumber};

use crate::place::Place;
use crate::place::archive::Row;
use crate::vault::Vault;

/// Compares a place with its vault; tells how they differ.
pub fn equal(place: &Place, vault: &Vault, policies: &Policies) -> Result<(), String> {
    for (id, row) in &place.archive.rows {
        let next = row.entries.len();
        let known = vault.store.rows.get(id);
        let theirs = known.map_or(0, |row| row.entries.len());
        if theirs < next {
            return Err(format!("{id} has {next} entries, the vault has {theirs}"));
        }
        // A vault may know more of a ledger whose writer came back from an older copy.
        let withheld = policies.replicate(&id.stream).withholds();
        let stays = if withheld { segments(row) } else { RangeSet::new() };
        let all = RangeSet::from(0..next as u64).minus(&stays);
        let wanted = all.minus(&known.map(|row| row.held.clone()).unwrap_or_default());
        if !wanted.is_empty() {
            return Err(format!("{id}: the vault does not hold {wanted:?} of {next}"));
        }
        if theirs == next && vault.store.ledger(id).1 != row.heads[next] {
            return Err(format!("{id}: the heads differ after {next} entries"));
        }
        let held = known.map(|row| row.held.clone()).unwrap_or_default();
        if stays.minus(&held) != stays {
            return Err(format!("{id}: the vault holds some of {stays:?}, which was to stay"));
        }
        // Of an ended ledger of such a stream nothing is told any more, and nothing waits for it.
        if !withheld && !all.minus(&row.acked).is_empty() {
            return Err(format!("{id}: the site does not know that {:?} is held", all.minus(&row.acked)));
        }
        for number in row.numbers.keys().filter(|_| !withheld) {
            if !same_file(place, vault, id, row.known, *number) {
                return Err(format!("{id}: segment {number} differs"));
            }
        }
    }
    let unacked =
        place.run.as_ref().and_then(|run| run.uplink.as_ref()).map(|uplink| uplink.session.unacked());
    match unacked {
        None => Err("its uplink is not connected".to_owned()),
        Some(0) => Ok(()),
        Some(count) => Err(format!("its session counts {count} entries as unacked")),
    }
}

/// Entries that have bytes.
fn segments(row: &Row) -> RangeSet {
    row.numbers.values().map(|seq| seq.0..seq.0 + 1).collect()
}

fn same_file(place: &Place, vault: &Vault, id: &wire::LedgerId, known: u32, number: SegmentNumber) -> bool {
    let ours = place.archive.parts(known, number);
    ours.is_some() && ours == vault.file(id, number)
}
