//! Who the voters are, and how the site stands with them: what the hub last told, also across a restart.
//!
//! The file is a hint, renamed into place and not synced: one that is torn, foreign or for another hub is as good
//! as none, and the site begins with the hub it is configured with.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};
use wire::discover::{ADDRESSES_MAX, HubAddress};
use wire::id::check_slug;
use wire::proto;

/// Voters of one hub at most; more is a mistake.
const VOTERS_MAX: usize = 16;
/// Nodes that were revoked, of all times.
const REVOKED_MAX: usize = 256;
/// More sites than any machine is configured to record for.
const HOSTING_MAX: usize = 64;
/// Another number is another format.
const FORMAT: u32 = 1;

/// What the hub has told.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Roster {
    pub(super) revision: u64,
    /// Empty until the hub has told.
    pub(super) voters: Vec<Member>,
    /// The node that keeps the site's vault.
    pub(super) owner: Option<String>,
    /// The highest told.
    pub(super) epoch: Option<proto::Epoch>,
    /// Would a standby record, if the site stopped?
    pub(super) covered: bool,
    /// Does one have authority?
    pub(super) away: bool,
    /// What that one records.
    pub(super) recorded: BTreeSet<String>,
    /// What the site is to do as if it had failed.
    pub(super) drill: Option<proto::Drill>,
    /// Nodes that are trusted no more, whoever said so: for ever.
    pub(super) revoked: BTreeSet<String>,
    /// What this machine is to do for other sites.
    pub(super) hosting: Vec<proto::Hosting>,
}

/// A voter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) node: String,
    /// None: where the configured hub is.
    pub(super) addresses: Vec<HubAddress>,
}

impl Roster {
    /// Takes in what a hub node said; `true` if that changed something. `trusted` is the node of the session: its
    /// word counts also after its control log was restored from a backup.
    pub(super) fn take(&mut self, told: proto::Standing, trusted: bool) -> Result<bool, String> {
        if told.revision < self.revision && !trusted {
            return Ok(false);
        }
        let voters = told.voters.into_iter().map(Member::read).collect::<Result<Vec<_>, _>>()?;
        if voters.is_empty() || voters.len() > VOTERS_MAX {
            return Err(format!("{} voters were told, 1 to {VOTERS_MAX} make sense", voters.len()));
        }
        let mut revoked = self.revoked.clone();
        revoked.extend(told.revoked.into_iter().filter(|node| check_slug(node).is_ok()));
        if revoked.len() > REVOKED_MAX {
            return Err(format!("more than {REVOKED_MAX} nodes are revoked"));
        }
        let owner = Some(told.owner).filter(|owner| !owner.is_empty());
        let new = Self {
            revision: told.revision,
            voters,
            owner,
            epoch: told.epoch.into_iter().chain(self.epoch).max_by_key(order),
            covered: told.covered,
            away: told.away,
            recorded: told.recorded.into_iter().collect(),
            drill: told.drill,
            revoked,
            hosting: told.hosting.into_iter().take(HOSTING_MAX).collect(),
        };
        let changed = new != *self;
        *self = new;
        Ok(changed)
    }

    /// May a site that records `cameras` stop, and lose nothing that somebody else would record?
    pub(super) fn has_taken_over(&self, cameras: &BTreeSet<String>) -> bool {
        if self.away { cameras.is_subset(&self.recorded) } else { !self.covered }
    }
}

impl Member {
    fn read(voter: proto::Voter) -> Result<Self, String> {
        check_slug(&voter.node).map_err(|error| format!("a voter's name: {error}"))?;
        let addresses = voter.addresses.iter().take(ADDRESSES_MAX).map(|text| match text.parse() {
            Ok(address @ HubAddress::Fixed { .. }) => Ok(address),
            Ok(HubAddress::Srv(_)) => Err(format!("address `{text}` of {} has no port", voter.node)),
            Err(error) => Err(format!("address `{text}` of {}: {error}", voter.node)),
        });
        let mut addresses = addresses.collect::<Result<Vec<_>, _>>()?;
        addresses.dedup();
        Ok(Self { addresses, node: voter.node })
    }
}

/// In the order in which epochs follow each other.
fn order(epoch: &proto::Epoch) -> (u64, u64, u64) {
    (epoch.generation, epoch.salt, epoch.n)
}

#[derive(Serialize, Deserialize)]
struct File {
    format: u32,
    hub: String,
    revision: u64,
    voters: Vec<(String, Vec<String>)>,
    owner: Option<String>,
    epoch: Option<(u64, u64, u64)>,
    #[serde(default)]
    revoked: BTreeSet<String>,
}

/// Writes the file anew.
pub(super) fn save(path: &Path, hub: &HubAddress, roster: &Roster) -> io::Result<()> {
    let voter = |voter: &Member| {
        (voter.node.clone(), voter.addresses.iter().map(ToString::to_string).collect::<Vec<_>>())
    };
    let file = File {
        format: FORMAT,
        hub: hub.to_string(),
        revision: roster.revision,
        voters: roster.voters.iter().map(voter).collect(),
        owner: roster.owner.clone(),
        epoch: roster.epoch.as_ref().map(order),
        revoked: roster.revoked.clone(),
    };
    let beside = path.with_extension("new");
    std::fs::write(&beside, serde_json::to_vec(&file)?)?;
    std::fs::rename(&beside, path)
}

