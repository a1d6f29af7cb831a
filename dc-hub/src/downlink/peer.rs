//! What the tasks of one connection share.

use std::collections::BTreeSet;
use std::sync::Arc;

use site_agent::archive::Sender;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use wire::{LedgerId, OriginId, SegmentNumber, SiteId, frame, proto};

use super::{Downlink, control, parts};
use crate::beats;

/// A part is in the journal, and the session should know.
#[derive(Debug)]
pub(super) struct StoredPart {
    pub(super) ledger: LedgerId,
    pub(super) segment: SegmentNumber,
    pub(super) part: u32,
}

/// How much of one site may be on its way to the journal, in KiB: more than the largest part.
pub(super) const ROOM_KIB: u32 = 64 << 10;
/// Stored parts that wait for the session to know; whoever brings more waits.
const STORED: usize = 1024;

/// What a connection's tasks share.
pub(super) struct Peer {
    pub(super) downlink: Downlink,
    pub(super) site: SiteId,
    /// Who brings its ledgers here: its own agent, or a host that stood by for it.
    pub(super) by: Sender,
    /// The run that speaks.
    pub(super) origin: OriginId,
    pub(super) connection: quinn::Connection,
    /// Ledgers the site has offered and may send parts of.
    pub(super) ledgers: watch::Sender<BTreeSet<LedgerId>>,
    pub(super) stored: mpsc::Sender<StoredPart>,
    /// Room for parts on their way to the journal, in KiB: one site must not fill the hub's memory.
    pub(super) room: Semaphore,
}

/// A session that is being served.
pub(super) struct Served {
    pub(super) peer: Arc<Peer>,
    /// Its tasks, and what more the connection does.
    pub(super) tasks: JoinSet<anyhow::Result<()>>,
}

impl Served {
    /// Welcomes whoever has said hello, and takes in what it brings.
    pub(super) async fn begin(
        downlink: Downlink,
        (by, origin): (Sender, OriginId),
        connection: &quinn::Connection,
        (mut send, reader): (quinn::SendStream, frame::Reader<quinn::RecvStream>),
        welcome: proto::Welcome,
    ) -> anyhow::Result<Self> {
        beats::say(&mut send, proto::hub_message::Kind::Welcome(welcome)).await?;
        let (stored, to_session) = mpsc::channel(STORED);
        let peer = Arc::new(Peer {
            downlink,
            site: by.site.clone(),
            by,
            origin,
            connection: connection.clone(),
            ledgers: watch::Sender::default(),
            stored,
            room: Semaphore::new(ROOM_KIB as usize),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(control::run(peer.clone(), send, reader, to_session));
        tasks.spawn(parts::accept(peer.clone()));
        Ok(Self { peer, tasks })
    }

    /// Until one of the tasks ends; the others end with it.
    pub(super) async fn ended(mut self) -> anyhow::Result<()> {
        let ended = self.tasks.join_next().await;
        self.tasks.shutdown().await;
        match ended {
            Some(Ok(result)) => result,
            Some(Err(panic)) => Err(anyhow::Error::new(panic).context("a task of the connection")),
            None => Ok(()),
        }
    }
}
