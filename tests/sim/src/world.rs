//! Everything in a run, and what happens when an event's time has come.

use std::collections::BTreeSet;
use std::time::Duration;

use decide::enforcer::Gate;
use decide::{NodeId, Rules};
use wire::VaultId;
use wire::proto::GapCause;

use crate::chance::Chance;
use crate::conn::End;
use crate::control::log::{ControlLog, Entry};
use crate::control::node::HubNode;
use crate::control::{HubIx, Names, setup};
use crate::event::Event;
use crate::fault::{Planned, text};
use crate::invariants::recording::Slack;
use crate::invariants::{Invariant, acked, coverage, equal, recording};
use crate::model::camera::Camera;
use crate::model::clock::Clock;
use crate::model::net::{Direction, Net};
use crate::mutant::Mutant;
use crate::node::{Node, NodeIx, SiteIx};
use crate::oracle::Oracle;
use crate::params::Params;
use crate::place::archive::Archive;
use crate::place::{Place, PlaceIx, Site};
use crate::queue::Queue;
use crate::reach::{Reach, State};
use crate::stage::{Chances, Stage};
use crate::time::{Time, ms};
use crate::trace::Trace;
use crate::vault::{Vault, VaultIx};
use crate::watched::Watched;

/// How long a camera keeps a session that nobody reads.
const CAMERA_PATIENCE: Duration = Duration::from_secs(10);

/// A run.
#[derive(Debug)]
pub struct World {
    /// What all act on.
    pub stage: Stage,
    /// Sites and their cameras.
    pub sites: Vec<Site>,
    /// Virtual servers on hosts: the sites' homes first.
    pub places: Vec<Place>,
    /// A vault for each site.
    pub vaults: Vec<Vault>,
    /// What goes wrong.
    pub plan: Vec<Planned>,
    /// Hub nodes.
    pub hubs: Vec<HubNode>,
    /// The control log.
    pub log: ControlLog,
    /// Nodes that vote or voted.
    pub voted: BTreeSet<NodeId>,
    /// Names for the cores.
    pub names: Names,
    /// The gate at the hub's edge, for each site.
    pub gates: Vec<Gate>,
    /// What an outsider sees of decisions.
    pub watched: Watched,
    /// When a fault last began or ended.
    pub disturbed_at: Time,
    /// Faults of the plan that last at present.
    pub active: BTreeSet<usize>,
    /// When recording was over.
    pub stopped_at: Time,
    done: bool,
}

