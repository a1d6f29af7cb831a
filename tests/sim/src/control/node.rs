//! The shell around one hub node's cores: it hands them what happens, and carries out what they want.

use decide::control::{Command, State};
use decide::quorum::{Node, Output};
use decide::standby::{Prober, Runner};
use decide::{Boot, Term};

use super::HubIx;
use crate::event::Event;
use crate::node::{NodeIx, SiteIx};
use crate::reach::State as Reached;
use crate::time::{Time, micros};
use crate::world::World;

/// A hub node.
#[derive(Debug)]
pub struct HubNode {
    /// The log as far as this node has applied it. It survives a crash: a real one replays it.
    pub state: State,
    /// How many entries that is.
    pub applied: usize,
    /// How many it is about to have.
    pub told_of: usize,
    /// The reign it believes to hold.
    pub reign: Option<u64>,
    /// The real core, while the process runs.
    pub core: Option<Node>,
    /// When it is to be woken.
    pub wake: Time,
    /// Its standby for each site.
    pub runners: Vec<Runner>,
    /// What it sees of each site's cameras.
    pub probers: Vec<Prober>,
    /// For which sites it keeps asking the cameras.
    pub probing: Vec<bool>,
}

impl World {
    /// The machine of a hub node.
    pub fn hub_node(&self, hub: HubIx) -> NodeIx {
        NodeIx::at(self.stage.params.sites + hub.index())
    }

    /// The hub node of a machine, if it is one.
    pub fn hub_of(&self, node: NodeIx) -> Option<HubIx> {
        let index = node.index().checked_sub(self.stage.params.sites)?;
        Some(HubIx(u8::try_from(index).unwrap_or(u8::MAX)))
    }

    /// What a machine's boot clock tells.
    pub fn boot(&self, node: NodeIx) -> Boot {
        Boot(micros(self.stage.node(node).clock.boot(self.stage.now)))
    }

    /// A hub node's process starts: its cores know nothing but the log.
    pub fn start_hub(&mut self, hub: HubIx) {
        let node = self.hub_node(hub);
        let now = self.boot(node);
        let seed = self.stage.chance.hub.seed();
        let names = &self.names;
        let host = names.hosts[hub.index()].clone();
        let settings = self.stage.params.runner.clone();
        let state = &mut self.hubs[hub.index()];
        let runner = |site: &decide::SiteId| Runner::new(site.clone(), host.clone(), settings.clone());
        let break_after = self.stage.params.probe_every * 2;
        let prober =
            |site: &decide::SiteId| Prober::new(site.clone(), host.clone(), names.path.clone(), break_after);
        state.runners = names.sites.iter().map(runner).collect();
        state.probers = names.sites.iter().map(prober).collect();
        state.probing = vec![false; names.sites.len()];
        state.told_of = state.applied;
        state.wake = Time::NEVER;
        let mut core = Node::new(hub.id(), self.stage.params.settings.clone(), now, seed);
        core.handle_applied(now, &state.state, &[]);
        state.core = Some(core);
        self.follow_log(hub);
        self.drain(hub);
    }

    /// It dies.
    pub fn stop_hub(&mut self, hub: HubIx) {
        let host = &self.names.hosts[hub.index()];
        let state = &self.hubs[hub.index()];
        let in_failback = state.state.sites().values().any(
            |site| matches!(&site.life, decide::standby::Life::Failback { host: there, .. } if there == host),
        );
        self.stage.reach.note_if(in_failback, Reached::StandbyDeadInFailback);
        let state = &mut self.hubs[hub.index()];
        state.core = None;
        state.reign = None;
        state.wake = Time::NEVER;
        if self.log.leader == Some(hub) {
            self.log.leader = None; // however soon it is back: it has to be elected again
        }
    }

    /// Does something with a hub node's core, and carries out what it wants.
    pub fn with_core(&mut self, hub: HubIx, act: impl FnOnce(&mut Node, Boot, &State)) {
        let now = self.boot(self.hub_node(hub));
        let state = &mut self.hubs[hub.index()];
        let Some(core) = &mut state.core else { return };
        act(core, now, &state.state);
        self.drain(hub);
    }

