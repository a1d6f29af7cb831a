//! The control log, as a model: one sequence of committed entries, and who leads.
//!
//! What a real log may do to the cores above it: a follower applies late; a leader is lost with proposals under
//! way, of which any beginning may turn out to be committed; one that was frozen or cut off believes in its
//! reign for a while after it ended; two sets of voters hold while they change. What it never does: lose a
//! committed entry, or let two leaders of one term commit. Elections take as long as real ones.

use std::collections::{BTreeSet, VecDeque};

use decide::NodeId;
use decide::control::{Command, Membership};
use wire::UnixMicros;

use super::HubIx;
use crate::event::Event;
use crate::reach::State;
use crate::time::{Time, ms};
use crate::world::World;

/// A committed entry.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Of which reign.
    pub term: u64,
    /// That leader's wall clock.
    pub time: UnixMicros,
    /// What was proposed; nothing in a leader's first entry.
    pub command: Option<Command>,
}

/// The log.
#[derive(Debug, Default)]
pub struct ControlLog {
    /// Committed.
    pub entries: Vec<Entry>,
    /// The latest reign.
    pub term: u64,
    /// Whose it is, while anybody's.
    pub leader: Option<HubIx>,
    /// The voters, as committed last.
    pub membership: Membership,
    /// Proposed to the leader and not committed.
    pub under_way: VecDeque<Entry>,
    /// When the last proposal under way is committed, if nothing comes between.
    pub busy_until: Time,
    /// Is an election coming?
    pub electing: bool,
}

impl World {
    /// Can these two hub nodes talk?
    fn talk(&self, a: HubIx, b: HubIx) -> bool {
        let (a, b) = (self.hub_node(a), self.hub_node(b));
        let awake = |node| self.stage.node(node).up && !self.stage.node(node).paused;
        awake(a) && awake(b) && (a == b || self.stage.net.flows(a, b))
    }

    /// Can it lead: does it reach a majority of every set of voters?
    fn can_lead(&self, hub: HubIx) -> bool {
        let reached: BTreeSet<NodeId> =
            self.hub_ixs().filter(|other| self.talk(hub, *other)).map(HubIx::id).collect();
        self.log.membership.contains(hub.id()) && self.log.membership.is_majority(&reached)
    }

    /// Does it reach a majority?
    pub fn leads(&self, hub: HubIx) -> bool {
        self.can_lead(hub)
    }

    /// One voter gives way to a node that never voted, if there is such a node: both sets hold for a while.
    pub fn replace_voter(&mut self) {
        let [voters] = self.log.membership.sets.as_slice() else { return };
        let fresh = self.hub_ixs().map(HubIx::id).find(|id| !self.voted.contains(id));
        let (Some(fresh), true) = (fresh, self.log.leader.is_some()) else { return };
        let gone = self.stage.chance.log.below(voters.len());
        let new = voters.iter().copied().enumerate().filter(|(index, _)| *index != gone).map(|(_, id)| id);
        let new: BTreeSet<NodeId> = new.chain([fresh]).collect();
        self.voted.insert(fresh);
        let joint = Membership::joint(voters.iter().copied(), new);
        self.propose_by_hand(Command::Membership(joint));
        let wait = self.stage.chance.log.span(ms(500), ms(20_000));
        self.stage.after(wait, Event::LeaveJoint);
    }

    /// The old set goes.
    pub fn leave_joint(&mut self) {
        if let [_, new] = self.log.membership.sets.as_slice() {
            let new = Membership::of(new.iter().copied());
            self.propose_by_hand(Command::Membership(new));
            self.stage.after(ms(5_000), Event::LeaveJoint);
        }
    }

    /// Something changed in who runs and who reaches whom.
    pub fn look_at_log(&mut self) {
        let viable = self.log.leader.is_some_and(|leader| self.can_lead(leader));
        if !viable && !self.log.electing {
            self.log.electing = true;
            let wait = self.stage.chance.log.span(ms(1_500), ms(3_000));
            self.stage.after(wait, Event::Elect { forced: false });
        }
        if viable && !self.log.under_way.is_empty() {
            let wait = self.stage.chance.log.span(ms(2), ms(30));
            self.stage.after(wait, Event::Commitment { term: self.log.term });
        }
        self.deliver();
        for hub in self.hub_ixs() {
            let stale = self.hubs[hub.index()].reign.is_some_and(|term| term < self.log.term);
            let leader = self.log.leader;
            if stale && leader.is_some_and(|leader| self.talk(hub, leader)) {
                let wait = self.stage.chance.log.span(ms(1), ms(50));
                self.stage.after(wait, Event::Depose { hub, term: self.log.term });
            } else if self.hubs[hub.index()].reign.is_some() && !self.can_lead(hub) {
                let wait = self.stage.chance.log.span(ms(3_000), ms(6_000));
                self.stage.after(wait, Event::QuorumLost { hub });
            }
        }
    }