impl World {
    /// Sets a run up.
    pub fn new(params: Params, plan: Vec<Planned>, mutant: Option<Mutant>, trace: bool) -> Self {
        let seed = params.seed;
        let mut setup = Chance::of(seed, "setup");
        let machines = params.sites + params.hubs;
        let drift = |chance: &mut Chance| i64::try_from(chance.between(0, 200)).unwrap_or(0) - 100;
        let nodes = (0..machines).map(|index| {
            Node::new(text::node_name(NodeIx::at(index), params.sites), Clock::new(drift(&mut setup)))
        });
        let mut stage = Stage {
            nodes: nodes.collect(),
            net: network(&params),
            mutant,
            now: Time::ZERO,
            zero: wire::clock::now(),
            queue: Queue::default(),
            conns: Vec::new(),
            open_conns: Vec::new(),
            chance: Chances {
                net: Chance::of(seed, "delays"),
                disk: Chance::of(seed, "disks"),
                record: Chance::of(seed, "recorders"),
                hub: Chance::of(seed, "hub"),
                log: Chance::of(seed, "log"),
            },
            oracle: Oracle::default(),
            reach: Reach::default(),
            trace: Trace::new(trace),
            violations: Vec::new(),
            params,
        };
        let params = &stage.params;
        let site_ixs = (0..params.sites).map(|index| SiteIx(u8::try_from(index).unwrap_or(u8::MAX)));
        let sites = site_ixs.clone().map(|_| Site {
            cameras: (0..params.cameras).map(|_| Camera::new(params.camera_sessions)).collect(),
            downs: vec![0; params.cameras],
            refused: vec![Vec::new(); params.cameras],
        });
        let places = site_ixs.clone().map(|site| Place {
            site,
            node: site.node(),
            archive: Archive::default(),
            snapshot: None,
            restores: 0,
            run: None,
        });
        let owner = |site: SiteIx| NodeIx::at(params.sites + site.index() % params.hubs);
        let vaults = site_ixs.map(|site| {
            let mut vault = Vault::new(site, owner(site), VaultId(setup.id()));
            vault.store.over_holes = mutant == Some(Mutant::Ranges);
            vault
        });
        let (sites, places, vaults) = (sites.collect(), places.collect(), vaults.collect());
        for (index, planned) in plan.iter().enumerate() {
            stage.queue.put(planned.at, Event::Fault(index));
        }
        stage.queue.put(Time::ZERO + stage.params.faulty, Event::Quiet);
        let end = Time::ZERO + stage.params.length();
        stage.queue.put(end - stage.params.still, Event::Still);
        let params = &stage.params;
        let names = Names::new(params.sites, params.hubs, params.cameras);
        let rules = mutant.and_then(Mutant::rule).map_or_else(Rules::default, Rules::without);
        let hub = |_| HubNode {
            state: decide::control::State::default().with_rules(rules),
            applied: 0,
            told_of: 0,
            reign: None,
            core: None,
            wake: Time::NEVER,
            runners: Vec::new(),
            probers: Vec::new(),
            probing: Vec::new(),
        };
        let hubs = (0..params.hubs).map(hub).collect();
        let gates = (0..params.sites).map(|_| Gate::with_rules(rules)).collect();
        let watched = Watched { accepted: vec![None; params.sites], ..Watched::default() };
        let mut world = Self {
            stage,
            sites,
            places,
            vaults,
            plan,
            hubs,
            log: ControlLog::default(),
            voted: BTreeSet::new(),
            names,
            gates,
            watched,
            disturbed_at: Time::ZERO,
            active: BTreeSet::new(),
            stopped_at: Time::NEVER,
            done: false,
        };
        let params = world.stage.params.clone();
        world.stage.tell(|| format!("{params:?}"));
        world.begin_log();
        for node in 0..machines {
            world.stage.nodes[node].up = false;
            world.start_process(NodeIx::at(node));
        }
        for hub in world.hub_ixs() {
            let end = world.log.entries.len();
            world.apply_log(hub, end);
        }
        world
    }

    /// The log as it is when the run begins: applied everywhere, and led by the first node.
    fn begin_log(&mut self) {
        let commands = setup::commands(&self.stage.params, &self.names);
        self.log.term = 1;
        self.log.leader = Some(HubIx(0));
        let time = self.stage.nodes[0].clock.wall(Time::ZERO);
        for command in commands {
            if let decide::control::Command::Membership(membership) = &command {
                self.log.membership = membership.clone();
                self.voted = membership.voters();
            }
            self.log.entries.push(Entry { term: 1, time, command: Some(command) });
        }
        self.log.entries.push(Entry { term: 1, time, command: None });
    }

    /// Lets everything happen, up to the end or the first broken rule.
    pub fn run(&mut self) {
        while !self.done && self.stage.violations.is_empty() {
            let Some((at, event)) = self.stage.queue.take() else { return };
            self.stage.now = at;
            self.handle(event);
        }
    }

    /// The vault of a site.
    pub fn vault_of(&self, site: SiteIx) -> VaultIx {
        VaultIx(site.0)
    }

    /// A place, for people.
    pub fn name_of(&self, ix: PlaceIx) -> String {
        let place = &self.places[ix.index()];
        self.stage.node(place.node).name.clone()
    }

