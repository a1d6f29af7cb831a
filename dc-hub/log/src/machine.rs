//! Committed entries → [`State`]: in memory, with snapshots on disk.
//!
//! A restarted node takes its last snapshot and applies again what it knows to be committed. Entries that
//! change Raft's own members become [`Command::Membership`] at their index, so that a majority of a round is
//! counted among those who are voters there. Entries without a command pass by.

use std::io;
use std::sync::Arc;

use decide::control::{Command, Membership, Role, Stamp, State};
use decide::{NodeId, Term};
use futures::{Stream, TryStreamExt};
use openraft::storage::{EntryResponder, RaftSnapshotBuilder, RaftStateMachine};
use openraft::{EntryPayload, OptionalSend};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use wire::UnixMicros;

use crate::disk::Disk;
use crate::feed::{Applied, Feed};
use crate::raft::{Entry, LogId, Outcome, Snapshot, SnapshotMeta, StoredMembership, Types};

/// The state, as others hold it too.
pub(crate) type Shared = Arc<State>;

/// What is kept under `snapshot`.
#[derive(Serialize, Deserialize)]
pub(crate) struct Saved {
    pub(crate) meta: SnapshotMeta,
    pub(crate) state: Shared,
}

/// Everything up to an entry.
#[derive(Clone, Default)]
struct Held {
    last: Option<LogId>,
    members: StoredMembership,
    state: Shared,
}

/// The state machine of one node.
pub(crate) struct Machine {
    held: Held,
    snapshots: Snapshots,
    feed: Arc<Feed>,
}

/// Writes snapshots; one at a time, and never an older one over a newer.
#[derive(Clone)]
struct Snapshots {
    disk: Arc<Disk>,
    turn: Arc<Mutex<()>>,
}

/// Makes a snapshot of one moment.
pub(crate) struct Builder {
    held: Held,
    snapshots: Snapshots,
}

impl Machine {
    pub(crate) fn new(disk: Arc<Disk>, feed: Arc<Feed>) -> Self {
        Self { held: Held::default(), snapshots: Snapshots { disk, turn: Arc::default() }, feed }
    }

    fn apply_one(&mut self, entry: Entry) -> Outcome {
        let (log_id, held) = (entry.log_id, &mut self.held);
        held.last = Some(log_id);
        let outcome = match entry.payload {
            EntryPayload::Blank => return Ok(Vec::new()),
            EntryPayload::Normal(stamped) => held.apply(log_id, stamped.time, &stamped.command),
            EntryPayload::Membership(members) => {
                let time = held.state.at().map_or(UnixMicros(0), |at| at.time);
                if held.state.nodes().is_empty() {
                    let nodes = members.nodes().map(|(id, member)| (NodeId(*id), member.role));
                    held.found(nodes);
                }
                held.members = StoredMembership::new(Some(log_id), members);
                let command = Command::Membership(voters(&held.members));
                held.apply(log_id, time, &command)
            }
        };
        let events = outcome.as_deref().unwrap_or_default().into();
        self.feed.publish(Applied { index: log_id.index, state: held.state.clone(), events });
        outcome
    }
}

impl Held {
    fn apply(&mut self, at: LogId, time: UnixMicros, command: &Command) -> Outcome {
        let stamp = Stamp { index: at.index, term: Term(at.leader_id.term), time };
        Arc::make_mut(&mut self.state).apply(stamp, command)
    }

    /// The first entry of a log names its members without an `AddNode` before it.
    fn found(&mut self, nodes: impl Iterator<Item = (NodeId, Role)>) {
        self.state = Arc::new(State::founded_by(nodes));
    }
}

/// Raft's voters as `decide` knows them.
pub(crate) fn voters(members: &StoredMembership) -> Membership {
    let set = |ids: &std::collections::BTreeSet<u64>| ids.iter().copied().map(NodeId).collect();
    Membership { sets: members.get_joint_config().iter().map(set).collect() }
}

impl RaftStateMachine<Types> for Machine {
    type SnapshotData = Shared;
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, StoredMembership)> {
        Ok((self.held.last, self.held.members.clone()))
    }

    async fn apply<S>(&mut self, mut entries: S) -> io::Result<()>
    where
        S: Stream<Item = Result<EntryResponder<Types>, io::Error>> + Unpin + OptionalSend,
    {
        while let Some((entry, asker)) = entries.try_next().await? {
            let outcome = self.apply_one(entry);
            if let Some(asker) = asker {
                asker.send(outcome);
            }
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        Builder { held: self.held.clone(), snapshots: self.snapshots.clone() }
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, state: Shared) -> io::Result<()> {
        self.snapshots.save(meta, &state).await?;
        self.held = Held { last: meta.last_log_id, members: meta.last_membership.clone(), state };
        if let Some(last) = self.held.last {
            let state = self.held.state.clone();
            self.feed.publish(Applied { index: last.index, state, events: Arc::default() });
        }
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<Snapshot>> {
        let saved: Option<Saved> = self.snapshots.disk.get("snapshot")?;
        Ok(saved.map(|saved| Snapshot { meta: saved.meta, snapshot: saved.state }))
    }
}

impl RaftSnapshotBuilder<Types> for Builder {
    type SnapshotData = Shared;

    async fn build_snapshot(&mut self) -> io::Result<Snapshot> {
        let meta = SnapshotMeta { last_log_id: self.held.last, last_membership: self.held.members.clone() };
        self.snapshots.save(&meta, &self.held.state).await?;
        Ok(Snapshot { meta, snapshot: self.held.state.clone() })
    }
}

impl Snapshots {
    async fn save(&self, meta: &SnapshotMeta, state: &Shared) -> io::Result<()> {
        let _turn = self.turn.lock().await;
        let before: Option<Saved> = self.disk.get("snapshot")?;
        if before.is_some_and(|before| before.meta.last_log_id > meta.last_log_id) {
            return Ok(());
        }
        let mut change = self.disk.change();
        change.put("snapshot", &Saved { meta: meta.clone(), state: state.clone() });
        self.disk.write(change.finish()?).await
    }
}