/// Reads the file, if there is one for the hub at `hub`.
pub(super) fn load(path: &Path, hub: &HubAddress) -> Option<Roster> {
    let file: File = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
    if file.format != FORMAT || file.hub != hub.to_string() {
        return None;
    }
    let voter = |(node, addresses)| proto::Voter { node, id: 0, addresses };
    let told = proto::Standing {
        revision: file.revision,
        voters: file.voters.into_iter().map(voter).collect(),
        owner: file.owner.unwrap_or_default(),
        epoch: file.epoch.map(|(generation, salt, n)| proto::Epoch { generation, salt, n }),
        revoked: file.revoked.into_iter().collect(),
        ..Default::default()
    };
    let mut roster = Roster::default();
    roster.take(told, true).ok().map(|_| roster)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hub() -> HubAddress {
        "hub.example.test:7443".parse().unwrap()
    }

    fn told(revision: u64, nodes: &[&str]) -> proto::Standing {
        let voter = |node: &&str| proto::Voter {
            node: (*node).to_owned(),
            id: 1,
            addresses: vec![format!("{node}.example.test:7443")],
        };
        proto::Standing {
            revision,
            voters: nodes.iter().map(voter).collect(),
            owner: nodes[0].to_owned(),
            epoch: Some(proto::Epoch { generation: 1, salt: 9, n: revision }),
            covered: true,
            ..Default::default()
        }
    }

    #[test]
    fn what_is_older_is_taken_from_the_session_only() {
        let mut roster = Roster::default();
        assert_eq!(roster.take(told(5, &["hub-1", "hub-2"]), false), Ok(true));
        assert_eq!(roster.take(told(5, &["hub-1", "hub-2"]), false), Ok(false));
        assert_eq!(roster.take(told(4, &["hub-3"]), false), Ok(false));
        assert_eq!(roster.voters.len(), 2);
        assert_eq!(roster.take(told(4, &["hub-3"]), true), Ok(true));
        assert_eq!(roster.owner.as_deref(), Some("hub-3"));
        assert_eq!(roster.epoch.unwrap().n, 5, "an epoch never falls");
    }

    #[test]
    fn a_site_goes_on_until_a_standby_records_what_it_records() {
        let cameras = BTreeSet::from(["till-1".to_owned(), "door-1".to_owned()]);
        let mut roster = Roster::default();
        assert!(roster.has_taken_over(&cameras), "nobody would");
        roster.take(told(1, &["hub-1"]), true).unwrap();
        assert!(!roster.has_taken_over(&cameras));
        let away = proto::Standing { away: true, covered: false, ..told(2, &["hub-1"]) };
        roster.take(away.clone(), true).unwrap();
        assert!(!roster.has_taken_over(&cameras), "it has authority, and records nothing yet");
        let some = proto::Standing { recorded: vec!["till-1".to_owned()], ..away };
        assert_eq!(roster.take(some.clone(), true), Ok(true));
        assert!(!roster.has_taken_over(&cameras));
        assert!(roster.has_taken_over(&BTreeSet::from(["till-1".to_owned()])));
        let all = proto::Standing { recorded: vec!["till-1".to_owned(), "door-1".to_owned()], ..some };
        roster.take(all, true).unwrap();
        assert!(roster.has_taken_over(&cameras));
    }

    #[test]
    fn what_makes_no_sense_changes_nothing() {
        let mut roster = Roster::default();
        roster.take(told(5, &["hub-1"]), true).unwrap();
        let before = roster.clone();
        let nobody = proto::Standing { revision: 6, ..Default::default() };
        let mut unnamed = told(6, &["Hub 1"]);
        let mut homeless = told(6, &["hub-1"]);
        homeless.voters[0].addresses = vec!["hub-1".to_owned()];
        unnamed.voters[0].addresses.clear();
        for wrong in [nobody, unnamed, homeless] {
            assert!(roster.take(wrong, true).is_err());
            assert_eq!(roster, before);
        }
    }

    #[test]
    fn what_is_saved_is_loaded_for_the_same_hub_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hub-voters");
        let mut roster = Roster::default();
        roster.take(told(5, &["hub-1", "hub-2"]), true).unwrap();
        save(&path, &hub(), &roster).unwrap();
        let loaded = load(&path, &hub()).unwrap();
        assert_eq!((loaded.revision, &loaded.voters, &loaded.owner), (5, &roster.voters, &roster.owner));
        assert_eq!(loaded.epoch, roster.epoch);
        assert!(!loaded.covered, "that is for whoever is there now to say");
        assert!(load(&path, &"other.example.test:7443".parse().unwrap()).is_none());
        let text = std::fs::read(&path).unwrap();
        for cut in 0..text.len() {
            std::fs::write(&path, &text[..cut]).unwrap();
            assert!(load(&path, &hub()).is_none(), "{cut}");
        }
    }

    #[test]
    fn a_revoked_node_stays_so_whatever_is_told_later_and_after_a_restart() {
        let mut roster = Roster::default();
        let revoking = proto::Standing { revoked: vec!["hub-3".to_owned()], ..told(4, &["hub-1", "hub-2"]) };
        assert_eq!(roster.take(revoking, false), Ok(true));
        assert_eq!(roster.take(told(5, &["hub-1", "hub-2", "hub-3"]), true), Ok(true));
        assert!(roster.revoked.contains("hub-3"));
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("voters");
        save(&file, &hub(), &roster).unwrap();
        assert_eq!(load(&file, &hub()).unwrap().revoked, roster.revoked);
        let many = (0..=REVOKED_MAX).map(|at| format!("old-{at}")).collect();
        assert!(roster.take(proto::Standing { revoked: many, ..told(6, &["hub-1"]) }, true).is_err());
    }
}
