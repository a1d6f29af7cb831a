//! What a person asks for about the hub's own nodes: add one, take one out, trust one no more. Each step may be asked for again, so
//! that a change that broke off is finished that way.

use std::time::Duration;

use control_log::{ChangeError, Member, ProposeError, TwoVoters};
use decide::control::{Command, Event, HostKind, HostSpec, Load, Refusal, Role, Stamp, State};
use decide::{HostId, NodeId, SiteId};
use serde::{Deserialize, Serialize};
use wire::id::check_slug;

use super::Quorum;

/// For another leader, and for what was decided under it to get here.
const KNOWN_WITHIN: Duration = Duration::from_secs(10);
/// For a change of the voters that has to be asked for again.
const TAKEN_OUT_WITHIN: Duration = Duration::from_secs(20);
const AGAIN: Duration = Duration::from_millis(500);

/// A wish about one node.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "wish", rename_all = "kebab-case")]
pub enum NodeWish {
    /// It is to vote. It runs already, and waits to be called.
    Add {
        /// Its id: higher than any that was ever given.
        node: u64,
        /// As in its certificate.
        name: String,
        /// Where sites and the other nodes reach it: `host:port`.
        address: String,
        /// Does it only vote, and keep no vault?
        #[serde(default)]
        witness: bool,
    },
    /// It is to vote no more, for ever.
    Remove {
        /// Which.
        name: String,
        /// Also if it keeps vaults, or a standby there has authority: it is lost anyway.
        #[serde(default)]
        lost: bool,
    },
    /// It is trusted no more, for ever: what it holds may be in the wrong hands.
    Revoke {
        /// Which.
        name: String,
        /// Also if it keeps vaults, or a standby there has authority.
        #[serde(default)]
        lost: bool,
    },
}

/// A wish, and who has it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct AskedOfNode {
    /// What is wished.
    #[serde(flatten)]
    pub wish: NodeWish,
    /// Who, as the log names them.
    pub by: String,
    /// Are two voters wanted, though either then stops both?
    #[serde(default)]
    pub two_voters: bool,
    /// Say only what would happen.
    #[serde(default)]
    pub dry_run: bool,
}

/// What came of it.
#[derive(Clone, Debug, Serialize)]
pub struct Done {
    /// In words.
    pub says: String,
}

