//! One way to one voter, for as long as it lasts: beats out, acks in. The same over QUIC and over TLS.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::{sleep_until, timeout};
use wire::{frame, proto};

use super::Beats;
use super::voter::{Opened, Voter};
use super::ways::Way;

/// A way that takes nothing for so long is of no use.
const WRITE_MAX: Duration = Duration::from_secs(5);

/// Tells a node that may stand by, which has told a `sealing_key`, of the cameras; then says what there is to say until the hub
/// ends the stream, or it breaks; always an error. A goodbye ends nothing: whoever said it may go on recording until
/// another does.
pub(crate) async fn carry<R, W>(
    beats: &Beats,
    voter: &Arc<Voter>,
    (way, sealing_key): (Way, Bytes),
    send: &mut W,
    reader: &mut frame::Reader<R>,
) -> anyhow::Result<()>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut said = beats.listen();
    let line = voter.open(way);
    match beats.sealed_to(&sealing_key) {
        Ok(Some(configuration)) => write(send, &configuration).await?,
        Ok(None) => {}
        // It gets beats all the same.
        Err(error) => tracing::error!(%error, "tell a hub node of the cameras: it can't stand by"),
    }
    let (mut last, mut said_bye) = (0, false);
    loop {
        // Before anything is looked at: what changes from here on is noticed.
        let changed_ways = line.changed();
        let saying = said.borrow_and_update().clone();
        if let Some(bye) = saying.bye.filter(|_| !said_bye) {
            write(send, &bye.frame).await?;
            said_bye = true;
        }
        if let Some(beat) = saying.beat.filter(|beat| beat.number > last && line.takes_beat()) {
            write(send, &beat.frame).await?;
            line.said();
            last = beat.number;
        }
        if line.is_dead() {
            bail!("nothing was acked over {} for too long", beats.name_of(line.way()));
        }
        tokio::select! {
            message = reader.next::<proto::HubMessage>() => {
                let message = message.context("read acks of beats")?;
                let Some(kind) = message.and_then(|message| message.kind) else {
                    bail!("the hub ended the beats");
                };
                hear(beats, &line, kind)?;
            }
            changed = said.changed() => changed.context("the agent is stopping")?,
            () = changed_ways => {}
            () = look(&line) => {}
        }
    }
}

fn hear(beats: &Beats, line: &Opened, kind: proto::hub_message::Kind) -> anyhow::Result<()> {
    use proto::hub_message::Kind;
    match kind {
        Kind::BeatAck(ack) => line.acked(ack.number),
        Kind::Standing(standing) => beats.stands(standing, false),
        Kind::Refuse(refuse) => bail!("the hub refuses this site: {}", refuse.detail),
        _ => {} // of a later version
    }
    Ok(())
}

/// Until this way may have to take the newest beat though it was left to another.
async fn look(line: &Opened) {
    match line.next_look() {
        Some(at) => sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

async fn write(send: &mut (impl AsyncWrite + Unpin), frame: &[u8]) -> anyhow::Result<()> {
    let whole = async {
        send.write_all(frame).await?;
        send.flush().await
    };
    timeout(WRITE_MAX, whole).await.context("write beat: nothing is taken")?.context("write beat")
}
