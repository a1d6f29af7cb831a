//! Live parts: followed as they are recorded, sent on one stream per ledger.

use std::sync::Arc;

use anyhow::Context;
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use wire::session::site;
use wire::{LedgerId, frame};

use super::shared::{Shared, Side, part_message, priority};
use crate::archive::Event;
use crate::config::Class;
use crate::live::LivePart;

/// Tells the session what is recorded and committed.
pub(super) async fn follow<U: Side>(
    shared: Arc<Shared<U>>,
    mut events: broadcast::Receiver<Event>,
    open: Vec<Arc<LivePart>>,
    mut parts: broadcast::Receiver<Arc<LivePart>>,
    new_queues: mpsc::Sender<LedgerId>,
) -> anyhow::Result<()> {
    for part in open {
        recorded(&shared, part, &new_queues).await?;
    }
    loop {
        tokio::select! {
            // Parts first: a segment's parts are all told before its entry, so that the session sees at
            // once whether anything of it is left for the backlog.
            biased;
            part = parts.recv() => match part {
                Ok(part) => recorded(&shared, part, &new_queues).await?,
                Err(RecvError::Lagged(missed)) => tracing::warn!(missed, "live parts left to the backlog"),
                Err(RecvError::Closed) => anyhow::bail!("live is closed"),
            },
            event = events.recv() => match event {
                Ok(event) => happened(&shared, event),
                // The session no longer knows what there is: a new one will.
                Err(RecvError::Lagged(missed)) => anyhow::bail!("missed {missed} commits; connecting anew"),
                Err(RecvError::Closed) => anyhow::bail!("the archive is closed"),
            },
        }
    }
}

async fn recorded<U: Side>(
    shared: &Shared<U>,
    part: Arc<LivePart>,
    new_queues: &mpsc::Sender<LedgerId>,
) -> anyhow::Result<()> {
    if !shared.source.sends_part(&part) {
        return Ok(());
    }
    let place = site::LivePart { segment: part.segment, part: part.part, since: part.since };
    let ledger = part.ledger.clone();
    let (queue, is_new) = {
        let mut queues = shared.queues();
        let is_new = !queues.contains_key(&ledger);
        (queues.entry(ledger.clone()).or_default().clone(), is_new)
    };
    // Into the queue before the session knows of it: its sender may ask at once.
    queue.put(part);
    if !shared.session().part_recorded(&ledger, place) {
        queue.drop_part((place.segment, place.part));
    }
    queue.ring();
    if is_new {
        new_queues.send(ledger).await.context("live senders are gone")?;
    }
    Ok(())
}

fn happened<U: Side>(shared: &Shared<U>, event: Event) {
    match event {
        Event::Opened(ledger) => {
            if let Some(facts) = shared.source.fact(&ledger) {
                shared.session().ledger_opened(facts);
            }
        }
        Event::Appended { ledger, seq, head, segment } => {
            shared.session().committed(&ledger, seq, head, segment);
        }
        Event::Damaged { .. } => {} // see `repair`; nothing of it is read any more
        Event::Moved { .. } => {}   // likewise
        Event::Taken(_) => {}       // what others bring to a vault
        Event::Gone { ledger, seqs } => shared.session().gone(&ledger, &seqs),
    }
    shared.wake.notify_one();
}

/// Runs a sender for each ledger that has live parts.
pub(super) async fn send_all<U: Side>(
    shared: Arc<Shared<U>>,
    mut ledgers: mpsc::Receiver<LedgerId>,
) -> anyhow::Result<()> {
    let mut senders = JoinSet::new();
    loop {
        tokio::select! {
            ledger = ledgers.recv() => match ledger {
                Some(ledger) => drop(senders.spawn(send(shared.clone(), ledger))),
                None => return Ok(()),
            },
            Some(ended) = senders.join_next() => ended.context("live sender")??,
        }
    }
}

async fn send<U: Side>(shared: Arc<Shared<U>>, ledger: LedgerId) -> anyhow::Result<()> {
    let Some(queue) = shared.queues().get(&ledger).cloned() else { return Ok(()) };
    let mut stream = shared.connection.open_uni().await.context("open live stream")?;
    stream.set_priority(priority::LIVE).context("set priority")?;
    loop {
        let next = shared.session().next_live(&ledger, wire::clock::now());
        let Some(next) = next else {
            queue.bell.notified().await;
            continue;
        };
        let Some(part) = queue.take((next.segment, next.part)) else {
            shared.session().live_unsent(&ledger, &next);
            continue;
        };
        if shared.running_since.get().is_some_and(|running| part.since >= *running) {
            shared.lag().sent(&ledger, part.segment, part.part, part.since);
        }
        let message = frame::encode(&part_message(&part, true)).context("encode live part")?;
        shared.gate.write(&mut stream, Class::Live, &message).await.context("send live part")?;
        shared.source.status.update(|state| {
            state.live_parts += 1;
            state.live_bytes += part.data.len() as u64;
        });
    }
}
