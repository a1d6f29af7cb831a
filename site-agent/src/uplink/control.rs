//! The control stream: messages in, and out whatever the session wants said.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use wire::session::site::Output;
use wire::{LedgerId, Seq, SiteId, frame, proto};

use super::backlog::Job;
use super::batch;
use super::shared::{Shared, Side};
use crate::archive::Change;

/// Between two tries on a disk that is full to the last byte.
const ROOM_AGAIN: Duration = Duration::from_secs(1);
/// How old the line's figures in the status may be.
const LOOK: Duration = Duration::from_millis(500);

/// Takes in the hub's messages.
pub(super) async fn read<U: Side>(
    shared: Arc<Shared<U>>,
    mut reader: frame::Reader<quinn::RecvStream>,
) -> anyhow::Result<()> {
    while let Some(message) = reader.next::<proto::HubMessage>().await.context("read control stream")? {
        if let Some(proto::hub_message::Kind::Welcome(welcome)) = &message.kind {
            shared.uplink.welcomed(&shared.connection, welcome)?;
            let _ = shared.welcomed.set(welcome.sealing_key.clone());
        }
        // Here, and not by way of the session: the stream ends behind it, and the reason must not lose that race.
        if let Some(proto::hub_message::Kind::Refuse(refuse)) = &message.kind
            && refuse.ledger.is_none()
        {
            return Err(refused(refuse));
        }
        if let Some(proto::hub_message::Kind::Scrub(wish)) = &message.kind
            && let Some(scrubbed) = shared.uplink.scrubbed(wish)
        {
            shared.answer(proto::site_message::Kind::Scrubbed(scrubbed));
        }
        let head_at =
            |ledger: &LedgerId, next: Seq| shared.source.archive.head_before(ledger, next).ok().flatten();
        let running = {
            let mut session = shared.session();
            let was = session.is_running();
            session.handle_message(message, &head_at).context("hub's message")?;
            session.is_running() && !was
        };
        if running {
            let address = shared.connection.remote_address();
            tracing::info!(hub = %address, "hub link is up");
            let _ = shared.running_since.set(wire::clock::now());
            shared.source.status.update(|state| {
                state.connected = true;
                state.connects += 1;
                state.hub = address.to_string();
                state.path = shared.uplink.path_name(shared.path);
                state.detail.clear();
                state.since_us = wire::clock::wall();
            });
            shared.queues().values().for_each(|queue| queue.ring());
        }
        shared.wake.notify_one();
    }
    bail!("the hub ended the control stream")
}

/// Have we and the hub to do with each other?
pub(crate) fn check_welcome(own: &SiteId, welcome: &proto::Welcome) -> anyhow::Result<()> {
    if welcome.site != own.as_str() {
        bail!(
            "the hub takes this site for `{}`, the configuration says `{own}`: site.id must be the certificate's",
            welcome.site
        );
    }
    if welcome.protocol != wire::PROTOCOL {
        bail!(
            "the hub chose protocol {}, this agent speaks {}: update the older of the two",
            welcome.protocol,
            wire::PROTOCOL
        );
    }
    Ok(())
}

fn refused(refuse: &proto::Refuse) -> anyhow::Error {
    anyhow::anyhow!("the hub refuses this site: {}", refuse.detail)
}

/// Carries out what the session puts out.
pub(super) async fn write<U: Side>(
    shared: Arc<Shared<U>>,
    mut stream: quinn::SendStream,
    jobs: mpsc::Sender<Job>,
    cancel: CancellationToken,
) -> anyhow::Result<()> {
    let mut looks = tokio::time::interval(LOOK);
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    look_at_window(&shared);
    let mut turns = shared.source.replication.turns();
    turns.mark_changed();
    loop {
        loop {
            let output = shared.session().poll_output();
            match output {
                Some(output) => carry_out(&shared, &mut stream, &jobs, output).await?,
                None => break,
            }
        }
        while let Some(answer) = shared.next_answer() {
            say(&mut stream, answer).await?;
        }
        tokio::select! {
            () = shared.wake.notified() => {}
            Ok(()) = turns.changed() => {
                let turns = turns.borrow_and_update().clone();
                shared.session().set_turns(turns.iter().cloned());
            }
            _ = looks.tick() => {
                look_at_window(&shared);
                measure(&shared);
            }
            () = cancel.cancelled() => {
                let bye = proto::Bye { reason: proto::ByeReason::Shutdown.into(), back_in_s: 0, number: 0 };
                say(&mut stream, proto::site_message::Kind::Bye(bye)).await?;
                let _ = stream.finish();
                // The hub closes the connection when it has read this far; a dead link times out.
                let _ = tokio::time::timeout(Duration::from_secs(1), stream.stopped()).await;
                return Ok(());
            }
        }
    }
}

async fn carry_out<U: Side>(
    shared: &Shared<U>,
    stream: &mut quinn::SendStream,
    jobs: &mpsc::Sender<Job>,
    output: Output,
) -> anyhow::Result<()> {
    match output {
        Output::Control(message) => frame::write(stream, &message).await.context("write control stream")?,
        Output::Entries { ledger, seqs } => {
            for message in batch::pack(&shared.source.archive, &ledger, seqs)? {
                say(stream, proto::site_message::Kind::Entries(message)).await?;
            }
        }
        // The session never has more jobs out than the channel has places.
        Output::Backlog { ledger, seq, asked } => {
            jobs.send(Job { ledger, seq, asked }).await.context("backlog senders are gone")?
        }
        Output::Acked { ledger, seqs, all } => {
            let known = shared.source.archive.acked(&ledger);
            if (all && known != seqs) || (!all && !seqs.is_empty()) {
                let acked = || Change::Acked { ledger: ledger.clone(), seqs: seqs.clone(), all };
                while let Err(error) = shared.source.archive.submit(acked()).await {
                    // Nothing is left even for what frees room: the link is kept until others have made some.
                    if !error.is_out_of_space() {
                        return Err(error).context("remember acks");
                    }
                    tokio::time::sleep(ROOM_AGAIN).await;
                }
            }
            let unacked = shared.session().unacked();
            shared.source.status.update(|state| state.unacked = unacked);
        }
        Output::TailAcked { ledger, segment, parts } => {
            shared.lag().acked(&ledger, segment, &parts, wire::clock::now());
            let summary = shared.lag().summary();
            shared.source.status.update(|state| state.live_lag_ms = summary);
        }
        Output::Quarantined { ledger, detail } => {
            tracing::error!(%ledger, detail, "ledger is quarantined: nothing of it is sent; a person must look");
            shared.source.status.update(|state| state.quarantined.push(format!("{ledger}: {detail}")));
        }
        Output::Refused(refuse) => return Err(refused(&refuse)),
    }
    Ok(())
}

async fn say(stream: &mut quinn::SendStream, kind: proto::site_message::Kind) -> anyhow::Result<()> {
    let message = proto::SiteMessage { kind: Some(kind) };
    frame::write(stream, &message).await.context("write control stream")
}

/// Lets scheduled streams' bytes go within the site's windows.
fn look_at_window<U: Side>(shared: &Shared<U>) {
    let rules = shared.source.replication.now();
    shared.session().set_window(rules.is_open(rules.local(wire::clock::wall())));
}

/// Puts into the status what nobody tells by itself.
fn measure<U: Side>(shared: &Shared<U>) {
    let (unacked, line) = (shared.session().unacked(), shared.gate.line());
    shared.source.status.update(|state| {
        state.unacked = unacked;
        state.line = Some(line.clone());
        state.last_line = Some(line);
    });
}