    /// Whose process an event is for, and of which life, if it matters.
    fn addressee(&self, event: &Event) -> Option<(NodeIx, Option<u32>)> {
        let place = |ix: &PlaceIx| self.places[ix.index()].node;
        let vault = |ix: &VaultIx| self.vaults[ix.index()].node;
        match event {
            Event::Connect { place: ix, life, .. }
            | Event::Fragment { place: ix, life, .. }
            | Event::Synced { place: ix, life, .. }
            | Event::Commit { place: ix, life }
            | Event::Dial { place: ix, life }
            | Event::Beat { place: ix, life }
            | Event::EpochTold { place: ix, life, .. }
            | Event::Connected { place: ix, life, .. } => Some((place(ix), Some(*life))),
            Event::ProbeDone { hub, life, .. }
            | Event::Step { hub, life, .. }
            | Event::Wake { hub, life }
            | Event::Apply { hub, life, .. } => Some((self.hub_node(*hub), Some(*life))),
            Event::BeatArrives { hub, .. }
            | Event::AnswersArrive { hub, .. }
            | Event::Hint { to: hub, .. }
            | Event::Depose { hub, .. }
            | Event::QuorumLost { hub } => Some((self.hub_node(*hub), None)),
            Event::Effect { node, life, .. } => Some((*node, Some(*life))),
            Event::Journal { vault: ix, life }
            | Event::Index { vault: ix, life }
            | Event::Assembled { vault: ix, life, .. } => Some((vault(ix), Some(*life))),
            Event::ToHub { conn, .. } => Some((self.stage.conns[conn.0 as usize].hub_node, None)),
            Event::ToSite { conn, .. } => Some((self.stage.conns[conn.0 as usize].site_node, None)),
            Event::Idle { conn, end } => {
                let conn = &self.stage.conns[conn.0 as usize];
                Some((if *end == End::Site { conn.site_node } else { conn.hub_node }, None))
            }
            Event::Fault(_)
            | Event::Heal(_)
            | Event::Quiet
            | Event::Still
            | Event::Finish
            | Event::Start(_)
            | Event::Proposed { .. }
            | Event::ProposedAgain { .. }
            | Event::Hasty { .. }
            | Event::Commitment { .. }
            | Event::Elect
            | Event::LeaveJoint
            | Event::EffectArrives { .. }
            | Event::CamerasGiveUp { .. }
            | Event::TakeoverDue { .. } => None,
        }
    }

