//! The state as a document of its own: readable, versioned, without anything of openraft's. It is the way to
//! another version of the log, and back from a lost majority.
//!
//! [`restore`] makes a log of one node from it. Everything happened under an earlier history, so the first entries
//! of the new one take the old nodes out for ever and begin a generation above every epoch seen: there is no
//! moment at which a restored log acts under old epochs.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use decide::control::{Command, Membership, Refusal, Role, Stamp, State};
use decide::epoch::Generation;
use decide::{NodeId, Term};
use openraft::vote::RaftLeaderIdExt;
use openraft::{Vote as RaftVote, impls::leader_id_std};
use serde::{Deserialize, Serialize};
use wire::UnixMicros;

use crate::disk::Disk;
use crate::error::OpenError;
use crate::log::ControlLog;
use crate::machine::Saved;
use crate::member::Member;
use crate::raft::{LogId, SnapshotMeta, StoredMembership};

const VERSION: u32 = 1;

/// Everything the control log has agreed on, after one of its entries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Export {
    /// The form of this document.
    pub version: u32,
    /// The node that wrote it.
    pub node: NodeId,
    /// Who was in the log then.
    pub members: BTreeMap<NodeId, Member>,
    /// What was agreed on; it names its entry.
    pub state: Arc<State>,
}

/// Why a document can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// It is something else.
    #[error("this is not an export of a control log: {0}")]
    NotAnExport(String),
    /// A later program wrote it.
    #[error("the export has version {0}, this program reads {VERSION}: update it")]
    Version(u32),
    /// A restored log has new nodes only.
    #[error("restore as a node that was never in the log: {0}")]
    Refused(#[from] Refusal),
    /// The folder is in use.
    #[error("{} has a control log already: restore to an empty folder", .0.display())]
    NotEmpty(PathBuf),
    /// It can't be written.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// It can't be written.
    #[error("write the restored control log: {0}")]
    Write(#[from] std::io::Error),
}

impl Export {
    /// Reads a document.
    pub fn from_json(text: &str) -> Result<Self, ExportError> {
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        let bad = |error: serde_json::Error| ExportError::NotAnExport(error.to_string());
        match serde_json::from_str::<Versioned>(text).map_err(bad)?.version {
            VERSION => serde_json::from_str(text).map_err(bad),
            other => Err(ExportError::Version(other)),
        }
    }

    /// The document.
    pub fn to_json(&self) -> Result<String, ExportError> {
        serde_json::to_string_pretty(self).map_err(|error| ExportError::NotAnExport(error.to_string()))
    }
}

impl ControlLog {
    /// What was applied here, as a document.
    pub fn export(&self) -> Export {
        let members = self.members().borrow().clone();
        Export { version: VERSION, node: self.me(), members, state: self.state() }
    }
}

/// Makes a log of one new node in an empty folder, from what another log had agreed on. `seen` is the highest
/// generation any site has shown, `salt` is drawn for this occasion. Open it then as usual, and add nodes.
pub fn restore(
    dir: PathBuf,
    export: &Export,
    (me, member): (NodeId, Member),
    seen: Generation,
    (now, salt): (UnixMicros, u64),
) -> Result<(), ExportError> {
    if dir.join("CURRENT").exists() {
        return Err(ExportError::NotEmpty(dir));
    }
    let mut state = State::clone(&export.state);
    let before = state.at().map_or((0, 0), |at| (at.index, at.term.0));
    let term = before.1 + 1;
    let first = [
        Command::AddNode { node: me, role: Role::Full },
        Command::Membership(Membership::of([me])),
        Command::Recover { seen, salt },
    ];
    let mut index = before.0;
    for command in &first {
        index += 1;
        state.apply(Stamp { index, term: Term(term), time: now }, command)?;
    }
    let disk = Disk::open(dir, me)?;
    let written = write(&disk, (term, index), (me, member), state);
    disk.close();
    Ok(written?)
}

fn write(
    disk: &Disk,
    (term, index): (u64, u64),
    (me, member): (NodeId, Member),
    state: State,
) -> std::io::Result<()> {
    let last = LogId::new(leader_id_std::LeaderId::new_committed(term, me.0), index);
    let nodes = BTreeMap::from([(me.0, member)]);
    let members = openraft::Membership::new(vec![[me.0].into()], nodes).map_err(std::io::Error::other)?;
    let last_membership = StoredMembership::new(Some(last), members);
    let meta = SnapshotMeta { last_log_id: Some(last), last_membership };
    let mut change = disk.change();
    change.put("snapshot", &Saved { meta, state: Arc::new(state) });
    change.put("purged", &last);
    change.put("committed", &Some(last));
    change.put("vote", &RaftVote::<leader_id_std::LeaderId<u64, u64>>::new(term, me.0));
    disk.write_now(change.finish()?, true)
}
