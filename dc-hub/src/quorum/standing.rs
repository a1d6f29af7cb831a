//! How each site stands with the hub: whom it beats to, where its vault is, whether a standby has authority.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use control_log::Member;
use decide::control::{State, Tier};
use decide::{NodeId, SiteId};
use tokio::sync::watch;
use wire::proto;

use crate::beats::Stands;

/// What sites are told, from the control log as this node has applied it.
#[derive(Debug)]
pub struct Standings {
    /// This node's name: the vault's owner as long as the log names none.
    own: String,
    known: Mutex<Known>,
    changes: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Known {
    state: Arc<State>,
    members: BTreeMap<NodeId, Member>,
}

impl Standings {
    /// Of a node that knows nothing yet.
    pub fn new(own: &str) -> Self {
        Self { own: own.to_owned(), known: Mutex::default(), changes: watch::Sender::default() }
    }

    /// The log, as applied here. Sites are told if `matters` to any.
    pub(super) fn applied(&self, state: Arc<State>, matters: bool) {
        self.lock().state = state;
        if matters {
            self.changes.send_modify(|count| *count += 1);
        }
    }

    /// The log's nodes.
    pub(super) fn members(&self, members: BTreeMap<NodeId, Member>) {
        self.lock().members = members;
        self.changes.send_modify(|count| *count += 1);
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stands for Standings {
    fn standing(&self, site: &SiteId) -> proto::Standing {
        let known = self.lock();
        let (state, members) = (&known.state, &known.members);
        let voter = |id: NodeId| {
            let member = members.get(&id)?;
            let addresses = if members.len() > 1 { vec![member.address.clone()] } else { Vec::new() };
            Some(proto::Voter { node: member.name.clone(), id: id.0, addresses })
        };
        let mut voters: Vec<_> = state.membership().voters().into_iter().filter_map(voter).collect();
        if voters.is_empty() {
            voters.push(proto::Voter { node: self.own.clone(), id: 0, addresses: Vec::new() });
        }
        let known = state.site(site);
        let owner = known.and_then(|known| members.get(&known.vault?)).map(|member| member.name.clone());
        proto::Standing {
            revision: state.at().map_or(0, |at| at.index),
            voters,
            owner: owner.unwrap_or_else(|| self.own.clone()),
            epoch: known.map(|known| epoch(known.epoch)),
            covered: known.is_some_and(|known| known.placement.is_some() && known.spec.tier != Tier::None),
            away: known.is_some_and(decide::control::Site::is_away),
        }
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}

fn epoch(epoch: decide::Epoch) -> proto::Epoch {
    proto::Epoch { generation: epoch.generation.count, salt: epoch.generation.salt, n: epoch.n }
}
