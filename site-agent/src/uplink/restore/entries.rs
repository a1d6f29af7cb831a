//! Hears from the hub which ledgers it has that are not all here, and takes their entries in.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, bail};
use tokio::sync::Notify;
use wire::proto::{Fetch, Recall, RecallScope, Recalled, RecalledKind};
use wire::session::recall::{digest, known};
use wire::{LedgerId, RangeSet, Seq, UnixMicros, frame};

use super::Restoring;
use crate::archive::{ArchiveError, Change, LedgerRecord, Returned};
use crate::config::Restore;
use crate::uplink::batch::unpack;
use crate::uplink::shared::{Shared, priority};

/// Takes in what the hub tells, and rings `news`, until the stream breaks.
pub(super) async fn follow(
    shared: &Shared,
    news: &Notify,
    told_all: &AtomicBool,
) -> anyhow::Result<Infallible> {
    let (mut send, receive) = shared.connection.open_bi().await.context("open stream")?;
    send.set_priority(priority::FETCH).context("set priority")?;
    let mut reader = frame::Reader::new(receive, frame::CONTROL_BYTES_MAX);
    let (scope, ledgers) = mine(shared);
    let digest = digest(ledgers.iter().map(|(ledger, record)| (ledger, record.head())));
    let recall = Recall { scope: scope.into(), digest: Some(digest.to_proto()), ..Default::default() };
    let request = Fetch { recall: Some(recall), ..Default::default() };
    frame::write(&mut send, &request).await.context("ask")?;
    let first = reader.next::<Recalled>().await.context("read the answer")?.context("no answer")?;
    if first.differs {
        let list: Vec<(LedgerId, Seq)> =
            ledgers.into_iter().map(|(ledger, record)| (ledger, record.next())).collect();
        for message in known(&list) {
            frame::write(&mut send, &message).await.context("tell what is here")?;
        }
    }
    let status = &shared.uplink.status;
    let mut about = BTreeMap::new();
    let mut told = Restoring::default();
    loop {
        // Before the look at it: what changes in between is not missed.
        let changed = status.changed();
        let now = status.snapshot().restore;
        if now != told {
            let recall = Recall { restoring: Some(now.clone().into()), ..Default::default() };
            frame::write(&mut send, &recall).await.context("tell what is lacking")?;
            told = now;
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        }
        tokio::select! {
            () = changed => {}
            message = reader.next::<Recalled>() => {
                let Some(message) = message.context("read what there is")? else { bail!("the hub ended the stream") };
                let up_to_date = message.up_to_date;
                take(shared, &mut about, message).await?;
                told_all.fetch_or(up_to_date, Ordering::Relaxed);
                news.notify_one();
            }
        }
    }
}

/// What is here of what the hub is asked for.
fn mine(shared: &Shared) -> (RecallScope, Vec<(LedgerId, LedgerRecord)>) {
    // Without an index it is not known here what the files are; the hub knows of most.
    let all = shared.uplink.config.archive.restore == Restore::All || shared.uplink.archive.is_index_lost();
    let (scope, own) = if all { (RecallScope::All, true) } else { (RecallScope::Standby, false) };
    let ledgers = shared.uplink.archive.ledgers().into_iter();
    (scope, ledgers.filter(|(_, record)| record.returned || (own && record.ended)).collect())
}

async fn take(
    shared: &Shared,
    about: &mut BTreeMap<LedgerId, (Returned, RangeSet)>,
    message: Recalled,
) -> anyhow::Result<()> {
    let site = &shared.uplink.config.site.id;
    for told in &message.ledgers {
        let ledger = LedgerId::from_proto(told.ledger.as_ref()).context("a ledger's name")?;
        let what = Returned { site: site.clone(), opened: UnixMicros(told.opened_us), by: told.kind() };
        about.insert(ledger, (what, RangeSet::from_proto(&told.held)));
    }
    let Some(told) = message.entries else { return Ok(()) };
    let ledger = LedgerId::from_proto(told.ledger.as_ref()).context("entries")?;
    let entries = unpack(&told).with_context(|| format!("entries of {ledger}"))?;
    let first = Seq(told.first_seq);
    let (about, held) = match (about.get(&ledger), shared.uplink.archive.ledger(&ledger)) {
        (Some(told), _) => told.clone(),
        // It was told of in an earlier connection.
        (None, Some(record)) => (Returned::of(&record)?, RangeSet::new()),
        (None, None) => bail!("entries came of ledger {ledger}, and nobody said what it is"),
    };
    // What it wrote itself the hub has. What the site wrote it may know of and not have: that frees no bytes here.
    let all = RangeSet::from(first.0..first.0 + entries.len() as u64);
    let acked = if about.by == RecalledKind::Unspecified { all.minus(&all.minus(&held)) } else { all };
    match shared.uplink.archive.submit(Change::Returned { ledger, about, first, entries, acked }).await {
        Ok(_) => Ok(()),
        Err(error @ (ArchiveError::Conflict { .. } | ArchiveError::NotYours { .. })) => {
            tracing::error!(%error, "the hub has it otherwise: nothing of it comes back");
            Ok(())
        }
        // A run that goes on here; the hub takes it for one that has ended.
        Err(ArchiveError::WrittenHere(_)) => Ok(()),
        Err(error) => Err(error).context("take entries in"),
    }
}
