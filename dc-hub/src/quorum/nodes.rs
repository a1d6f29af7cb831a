//! What a person asks for about the hub's own nodes: add one, take one out. Each step may be asked for again, so
//! that a change that broke off is finished that way.

use control_log::{ChangeError, Member, TwoVoters};
use decide::control::{HostKind, Role, State};
use decide::{NodeId, SiteId};
use serde::{Deserialize, Serialize};
use wire::id::check_slug;

use super::Quorum;

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
}

impl Quorum {
    /// Carries a wish about a node out, or says why not.
    pub async fn ask_of_node(&self, asked: AskedOfNode) -> Result<Done, NodeNo> {
        let two = if asked.two_voters { TwoVoters::Accept } else { TwoVoters::Refuse };
        tracing::info!(by = asked.by, wish = ?asked.wish, dry_run = asked.dry_run, "a person asks");
        let says = match asked.wish {
            NodeWish::Add { node, name, address, witness } => {
                check_slug(&name).map_err(|error| NodeNo::Unsafe(format!("name: {error}")))?;
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
        };
        Ok(Done { says: if asked.dry_run { format!("would: {says}") } else { says } })
    }
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