    fn handle(&mut self, event: Event) {
        if let Some((node, life)) = self.addressee(&event) {
            let machine = self.stage.node_mut(node);
            if life.is_some_and(|life| !machine.up || machine.life != life) {
                return;
            }
            if machine.paused {
                return machine.deferred.push(event);
            }
        }
        match event {
            Event::Fault(index) => self.fault_begins(index),
            Event::Heal(index) => self.fault_ends(index),
            Event::Quiet => self.quiet(),
            Event::Still => self.still(),
            Event::Finish => self.finish(),
            Event::Start(node) => self.start_process(node),
            Event::Connect { place, stream, .. } => self.connect_camera(place, stream.into()),
            Event::Fragment { place, stream, session, .. } => {
                self.fragment_ends(place, stream.into(), session)
            }
            Event::Synced { place, stream, sync, .. } => {
                self.file_synced(place, stream.into(), sync.0, sync.1)
            }
            Event::Commit { place, .. } => self.commit_step(place),
            Event::Dial { place, .. } => self.dial(place),
            Event::Connected { place, hub_life, .. } => self.connected(place, hub_life),
            Event::ToHub { conn, lane } => {
                if let Some(message) = self.stage.arrives_up(conn, lane) {
                    self.hub_hears(conn, message);
                }
            }
            Event::ToSite { conn } => {
                if let Some(message) = self.stage.arrives_down(conn) {
                    self.site_hears(conn, message);
                }
            }
            Event::Idle { conn, end } => {
                if self.stage.is_idle(conn, end) {
                    let one_sided = self.stage.conns[conn.0 as usize].site_open
                        && self.stage.conns[conn.0 as usize].hub_open;
                    self.stage.reach.note_if(one_sided, State::OneSided);
                    match end {
                        End::Site => self.uplink_lost(conn),
                        End::Hub => self.downlink_lost(conn),
                    }
                }
            }
            Event::Beat { place, .. } => self.beat(place),
            Event::BeatArrives { hub, message } => self.beat_arrives(hub, &message),
            Event::EpochTold { place, told, .. } => self.epoch_told(place, told.0, told.1),
            Event::ProbeDone { hub, site, reached, .. } => self.probe_done(hub, site, reached),
            Event::AnswersArrive { hub, answers } => self.answers_arrive(hub, &answers),
            Event::Step { hub, site, .. } => self.next_camera(hub, site),
            Event::Wake { hub, .. } => self.woken(hub),
            Event::Hint { to, from, hint } => {
                self.with_core(to, |core, now, _| core.handle_hint(now, from.id(), &hint));
            }
            Event::Proposed { proposal } => self.proposed(proposal.0, proposal.1),
            Event::ProposedAgain { command } => self.propose_by_hand(*command),
            Event::Hasty { site } => self.hasty_verdict(site),
            Event::Commitment { term } => self.commitment(term),
            Event::Apply { hub, end, .. } => self.apply_log(hub, end),
            Event::Elect => self.elect(false),
            Event::Depose { hub, term } => self.deposed(hub, term),
            Event::QuorumLost { hub } => self.quorum_lost(hub),
            Event::LeaveJoint => self.leave_joint(),
            Event::Effect { node, site, .. } => self.effect(node, site),
            Event::EffectArrives { node, site, epoch } => self.effect_arrives(node, site, *epoch),
            Event::CamerasGiveUp { node, life } => self.cameras_give_up(node, life),
            Event::TakeoverDue { site, died } => self.takeover_due(site, died),
            Event::Journal { vault, .. } => self.journal_synced(vault),
            Event::Index { vault, .. } => self.index_synced(vault),
            Event::Assembled { vault, assembly, .. } => self.assembled(vault, *assembly),
        }
    }

    /// A process starts, unless something keeps it down.
    pub fn start_process(&mut self, node: NodeIx) {
        let now = self.stage.now;
        let machine = self.stage.node_mut(node);
        if machine.up || machine.downs > 0 {
            return;
        }
        machine.up = true;
        machine.life += 1;
        machine.ran.push((now, Time::NEVER));
        let name = machine.name.clone();
        self.stage.tell(|| format!("{name} starts"));
        let cameras: Vec<usize> = (0..self.stage.params.cameras).collect();
        for index in 0..self.places.len() {
            if self.places[index].node == node {
                let home = self.places[index].site.node() == node;
                let cameras = if home { cameras.as_slice() } else { &[] };
                self.start_run(PlaceIx(u16::try_from(index).unwrap_or(u16::MAX)), cameras);
            }
        }
        if let Some(hub) = self.hub_of(node) {
            self.start_hub(hub);
        }
        self.disturbed();
        self.look_at_log();
        for index in 0..self.vaults.len() {
            if self.vaults[index].node == node {
                acked::check(&mut self.stage, &self.vaults[index]);
            }
        }
    }