/// Why it came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum NodeNo {
    /// It would lose something, or makes no sense.
    #[error("{0}")]
    Unsafe(String),
    /// The log said no.
    #[error(transparent)]
    Change(#[from] ChangeError),
    /// The log refused it.
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// It did not get into the log, or nobody knows.
    #[error("{0}")]
    Unproposed(#[from] ProposeError),
}

impl Quorum {
    /// Carries a wish about a node out, or says why not.
    pub async fn ask_of_node(&self, asked: AskedOfNode) -> Result<Done, NodeNo> {
        let two = if asked.two_voters { TwoVoters::Accept } else { TwoVoters::Refuse };
        tracing::info!(by = asked.by, wish = ?asked.wish, dry_run = asked.dry_run, "a person asks");
        let says = match asked.wish {
            NodeWish::Add { node, name, address, witness } => {
                check_slug(&name).map_err(|error| NodeNo::Unsafe(format!("name: {error}")))?;
                if self.log().state().revoked_nodes().any(|revoked| revoked.as_str() == name) {
                    let why =
                        format!("{name} is revoked, for ever: a new node needs a new name and certificate");
                    return Err(NodeNo::Unsafe(why));
                }
                let role = if witness { Role::Witness } else { Role::Full };
                let says = format!("{name} votes as node {node}, at {address}");
                if !asked.dry_run {
                    self.log().add_node(NodeId(node), Member { role, name, address }, two).await?;
                }
                says
            }
            NodeWish::Remove { name, lost } => {
                let members = self.log().members().borrow().clone();
                let found = members.iter().find(|(_, member)| member.name == name);
                let node = *found.ok_or_else(|| unknown(&name, members.values()))?.0;
                if !lost {
                    nothing_there(&self.log().state(), node, &name)?;
                }
                if !asked.dry_run {
                    self.log().remove_node(node, two).await?;
                }
                format!("{name} votes no more, and its id is never given again")
            }
            NodeWish::Revoke { name, lost } => self.revoke(&name, lost, asked.dry_run).await?,
        };
        Ok(Done { says: if asked.dry_run { format!("would: {says}") } else { says } })
    }
}

impl Quorum {
    /// Trusts a node no more: first in the log, from where on every node cuts it off and its word counts for nothing;
    /// then it is taken out of the voters. Asked for again, it goes on where it broke off.
    async fn revoke(&self, name: &str, lost: bool, dry_run: bool) -> Result<String, NodeNo> {
        let state = self.log().state();
        let members = self.log().members().borrow().clone();
        let host = HostId::new(name).map_err(|error| NodeNo::Unsafe(format!("name: {error}")))?;
        let node =
            members.iter().find(|(_, member)| member.name == name).map(|(id, member)| (*id, member.role));
        let revoked = state.revoked_nodes().any(|known| *known == host);
        let Some((node, role)) = node else {
            let already = || NodeNo::Unsafe(format!("{name} is revoked already"));
            return Err(if revoked { already() } else { unknown(name, members.values()) });
        };
        if !lost && !revoked {
            nothing_there(&state, node, name)?;
        }
        if !revoked {
            // A witness is no host, so far.
            let kind = HostKind::Node(node);
            let spec = HostSpec { kind, capacity: Load::default(), domain: name.to_owned(), draining: true };
            let known = state.hosts().contains_key(&host);
            debug_assert!(known || role == Role::Witness || dry_run, "a full node tells what it can do");
            let commands = (!known).then(|| Command::SetHost { host: host.clone(), spec });
            let commands = commands.into_iter().chain([Command::RevokeHost { host: host.clone() }]);
            if dry_run {
                let sites = rehearsed(&state, commands)?;
                return Ok(told(name, &sites));
            }
            for command in commands {
                self.propose_until_known(command, &host).await?;
            }
        }
        if !dry_run {
            self.take_out(node).await?;
        }
        let state = self.log().state();
        let exposed = state
            .sites()
            .iter()
            .filter(|(_, site)| site.exposed.as_ref().is_some_and(|exposed| exposed.hosts.contains(&host)));
        let sites: Vec<_> = exposed.map(|(site, _)| site.clone()).collect();
        Ok(told(name, &sites))
    }

    /// Proposes; an outcome that is unknown, because the node that leads is the one that is cut off, is waited for.
    async fn propose_until_known(&self, command: Command, host: &HostId) -> Result<(), NodeNo> {
        let proposed = match self.log().propose(command).await {
            Ok(proposed) => return proposed.outcome.map(drop).map_err(NodeNo::from),
            Err(error) => error,
        };
        let mut follow = self.log().follow();
        let revoked = async {
            while !self.log().state().revoked_nodes().any(|known| known == host) {
                if follow.next().await.is_none() {
                    return false;
                }
            }
            true
        };
        match tokio::time::timeout(KNOWN_WITHIN, revoked).await {
            Ok(true) => Ok(()),
            _ => Err(proposed.into()),
        }
    }

    /// Takes a revoked node out of the voters, however many are left: it didn't count any more. Whoever leads may be
    /// elected only now, if it led itself.
    async fn take_out(&self, node: NodeId) -> Result<(), NodeNo> {
        let until = wire::clock::now() + TAKEN_OUT_WITHIN;
        loop {
            match self.log().remove_node(node, TwoVoters::Accept).await {
                // An attempt of which nothing was heard any more has done it.
                Ok(()) | Err(ChangeError::NoNode(_)) => return Ok(()),
                Err(ChangeError::NotDone(_) | ChangeError::Unknown(_) | ChangeError::Busy)
                    if wire::clock::now() < until =>
                {
                    tokio::time::sleep(AGAIN).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// The sites that would need new camera passwords; or what the log would refuse.
fn rehearsed(state: &State, commands: impl Iterator<Item = Command>) -> Result<Vec<SiteId>, NodeNo> {
    let mut copy = state.clone();
    let mut sites = Vec::new();
    for command in commands {
        let at = copy.at().ok_or_else(|| NodeNo::Unsafe("the control log is empty".to_owned()))?;
        for event in copy.apply(Stamp { index: at.index + 1, ..at }, &command)? {
            if let Event::NewPasswords { site, needed: true } = event {
                sites.push(site);
            }
        }
    }
    Ok(sites)
}

fn told(name: &str, sites: &[SiteId]) -> String {
    let sites: Vec<_> = sites.iter().map(SiteId::as_str).collect();
    let passwords = match sites.as_slice() {
        [] => "no camera's password was known to it".to_owned(),
        some => format!("the cameras of {} need new passwords", some.join(", ")),
    };
    format!("{name} is revoked, for ever: every connection with it ends, and it votes no more; {passwords}")
}

/// Refuses while sites depend on a node.
fn nothing_there(state: &State, node: NodeId, name: &str) -> Result<(), NodeNo> {
    let here = |kind: &HostKind| *kind == HostKind::Node(node);
    let hosts: Vec<_> =
        state.hosts().iter().filter(|(_, host)| here(&host.spec.kind)).map(|(id, _)| id).collect();
    let of = |holds: &dyn Fn(&decide::control::Site) -> bool| -> Vec<&SiteId> {
        state.sites().iter().filter(|(_, site)| !site.revoked && holds(site)).map(|(id, _)| id).collect()
    };
    let stands = of(&|site| site.life.authority().is_some_and(|host| hosts.contains(&host)));
    let vaults = of(&|site| site.vault == Some(node));
    let why = match (stands.first(), vaults.first()) {
        (Some(site), _) => format!(
            "a standby on {name} has authority over {site}, and {} more: `holdfast relocate` them first",
            stands.len() - 1
        ),
        (None, Some(site)) => format!("{name} keeps the vault of {site}, and {} more", vaults.len() - 1),
        (None, None) => return Ok(()),
    };
    Err(NodeNo::Unsafe(format!("{why}; if {name} is lost for good, say so with --lost")))
}

fn unknown<'a>(name: &str, members: impl Iterator<Item = &'a Member>) -> NodeNo {
    let known: Vec<_> = members.map(|member| member.name.as_str()).collect();
    NodeNo::Unsafe(format!("`{name}` is no node of this hub: it has {}", known.join(", ")))
}