    fn drain(&mut self, hub: HubIx) {
        while let Some(output) = self.hubs[hub.index()].core.as_mut().and_then(Node::poll_output) {
            match output {
                Output::Propose(command) => self.propose(hub, command),
                Output::Hint(hint) => {
                    let Some(leader) = self.log.leader else { continue };
                    let (a, b) = (self.hub_node(hub), self.hub_node(leader));
                    let [Some(delay), _] = self.stage.net.datagram(a, b, false) else { continue };
                    self.stage.after(delay, Event::Hint { to: leader, from: hub, hint: Box::new(hint) });
                }
                Output::AskPeers { .. } => {} // no peers here: a relay can only close a round
                Output::Told(telling) => {
                    self.stage.tell(|| format!("h{} reads {}: {:?}", hub.0, telling.site, telling.line));
                }
            }
        }
        self.wake_later(hub);
    }

    /// Lets the core be woken when it wants to.
    fn wake_later(&mut self, hub: HubIx) {
        let node = self.hub_node(hub);
        let state = &mut self.hubs[hub.index()];
        let Some(core) = &state.core else { return };
        let machine = &self.stage.nodes[node.index()];
        let at = machine.clock.when(std::time::Duration::from_micros(core.poll_timeout().0));
        let at = at.max(self.stage.now);
        if at < state.wake {
            state.wake = at;
            self.stage.queue.put(at, Event::Wake { hub, life: machine.life });
        }
    }

    /// Its time has come, unless it was woken otherwise.
    pub fn woken(&mut self, hub: HubIx) {
        if self.stage.now < self.hubs[hub.index()].wake {
            return;
        }
        self.hubs[hub.index()].wake = Time::NEVER;
        self.with_core(hub, |core, now, state| core.handle_timeout(now, state));
    }

    /// Entries of the log arrive.
    pub fn apply_log(&mut self, hub: HubIx, end: usize) {
        while self.hubs[hub.index()].applied < end {
            self.apply_next(hub);
        }
        self.follow_log(hub);
        self.look_at_log();
    }

    fn apply_next(&mut self, hub: HubIx) {
        let index = self.hubs[hub.index()].applied;
        self.hubs[hub.index()].applied += 1;
        let entry = self.log.entries[index].clone();
        let Some(command) = &entry.command else {
            return self.reign_begins(hub, entry.term);
        };
        let stamp =
            decide::control::Stamp { index: index as u64 + 1, term: Term(entry.term), time: entry.time };
        let state = &mut self.hubs[hub.index()].state;
        let applied = state.apply(stamp, command);
        self.note_applied(hub, index, &entry, &applied);
        let events = applied.unwrap_or_default();
        self.with_core(hub, |core, now, state| core.handle_applied(now, state, &events));
    }

    /// A leader's first entry: who leads acts from here on, who led no more.
    fn reign_begins(&mut self, hub: HubIx, term: u64) {
        let leads = self.log.leader == Some(hub) && self.log.term == term;
        self.hubs[hub.index()].reign = leads.then_some(term);
        self.with_core(hub, |core, now, _| core.handle_leadership(now, leads.then_some(Term(term))));
    }

    /// A node that led learns that it does not.
    pub fn deposed(&mut self, hub: HubIx, term: u64) {
        let state = &mut self.hubs[hub.index()];
        if state.reign.is_some_and(|reign| reign < term) {
            state.reign = None;
            self.with_core(hub, |core, now, _| core.handle_leadership(now, None));
        }
    }

    /// A leader that reaches no majority gives up by itself.
    pub fn quorum_lost(&mut self, hub: HubIx) {
        let reaches = self.log.leader == Some(hub) && self.leads(hub);
        if reaches || self.hubs[hub.index()].reign.take().is_none() {
            return;
        }
        self.with_core(hub, |core, now, _| core.handle_leadership(now, None));
        if self.log.leader == Some(hub) {
            self.log.leader = None; // whatever it reaches a moment later: it has to be elected again
            self.look_at_log();
        }
    }

    /// Is a round open, as far as anybody knows?
    pub fn any_round_open(&self) -> bool {
        self.hubs.iter().any(|hub| hub.state.sites().values().any(|site| site.round.is_some()))
    }

    /// The state of the node that has applied most.
    pub fn newest_state(&self) -> &State {
        let newest = self.hubs.iter().max_by_key(|hub| hub.applied);
        newest.map_or_else(|| unreachable!("there is at least one hub node"), |hub| &hub.state)
    }

    /// Somebody proposes something outside of the cores: a person, or the log itself.
    pub fn propose_by_hand(&mut self, command: Command) {
        if let Some(leader) = self.log.leader {
            self.proposed(leader, command);
        }
    }

    /// Every site.
    pub fn site_ixs(&self) -> impl Iterator<Item = SiteIx> + use<> {
        (0..u8::try_from(self.sites.len()).unwrap_or(u8::MAX)).map(SiteIx)
    }
}