    /// A process dies, with its machine's power or without.
    pub fn stop_process(&mut self, node: NodeIx, power: bool) {
        let now = self.stage.now;
        let machine = self.stage.node_mut(node);
        if !machine.up {
            return;
        }
        let was_paused = std::mem::replace(&mut machine.paused, false);
        machine.up = false;
        machine.deferred.clear();
        if power {
            machine.clock.reboot(now);
        }
        if let Some(ran) = machine.ran.last_mut().filter(|_| !was_paused) {
            ran.1 = now;
        }
        for index in 0..self.places.len() {
            if self.places[index].node == node {
                self.end_run(PlaceIx(u16::try_from(index).unwrap_or(u16::MAX)), power);
            }
        }
        if let Some(hub) = self.hub_of(node) {
            self.stop_hub(hub);
        }
        for index in 0..self.vaults.len() {
            if self.vaults[index].node == node {
                self.end_vault(VaultIx(u8::try_from(index).unwrap_or(u8::MAX)), power);
            }
        }
    }

    /// A process is frozen.
    pub fn pause(&mut self, node: NodeIx) {
        let now = self.stage.now;
        let machine = self.stage.node_mut(node);
        machine.pauses += 1;
        let life = machine.life;
        if machine.up && !machine.paused {
            self.stage.queue.put(now + CAMERA_PATIENCE, Event::CamerasGiveUp { node, life });
            let machine = self.stage.node_mut(node);
            machine.paused = true;
            if let Some(ran) = machine.ran.last_mut() {
                ran.1 = now;
            }
        }
    }

    /// Cameras don't send to a frozen recorder for ever.
    fn cameras_give_up(&mut self, node: NodeIx, life: u32) {
        let machine = self.stage.node(node);
        if machine.life != life || !machine.paused {
            return;
        }
        for place in self.places.iter_mut().filter(|place| place.node == node) {
            for stream in place.run.iter_mut().flat_map(|run| &mut run.streams) {
                if let Some(on) = &mut stream.on {
                    self.sites[place.site.index()].cameras[stream.camera].close_session(on.falls);
                    on.falls = u32::MAX; // that session is no more
                }
            }
        }
    }

    /// It goes on: what waited happens now. Cameras have long given up on it.
    pub fn resume(&mut self, node: NodeIx) {
        let now = self.stage.now;
        let machine = self.stage.node_mut(node);
        if !std::mem::replace(&mut machine.paused, false) {
            return;
        }
        let since = machine.ran.last().map_or(now, |ran| ran.1);
        machine.ran.push((now, Time::NEVER));
        for event in std::mem::take(&mut self.stage.node_mut(node).deferred) {
            self.stage.queue.put(now, event);
        }
        for index in 0..self.places.len() {
            if self.places[index].node != node {
                continue;
            }
            let streams = self.places[index].run.as_ref().map_or(0, |run| run.streams.len());
            for stream in 0..streams {
                let ix = PlaceIx(u16::try_from(index).unwrap_or(u16::MAX));
                self.stage.reach.note(State::PausedWhileRecording);
                self.stream_ends(ix, stream, since, GapCause::LostPackets);
            }
        }
    }

    /// All faults end.
    fn quiet(&mut self) {
        self.stage.turn(|| "-- quiet".to_owned());
        self.thaw();
        for index in self.active.clone() {
            self.fault_ends(index);
        }
    }

    /// A person looks at what is frozen, until nothing is.
    fn thaw(&mut self) {
        let sites = self.newest_state().frozen().clone();
        if !sites.is_empty() {
            let by = Some("operator".to_owned());
            self.propose_by_hand(decide::control::Command::Thaw { sites, by });
        }
    }

    /// Every recorder stops, so that nothing is under way when everything is looked at. Authority has come to
    /// rest before.
    fn still(&mut self) {
        if let Some(what) = self.unsettled() {
            if self.stage.now < Time::ZERO + self.stage.params.length() + self.stage.params.patience {
                self.thaw();
                return self.stage.after(self.stage.params.still, Event::Still);
            }
            self.stage.violate(Invariant::Settled, what);
        }
        self.stage.after(self.stage.params.still, Event::Finish);
        self.stage.tell(|| "-- recorders stop".to_owned());
        self.stopped_at = self.stage.now;
        for index in 0..self.places.len() {
            let streams = self.places[index].run.as_ref().map_or(0, |run| run.streams.len());
            let now = self.stage.now;
            for stream in 0..streams {
                let ix = PlaceIx(u16::try_from(index).unwrap_or(u16::MAX));
                self.stream_ends(ix, stream, now, GapCause::Stopped);
            }
        }
    }

