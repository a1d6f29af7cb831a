//! Damaged segments of this site: their bytes are fetched from the hub, one after the other, and what it has not got
//! either is given up.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::task::spawn_blocking;

use super::fetch::{self, Answer, Pace};
use super::restore::bytes::decide;
use super::restore::plan::Verdict;
use super::shared::Shared;
use crate::archive::{Change, Event, Placed};
use crate::failpoint;
use crate::scrub::give_up;

/// What did not come is asked for again after this.
const AGAIN: Duration = Duration::from_secs(60);
/// What a disk held that is not there, likewise: that may be all there is.
const AWAY_AGAIN: Duration = Duration::from_secs(3600);

/// Repairs what is damaged, and what will be, for as long as the connection lasts.
pub(super) async fn run(shared: Arc<Shared>) -> anyhow::Result<()> {
    shared.beating.wait().await;
    let mut events = shared.uplink.archive.events();
    let mut away_at: Option<Instant> = None;
    loop {
        let with_away = away_at.is_none_or(|at| at.elapsed() >= AWAY_AGAIN);
        if with_away {
            away_at = Some(wire::clock::now());
        }
        let mut after = None;
        while let Some(placed) = next(&shared, after).await? {
            if !with_away && shared.uplink.archive.is_away(&placed) {
                after = Some((placed.ledger, placed.seq));
                continue;
            }
            if let Err(error) = mend(&shared, &placed).await {
                let (ledger, seq) = (&placed.ledger, placed.seq);
                tracing::warn!(%ledger, %seq, error = format!("{error:#}"), "repair a segment: tried again later");
            }
            after = Some((placed.ledger, placed.seq));
        }
        tokio::select! {
            found = until_damaged(&mut events) => if found? {
                away_at = None;
            },
            () = tokio::time::sleep(AGAIN) => {}
        }
    }
}

async fn next(
    shared: &Arc<Shared>,
    after: Option<(wire::LedgerId, wire::Seq)>,
) -> anyhow::Result<Option<Placed>> {
    let archive = shared.uplink.archive.clone();
    let damaged = spawn_blocking(move || archive.damaged(after.as_ref(), 1));
    Ok(damaged.await.context("look for damage")?.context("look for damage")?.pop())
}

async fn mend(shared: &Arc<Shared>, placed: &Placed) -> anyhow::Result<()> {
    let archive = &shared.uplink.archive;
    let Placed { ledger, seq, segment } = placed;
    let (away, waits) = (archive.is_away(placed), archive.may_come_back(placed));
    // The hub gives a site what is its own. What it recorded for another one the vault has, or nobody.
    if archive.ledger(ledger).is_some_and(|record| record.is_standby_here()) {
        return if waits { Ok(()) } else { lost(shared, placed).await };
    }
    let mut pace = Pace::new(if away { shared.uplink.config.archive.restore_rate_max } else { None });
    if away {
        // As little as anything else may it displace what is recorded here, nor come what would go at once.
        match decide(shared, placed).await? {
            Verdict::Fetch => {}
            Verdict::Unwanted if !waits => return lost(shared, placed).await,
            Verdict::Unwanted | Verdict::Later(_) => return Ok(()),
        }
    }
    anyhow::ensure!(archive.disks().admit(segment.bytes), "there is no room on the disks");
    match fetch::fetch(&shared.connection, archive, placed, &mut pace).await? {
        Answer::Here(file) => {
            failpoint::pass("repair/fetched");
            let change = Change::Bytes { ledger: ledger.clone(), seq: *seq, file };
            archive.submit(change).await.context("take in")?;
            failpoint::pass("repair/taken-in");
            tracing::info!(%ledger, %seq, "repaired with the hub's bytes");
        }
        // The disk may come back.
        Answer::NotHeld if waits => {}
        Answer::NotHeld => lost(shared, placed).await?,
        Answer::NotNow(why) => anyhow::bail!("the hub does not give it: {why}"),
    }
    Ok(())
}

/// Nobody has it, or nobody wants it any more: it is given up.
async fn lost(shared: &Shared, placed: &Placed) -> anyhow::Result<()> {
    let (archive, writer, placed) = (shared.uplink.archive.clone(), shared.uplink.writer, placed.clone());
    let given_up = spawn_blocking(move || {
        let cause = archive.cause_of_loss(&placed);
        give_up(&archive, writer, &placed, cause)
    });
    given_up.await.context("give up")?.context("give up")
}

/// Waits until something is found damaged, or a disk went out, which it tells; what was missed may have been that.
async fn until_damaged(events: &mut broadcast::Receiver<Event>) -> anyhow::Result<bool> {
    loop {
        match events.recv().await {
            Ok(Event::Damaged { .. }) => return Ok(false),
            Ok(Event::Moved { back: false }) | Err(RecvError::Lagged(_)) => return Ok(true),
            // What was not sent from there was passed over: a new connection begins with all there is.
            Ok(Event::Moved { back: true }) => anyhow::bail!("a disk is back: what it holds is offered anew"),
            Ok(_) => {}
            Err(RecvError::Closed) => anyhow::bail!("the archive is closed"),
        }
    }
}
