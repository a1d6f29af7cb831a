//! What an outsider sees of decisions: the log as it was applied first, and what followed from it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use decide::control::{Command, Event, Membership, Refusal};
use decide::{Epoch, HostId, NodeId, SiteId};

use crate::control::HubIx;
use crate::control::log::Entry;
use crate::invariants::{Invariant, authority, majority};
use crate::reach::State;
use crate::time::Time;
use crate::world::World;

/// What was seen.
#[derive(Debug, Default)]
pub struct Watched {
    /// What each entry of the log did where it was applied first.
    pub applied: Vec<Result<Vec<Event>, Refusal>>,
    /// Who was given which epoch.
    pub given: BTreeMap<(SiteId, Epoch), HostId>,
    /// The highest epoch of each site.
    pub highest: BTreeMap<SiteId, Epoch>,
    /// The last round of each site, as the log itself tells it.
    pub rounds: BTreeMap<SiteId, majority::Round>,
    /// The voters, as the log itself tells them.
    pub membership: Membership,
    /// Nodes that vote or voted.
    pub voted: BTreeSet<NodeId>,
    /// The last effect that was let through, for each site.
    pub accepted: Vec<Option<(Epoch, HostId)>>,
    /// Recorders that died with nothing in the way of a take-over, and when.
    pub deaths: BTreeMap<SiteId, Time>,
    /// How long the take-overs of such took.
    pub takeovers: Vec<Duration>,
    /// When authority last left home, for each site.
    pub left_home: BTreeMap<SiteId, Time>,
    /// When authority last left it, however it went on.
    pub last_left: BTreeMap<SiteId, Time>,
    /// How often it did.
    pub activations: u64,
    /// How often it left a recorder that lived.
    pub needless: u64,
}

impl World {
    /// A node applied an entry of the log.
    pub fn note_applied(
        &mut self,
        hub: HubIx,
        index: usize,
        entry: &Entry,
        applied: &Result<Vec<Event>, Refusal>,
    ) {
        while self.watched.applied.len() < index {
            self.watched.applied.push(Ok(Vec::new())); // a leader's first entry
        }
        if let Some(first) = self.watched.applied.get(index) {
            if first != applied {
                let what =
                    format!("h{} applied entry {index} and got {applied:?}, another got {first:?}", hub.0);
                self.stage.violate(Invariant::Authority, what);
            }
            return;
        }
        self.watched.applied.push(applied.clone());
        let Some(command) = &entry.command else { return };
        self.stage.tell(|| match applied {
            Ok(events) => format!("log {index}: {} -> {}", brief(command), brief_events(events)),
            Err(refusal) => format!("log {index}: {} refused: {refusal}", brief(command)),
        });
        for event in applied.as_deref().unwrap_or_default() {
            if let Some(turn) = crate::story::turn(event) {
                self.stage.turn(|| turn);
            }
        }
        self.note_reached(command, applied);
        majority::follow(&mut self.watched, index, entry, command, applied.is_ok());
        self.hurry(applied.as_deref().unwrap_or_default());
        for event in applied.as_deref().unwrap_or_default() {
            if let Event::Authority { site, epoch, host, why } = event {
                authority::check(&mut self.stage, &mut self.watched, (site, *epoch, host));
                majority::check(&mut self.stage, &self.watched, entry.term, site, why);
                self.note_moved(site, host);
            }
        }
    }

    fn note_reached(&mut self, command: &Command, applied: &Result<Vec<Event>, Refusal>) {
        let reach = &mut self.stage.reach;
        match command {
            Command::Heard { site, .. } => {
                let away = self.watched.left_home.contains_key(site);
                reach.note_if(applied.is_err() && away, State::HeardAfterVerdict);
            }
            Command::Verdict(_) => reach.note_if(applied.is_err(), State::VerdictRefused),
            Command::Membership(membership) => {
                let open = self.watched.rounds.values().any(|round| round.open);
                reach.note_if(membership.sets.len() > 1 && open, State::JointDuringRound);
            }
            Command::Suspect { .. } => {
                reach.note_if(self.watched.membership.sets.len() > 1, State::JointDuringRound);
            }
            _ => {}
        }
        for event in applied.as_deref().unwrap_or_default() {
            match event {
                Event::Armed { .. } => reach.note(State::Armed),
                Event::Stage { from, to, .. } if from == to => reach.note(State::StandbyMoved),
                Event::Stage { to: decide::standby::Stage::Failback, .. } => reach.note(State::Failback),
                Event::CallPerson(decide::control::Call::ManyDark { .. }) => reach.note(State::ManyDark),
                Event::Assisting { cameras, .. } => reach.note_if(!cameras.is_empty(), State::Assisting),
                _ => {}
            }
        }
    }

    /// Authority moved.
    fn note_moved(&mut self, site: &SiteId, host: &HostId) {
        let now = self.stage.now;
        let home = self.names.homes.contains(host);
        if home {
            self.watched.left_home.remove(site);
            return;
        }
        if let Some(died) = self.watched.deaths.remove(site) {
            self.watched.takeovers.push(now.since(died));
        }
        if !self.watched.left_home.contains_key(site) {
            self.watched.activations += 1;
            self.watched.left_home.insert(site.clone(), now);
            self.look_at_activation(site);
        }
    }
}

impl World {
    /// Authority leaves home: too soon after the last time? Away from a recorder that lives?
    fn look_at_activation(&mut self, site: &SiteId) {
        let now = self.stage.now;
        let before = self.watched.last_left.insert(site.clone(), now);
        let window = self.stage.params.active_min;
        if let Some(before) =
            before.filter(|before| now.since(*before) < window && self.stage.params.backoff_holds)
        {
            let what = format!("{site} was activated at {before}, and again within {window:?}");
            self.stage.violate(Invariant::Backoff, what);
        }
        let home = self.stage.node(self.names.site(site).node());
        self.watched.needless += u64::from(home.up && !home.paused);
    }
}

/// A command, in few words.
fn brief(command: &Command) -> String {
    let text = format!("{command:?}");
    text.chars().take(150).collect()
}

fn brief_events(events: &[Event]) -> String {
    let text = format!("{events:?}");
    text.chars().take(200).collect()
}
