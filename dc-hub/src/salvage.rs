//! Tails that nobody will close: a recorder that was lost with its disk, or stolen.
//!
//! An origin has one writer, and a site's agent has one origin. Once a site has told all its entries under
//! another origin, a tail of an earlier one that no entry speaks of will stay a tail for ever. The vault
//! then enters it into a ledger of its own, as what it continues, and the journal is free of it. The same becomes of
//! a tail whose segment the site had to free before the rest of it came.

use std::io::Write;

use media::read::rebuild;
use site_agent::archive::{ArchiveError, Change};
use site_agent::failpoint;
use wire::proto::entry::Kind;
use wire::session::site::recovered_from;
use wire::{LedgerId, OriginId, SegmentNumber, SiteId, proto};

use crate::journal::Tail;
use crate::vault::{Vault, VaultError};

/// Salvages what earlier origins of a site left. To be called once the site, running as `current`, has told
/// all its entries. Returns how many segments were entered.
pub async fn salvage(vault: &Vault, site: &SiteId, current: OriginId) -> Result<usize, VaultError> {
    let orphans: Vec<_> = vault
        .journal()
        .all()
        .into_iter()
        .filter(|tail| tail.site == *site)
        .filter(|tail| is_gone(vault, tail) || (tail.ledger.origin != current && !is_known(vault, tail)))
        .collect();
    let mut entered = 0;
    for tail in orphans {
        failpoint::pass("salvage/chosen");
        entered += usize::from(enter(vault, &tail).await?);
    }
    Ok(entered)
}

/// Has the site freed the segment, so that the rest of it will not come?
fn is_gone(vault: &Vault, tail: &Tail) -> bool {
    let archive = vault.archive();
    let seq = archive.seq_of(&tail.ledger, tail.segment).ok().flatten();
    seq.is_some_and(|seq| archive.ledger(&tail.ledger).is_some_and(|record| record.gone().contains(seq.0)))
}

/// Does an entry speak of this segment, by its own name or as what a later run recovered?
fn is_known(vault: &Vault, tail: &Tail) -> bool {
    let archive = vault.archive();
    if !matches!(archive.seq_of(&tail.ledger, tail.segment), Ok(None)) {
        return true;
    }
    let name = (tail.ledger.clone(), tail.segment);
    let later = archive.ledgers().into_iter().filter(|(ledger, record)| {
        ledger.stream == tail.ledger.stream && record.site == tail.site.as_str() && *ledger != tail.ledger
    });
    later.into_iter().any(|(ledger, record)| recovered(vault, &ledger, record.next).contains(&name))
}

/// What a run recovered: it enters that before anything else.
fn recovered(vault: &Vault, ledger: &LedgerId, next: u64) -> Vec<(LedgerId, SegmentNumber)> {
    (0..next)
        .map_while(|seq| vault.archive().entry(ledger, wire::Seq(seq)).ok().flatten())
        .map_while(|entry| entry.segment().and_then(recovered_from))
        .collect()
}

async fn enter(vault: &Vault, tail: &Tail) -> Result<bool, VaultError> {
    let ledger = LedgerId { origin: vault.origin(), stream: tail.ledger.stream.clone() };
    let open =
        Change::OpenSalvage { ledger: ledger.clone(), site: tail.site.clone(), opened: wire::clock::wall() };
    vault.archive().submit(open).await?;
    // The vault is this ledger's only writer, and numbers segments as their entries.
    let number = SegmentNumber(vault.archive().ledger(&ledger).map_or(0, |record| record.next));
    let (shared, wanted) = (vault.clone(), tail.clone());
    let put_together = tokio::task::spawn_blocking(move || put_together(&shared, &wanted, number));
    let Some((segment, file)) = put_together.await.map_err(|_| ArchiveError::Closed)?? else {
        tracing::warn!(ledger = %tail.ledger, segment = %tail.segment, "a tail without one whole fragment is dropped");
        vault.journal().forget(&tail.ledger, tail.segment);
        return Ok(false);
    };
    failpoint::pass("salvage/put-together");
    let continues = proto::SegmentName {
        origin: bytes::Bytes::copy_from_slice(&tail.ledger.origin.0),
        stream: tail.ledger.stream.as_str().to_owned(),
        number: tail.segment.0,
    };
    let salvage = proto::Salvage { continues: Some(continues), segment: Some(segment) };
    let change =
        Change::Append { ledger, at: wire::clock::wall(), kind: Kind::Salvage(salvage), file: Some(file) };
    vault.archive().submit(change).await?;
    failpoint::pass("salvage/entered");
    vault.journal().forget(&tail.ledger, tail.segment);
    failpoint::pass("salvage/forgotten");
    tracing::info!(ledger = %tail.ledger, segment = %tail.segment, "salvaged a tail that nobody will close");
    Ok(true)
}

/// The file of what is there without a hole; `None` if that has no whole fragment.
fn put_together(
    vault: &Vault,
    tail: &Tail,
    number: SegmentNumber,
) -> Result<Option<(proto::Segment, std::path::PathBuf)>, VaultError> {
    let mut bytes = Vec::new();
    for part in tail.parts.iter().next().filter(|range| range.start == 0).unwrap_or(0..0) {
        let part = u32::try_from(part).unwrap_or(u32::MAX);
        let data = vault.journal().read(&tail.ledger, tail.segment, part)?;
        bytes.extend_from_slice(&data.unwrap_or_default());
    }
    let Ok(rebuilt) = rebuild(number, &bytes) else { return Ok(None) };
    bytes.truncate(rebuilt.valid_bytes);
    let path = vault.archive().incoming(&tail.ledger, tail.segment, bytes.len() as u64)?;
    let written = std::fs::File::create(&path).and_then(|mut file| file.write_all(&bytes));
    let io = |source| ArchiveError::Io { what: "write salvaged segment", path: path.clone(), source };
    written.map_err(io)?;
    Ok(Some((rebuilt.segment, path)))
}

#[cfg(test)]
mod tests;