    /// An election's time has come; forced ones happen although there is a leader.
    pub fn elect(&mut self, forced: bool) {
        self.log.electing = false;
        let leader = self.log.leader;
        if !forced && leader.is_some_and(|leader| self.can_lead(leader)) {
            return;
        }
        let able: Vec<HubIx> = self.hub_ixs().filter(|hub| self.can_lead(*hub)).collect();
        let others: Vec<HubIx> = able.iter().copied().filter(|hub| Some(*hub) != leader).collect();
        let candidates = if others.is_empty() { able } else { others };
        if candidates.is_empty() {
            self.log.leader = None;
            return; // whoever comes back looks again
        }
        let elected = *self.stage.chance.log.pick(&candidates);
        // Of what was under way, the new leader has any beginning.
        let kept = self.stage.chance.log.below(self.log.under_way.len() + 1);
        self.stage.reach.note_if(!self.log.under_way.is_empty(), State::OutcomeUnknown);
        let lost: Vec<_> = self.log.under_way.drain(..).collect();
        let open_round = lost.iter().any(|entry| matches!(entry.command, Some(Command::Verdict(_))));
        self.stage.reach.note_if(open_round || self.any_round_open(), State::LeaderLostInRound);
        for entry in lost.into_iter().take(kept) {
            self.append(entry);
        }
        self.log.term += 1;
        self.log.leader = Some(elected);
        self.log.busy_until = self.stage.now;
        let term = self.log.term;
        self.stage.turn(|| format!("h{} leads term {term}", elected.0));
        let time = self.wall_of(elected);
        self.append(Entry { term, time, command: None });
        self.look_at_log();
    }

    /// A command is proposed by a node to the leader it knows; without one, or out of its reach, it is dropped.
    pub fn propose(&mut self, from: HubIx, command: Command) {
        let Some(leader) = self.log.leader.filter(|leader| self.talk(from, *leader)) else { return };
        let (a, b) = (self.hub_node(from), self.hub_node(leader));
        let wait = self.stage.net.delay(a, b);
        self.propose_again(&command);
        let proposal = Box::new((leader, command));
        self.stage.after(wait, Event::Proposed { proposal });
    }

    /// The leader, if it still is one, appends.
    pub fn proposed(&mut self, leader: HubIx, command: Command) {
        if self.log.leader != Some(leader) {
            return;
        }
        let entry = Entry { term: self.log.term, time: self.wall_of(leader), command: Some(command) };
        self.log.under_way.push_back(entry);
        let wait = self.stage.chance.log.span(ms(3), ms(25));
        self.log.busy_until = (self.stage.now + wait).max(self.log.busy_until);
        let term = self.log.term;
        self.stage.queue.put(self.log.busy_until, Event::Commitment { term });
    }

    /// A majority has the oldest proposal, if the leader reaches one.
    pub fn commitment(&mut self, term: u64) {
        let leads = self.log.leader.is_some_and(|leader| self.can_lead(leader));
        if term == self.log.term && leads {
            if let Some(entry) = self.log.under_way.pop_front() {
                self.append(entry);
            }
            self.deliver();
        }
    }

    fn append(&mut self, entry: Entry) {
        if let Some(Command::Membership(membership)) = &entry.command {
            self.log.membership = membership.clone();
        }
        self.log.entries.push(entry);
    }

    /// Lets every node that lags apply, if the leader reaches it.
    fn deliver(&mut self) {
        let Some(leader) = self.log.leader else { return };
        let end = self.log.entries.len();
        for hub in self.hub_ixs() {
            let state = &self.hubs[hub.index()];
            if state.applied < end && state.told_of < end && self.talk(hub, leader) {
                let (a, b) = (self.hub_node(leader), self.hub_node(hub));
                let late = self.stage.chance.log.permille(self.stage.params.late_permille);
                let lag = if late { self.stage.chance.log.span(ms(50), ms(3_000)) } else { ms(0) };
                self.stage.reach.note_if(late, State::LateFollower);
                let wait = self.stage.net.delay(a, b) + lag;
                self.hubs[hub.index()].told_of = end;
                let life = self.stage.node(b).life;
                self.stage.after(wait, Event::Apply { hub, life, end });
            }
        }
    }

    /// Hub nodes.
    pub fn hub_ixs(&self) -> impl Iterator<Item = HubIx> + use<> {
        (0..u8::try_from(self.hubs.len()).unwrap_or(u8::MAX)).map(HubIx)
    }

    fn wall_of(&self, hub: HubIx) -> UnixMicros {
        self.stage.node(self.hub_node(hub)).clock.wall(self.stage.now)
    }
}
