//! Damaged segments of this site: their bytes are fetched from the hub, one after the other, and what it has not got
//! either is given up.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::task::spawn_blocking;
use wire::proto::GapCause;

use super::fetch::{self, Answer, Pace};
use super::shared::Shared;
use crate::archive::room::Use;
use crate::archive::{Change, Event, Placed};
use crate::scrub::give_up;

/// What did not come is asked for again after this.
const AGAIN: Duration = Duration::from_secs(60);

/// Repairs what is damaged, and what will be, for as long as the connection lasts.
pub(super) async fn run(shared: Arc<Shared>) -> anyhow::Result<()> {
    shared.beating.wait().await;
    let mut events = shared.uplink.archive.events();
    loop {
        let mut after = None;
        while let Some(placed) = next(&shared, after).await? {
            if let Err(error) = mend(&shared, &placed).await {
                let (ledger, seq) = (&placed.ledger, placed.seq);
                tracing::warn!(%ledger, %seq, error = format!("{error:#}"), "repair a segment: tried again later");
            }
            after = Some((placed.ledger, placed.seq));
        }
        tokio::select! {
            found = until_damaged(&mut events) => found?,
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
    // The hub gives a site what is its own. What it recorded for another one the vault has, or nobody.
    if archive.ledger(ledger).is_some_and(|record| record.is_standby_here()) {
        let (archive, writer, placed) = (archive.clone(), shared.uplink.writer, placed.clone());
        let given_up = spawn_blocking(move || give_up(&archive, writer, &placed, GapCause::Corrupt));
        return given_up.await.context("give up")?.context("give up");
    }
    anyhow::ensure!(archive.room().admits(segment.bytes, Use::Media), "there is no room on the disk");
    match fetch::fetch(&shared.connection, archive.dir(), placed, &mut Pace::new(None)).await? {
        Answer::Here(file) => {
            let change = Change::Bytes { ledger: ledger.clone(), seq: *seq, file };
            archive.submit(change).await.context("take in")?;
            tracing::info!(%ledger, %seq, "repaired with the hub's bytes");
        }
        Answer::NotHeld => {
            let (archive, writer, placed) = (archive.clone(), shared.uplink.writer, placed.clone());
            let given_up = spawn_blocking(move || give_up(&archive, writer, &placed, GapCause::Corrupt));
            given_up.await.context("give up")?.context("give up")?;
        }
        Answer::NotNow(why) => anyhow::bail!("the hub does not give it: {why}"),
    }
    Ok(())
}

/// Waits until something is found damaged; what was missed may have been that.
async fn until_damaged(events: &mut broadcast::Receiver<Event>) -> anyhow::Result<()> {
    loop {
        match events.recv().await {
            Ok(Event::Damaged { .. }) | Err(RecvError::Lagged(_)) => return Ok(()),
            Ok(_) => {}
            Err(RecvError::Closed) => anyhow::bail!("the archive is closed"),
        }
    }
}