    /// Looks at everything a last time. Backlog may take a while; not for ever.
    fn finish(&mut self) {
        let different = self.difference();
        let patience = self.stopped_at + self.stage.params.patience;
        if different.is_some() && self.stage.now < patience {
            return self.stage.after(self.stage.params.still, Event::Finish);
        }
        self.done = true;
        if let Some(what) = different {
            self.stage.violate(Invariant::Equal, what);
        }
        for index in 0..self.vaults.len() {
            acked::check(&mut self.stage, &self.vaults[index]);
        }
        for index in 0..self.places.len() {
            if self.places[index].node == self.places[index].site.node() {
                self.look_at_recording(index);
            }
            coverage::check(&mut self.stage, &self.places[index]);
        }
    }

    /// How a place and its vault differ, if any do.
    fn difference(&self) -> Option<String> {
        self.places.iter().find_map(|place| {
            let vault = &self.vaults[self.vault_of(place.site).index()];
            let name = &self.stage.node(place.node).name;
            equal::equal(place, vault).err().map(|what| format!("{name}: {what}"))
        })
    }

    fn look_at_recording(&mut self, index: usize) {
        let place = &self.places[index];
        let (site, params) = (place.site, self.stage.params.clone());
        let stalls: Duration = self
            .plan
            .iter()
            .map(|planned| match planned.fault {
                crate::fault::Fault::Stall(_, by) => by,
                _ => Duration::ZERO,
            })
            .sum();
        let disk = params.sync_max * 4 + stalls * 4;
        let slack =
            Slack { beginning: ms(2_500) + params.fragment + disk * 2, end: params.fragment * 2 + disk };
        let ran = self.stage.node(place.node).ran.clone();
        for camera in 0..params.cameras {
            let have = recording::recorded(&self.stage, place, camera);
            let could = both(&ran, &self.sites[site.index()].cameras[camera].filmed, self.stopped_at);
            let could = without(could, &self.sites[site.index()].refused[camera]);
            recording::check(&mut self.stage, site, camera, &have, &could, slack);
        }
    }
}

/// Instants in both; `now` ends what has no end.
fn both(a: &[(Time, Time)], b: &[(Time, Time)], now: Time) -> Vec<(Time, Time)> {
    let mut both = Vec::new();
    for (start, end) in a {
        for (from, to) in b {
            let (start, end) = (*start.max(from), (*end).min(*to).min(now));
            if start < end {
                both.push((start, end));
            }
        }
    }
    both
}

/// Instants that are not in `taken`.
fn without(spans: Vec<(Time, Time)>, taken: &[(Time, Time)]) -> Vec<(Time, Time)> {
    taken.iter().fold(spans, |spans, (from, to)| {
        let cut = |(start, end): (Time, Time)| [(start, end.min(*from)), (start.max(*to), end)];
        spans.into_iter().flat_map(cut).filter(|(start, end)| start < end).collect()
    })
}

fn network(params: &Params) -> Net {
    let sites = params.sites;
    let wan = params.wan_delay;
    Net::new(sites + params.hubs, Chance::of(params.seed, "network"), move |from, to| {
        let wide = from.index() < sites || to.index() < sites;
        let delay = if wide { wan } else { ms(2) };
        Direction {
            delay,
            jitter: delay / 4,
            cuts: 0,
            udp_blocks: 0,
            clog: Duration::ZERO,
            loss_permille: 0,
            twice_permille: if wide { 5 } else { 0 },
            stopped: Time::ZERO,
            cut_at: Time::ZERO,
            beats_from: Time::ZERO,
        }
    })
}
