//! `[control]`: which node of the control log this is, and with which others it began.

use std::collections::BTreeMap;
use std::path::PathBuf;

use control_log::{Member, TwoVoters};
use decide::NodeId;
use decide::control::Role;
use serde::Deserialize;
use site_agent::config::check::{Check, Choice};
use site_agent::config::defaults;
use site_agent::config::leaf::{Flag, Text, Whole};
use wire::id::check_slug;

/// `control.node`
const NODE: u64 = 1;
/// The range of a node's id.
const NODE_RANGE: std::ops::RangeInclusive<u64> = 1..=u64::MAX >> 1;

/// This node's part in the control log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Control {
    /// Its id, never given to another.
    pub node: NodeId,
    /// What it keeps.
    pub role: Role,
    /// Where it keeps its replica of the log.
    pub dir: PathBuf,
    /// The nodes that begin the log together, this one included; itself alone if none are named.
    pub members: BTreeMap<NodeId, Member>,
    /// Are two voters a mistake?
    pub two_voters: TwoVoters,
}

#[derive(Deserialize, Default)]
#[serde(expecting = "a section, [control]", default)]
pub(super) struct ControlSection {
    node: Option<Whole>,
    role: Option<Text>,
    dir: Option<Text>,
    two_voters: Option<Flag>,
    member: Option<Vec<MemberSection>>,
}

#[derive(Deserialize, Default)]
#[serde(expecting = "a section, [[control.member]]", default)]
struct MemberSection {
    node: Option<Whole>,
    name: Option<Text>,
    address: Option<Text>,
    role: Option<Text>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum RoleWord {
    #[default]
    Full,
    Witness,
}

impl Choice for RoleWord {
    const WORDS: &'static [(&'static str, Self)] = &[("full", Self::Full), ("witness", Self::Witness)];
}

impl From<RoleWord> for Role {
    fn from(word: RoleWord) -> Self {
        match word {
            RoleWord::Full => Self::Full,
            RoleWord::Witness => Self::Witness,
        }
    }
}

impl ControlSection {
    /// Checks it for the node of this name.
    pub(super) fn check(self, name: &str, check: &mut Check) -> Option<Control> {
        let node = NodeId(check.whole("control.node", self.node, NODE, NODE_RANGE));
        let role = check.choice::<RoleWord>("control.role", self.role).into();
        let dir = check.folder("control.dir", self.dir, defaults::CONTROL_DIR);
        let two_voters =
            if check.flag(self.two_voters, false) { TwoVoters::Accept } else { TwoVoters::Refuse };
        let own = Member { role, name: name.to_owned(), address: String::new() };
        let members = match self.member {
            None => BTreeMap::from([(node, own)]),
            Some(members) => others(members, (node, &own), check)?,
        };
        if members.len() == 2 && two_voters == TwoVoters::Refuse {
            let message = "names two nodes: with either down the other decides nothing, so two are worse than one. \
                           Add a third (role = \"witness\" needs little), or say two_voters = true";
            check.problem("control.member", message);
        }
        Some(Control { node, role, dir, members, two_voters })
    }
}

fn others(
    sections: Vec<MemberSection>,
    (me, own): (NodeId, &Member),
    check: &mut Check,
) -> Option<BTreeMap<NodeId, Member>> {
    let mut members = BTreeMap::new();
    for (place, section) in sections.into_iter().enumerate() {
        let key = |key: &str| format!("control.member[{place}].{key}");
        if section.node.is_none() {
            check.missing(&key("node"), "is missing; add the node's id, for example node = 2");
        }
        let node = NodeId(check.whole(&key("node"), section.node, NODE, NODE_RANGE));
        let name = check.required(&key("name"), section.name, "name = \"hub-2\"");
        let name = name.and_then(|name| {
            check.parsed(&key("name"), &name, |name| check_slug(name).map(|()| name.to_owned()))
        });
        let address =
            check.required(&key("address"), section.address, "address = \"hub-2.example.com:7443\"");
        let address = address.and_then(|address| check.parsed(&key("address"), &address, host_and_port));
        let role = check.choice::<RoleWord>(&key("role"), section.role).into();
        let (Some(name), Some(address)) = (name, address) else { continue };
        if members.insert(node, Member { role, name, address }).is_some() {
            check.problem(
                &key("node"),
                format!("is {}, like another member's: each node has an id of its own", node.0),
            );
        }
    }
    match members.get(&me) {
        Some(known) if known.name == own.name && known.role == own.role => Some(members),
        Some(known) => {
            let message = format!(
                "says that node {} is {} ({:?}), and this node is {} ({:?}): correct one of them",
                me.0, known.name, known.role, own.name, own.role
            );
            check.problem("control.member", message);
            None
        }
        None => {
            check.problem(
                "control.member",
                format!("names every node but this one: add node {}, {}", me.0, own.name),
            );
            None
        }
    }
}

fn host_and_port(text: &str) -> Result<String, &'static str> {
    let port =
        text.rsplit_once(':').filter(|(host, _)| !host.is_empty()).map(|(_, port)| port.parse::<u16>());
    match port {
        Some(Ok(_)) => Ok(text.to_owned()),
        _ => Err("is no address: write HOST:PORT, for example \"hub-2.example.com:7443\""),
    }
}
