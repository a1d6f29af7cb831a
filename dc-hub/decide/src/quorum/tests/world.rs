//! Nodes, a log with a delay, agents that beat and cameras that answer, in virtual time.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::beat::{Arrival, Beat, CameraState};
use crate::control::{Command, Event, Stamp, State};
use crate::epoch::{Epoch, Term};
use crate::evidence::Answer;
use crate::fixtures::{Log, beat, camera, home, hub, ms, secs, site, wan};
use crate::ids::{HostId, NodeId, PathId};
use crate::quorum::{Line, Node, Output, Settings};
use crate::standby::{Prober, Stage};
use crate::time::Boot;

/// What happens at an instant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Beat(u64),
    StandbyBeat(u64),
    Probe(u64),
    Timeout(u64),
    Commit(usize),
    Apply(u64, usize),
    Elect(u64),
}

/// One hub node.
pub(super) struct Member {
    pub(super) node: Node,
    pub(super) state: State,
    applied: usize,
    timeout: Option<Boot>,
    pub(super) up: bool,
}

/// One site.
pub(super) struct Place {
    /// The agent runs.
    pub(super) alive: bool,
    pub(super) run: u8,
    number: u64,
    /// Nodes that its beats reach.
    pub(super) reaches: BTreeSet<u64>,
    /// Cameras that answer whoever asks over the WAN; and those that give nothing though they answer.
    pub(super) cameras: BTreeSet<u64>,
    pub(super) stuck: BTreeSet<u64>,
    /// Another site relays its beats.
    pub(super) relayed: bool,
    /// Cameras that serve one session: whoever has it keeps it until it lets go.
    pub(super) one_session: bool,
    pub(super) epoch: Epoch,
    stuck_at: Beat,
    probers: BTreeMap<HostId, Prober>,
}

/// Everything.
pub(super) struct World {
    pub(super) now: Boot,
    pub(super) random: SmallRng,
    queue: BinaryHeap<Reverse<(Boot, u64, What)>>,
    order: u64,
    pub(super) members: BTreeMap<u64, Member>,
    pub(super) places: BTreeMap<u64, Place>,
    pub(super) leader: Option<u64>,
    pub(super) log: Log,
    entries: Vec<(Stamp, Command)>,
    proposals: Vec<(u64, Command)>,
    /// From a proposal to its commit: at least this, at most twice this.
    pub(super) log_delay: Duration,
    /// Every event, when the log got it.
    pub(super) events: Vec<(Boot, Event)>,
    pub(super) told: BTreeMap<u64, Line>,
    standby_number: u64,
    /// Nonces that nodes gave out, for each site.
    asked: BTreeMap<(u64, u64), u64>,
}

impl Place {
    fn new(n: u64) -> Self {
        Self {
            alive: true,
            run: 1,
            number: 0,
            reaches: BTreeSet::from([1, 2, 3]),
            cameras: BTreeSet::from([1, 2]),
            stuck: BTreeSet::new(),
            relayed: false,
            one_session: false,
            epoch: Epoch::default(),
            stuck_at: beat(n, 1, 0),
            probers: BTreeMap::new(),
        }
    }

    /// Starts again, as another run.
    pub(super) fn restart(&mut self) {
        (self.alive, self.run, self.number) = (true, self.run + 1, 0);
    }

    /// Stuck cameras say for ever what they said last.
    fn hold_stuck(&mut self, said: &mut Beat) {
        for c in &self.stuck {
            let at = usize::try_from(c - 1).unwrap();
            said.cameras[at].clone_from(&self.stuck_at.cameras[at]);
        }
        self.stuck_at.clone_from(said);
    }
}

impl World {
    /// So many sites, all well for a minute.
    pub(super) fn new(sites: u64, seed: u64) -> Self {
        Self::with(Log::fleet(sites), seed)
    }

    pub(super) fn with(log: Log, seed: u64) -> Self {
        let mut random = SmallRng::seed_from_u64(seed);
        let member = |n: u64| Member {
            node: Node::new(NodeId(n), Settings::default(), Boot(0), n),
            state: log.state.clone(),
            applied: 0,
            timeout: None,
            up: true,
        };
        let names: Vec<u64> = (1..).take_while(|n| log.state.site(&site(*n)).is_some()).collect();
        let mut world = Self {
            now: Boot(0),
            queue: BinaryHeap::new(),
            order: 0,
            members: (1..=3).map(|n| (n, member(n))).collect(),
            places: names.iter().map(|n| (*n, Place::new(*n))).collect(),
            leader: None,
            log,
            entries: Vec::new(),
            asked: BTreeMap::new(),
            proposals: Vec::new(),
            log_delay: ms(50),
            events: Vec::new(),
            told: BTreeMap::new(),
            standby_number: 0,
            random: SmallRng::seed_from_u64(random.random()),
        };
        for n in names {
            let (beat, probe) = (random.random_range(0..500), random.random_range(0..500));
            world.at(ms(beat), What::Beat(n));
            world.at(ms(beat), What::StandbyBeat(n));
            world.at(ms(probe), What::Probe(n));
        }
        for n in 1..=3 {
            world.pump(n);
        }
        world.elect(1);
        world.pass(secs(60));
        world
    }

    /// Lets time pass.
    pub(super) fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(Reverse((at, _, _))) = self.queue.peek() {
            if *at > until {
                break;
            }
            let Reverse((at, _, what)) = self.queue.pop().unwrap();
            self.now = at;
            self.happen(what);
        }
        self.now = until;
    }

    /// Lets time pass until it is so, at most `limit`; gives how long it took.
    pub(super) fn until(&mut self, limit: Duration, so: impl Fn(&Self) -> bool) -> Duration {
        let from = self.now;
        while !so(self) {
            assert!(self.now.since(from) < limit, "not within {limit:?}: {:#?}", self.stages());
            self.pass(ms(10));
        }
        self.now.since(from)
    }

    pub(super) fn stage(&self, n: u64) -> Stage {
        self.log.state.site(&site(n)).unwrap().life.stage()
    }

    fn stages(&self) -> Vec<(u64, Stage, Option<&Line>)> {
        self.places.keys().map(|n| (*n, self.stage(*n), self.told.get(n))).collect()
    }

    pub(super) fn holder(&self, n: u64) -> HostId {
        self.log.state.site(&site(n)).unwrap().holder().clone()
    }

    /// When authority over site `n` moved, and where to.
    pub(super) fn moves(&self, n: u64) -> Vec<(Boot, HostId)> {
        let moved = |(at, event): &(Boot, Event)| match event {
            Event::Authority { site: name, host, .. } if *name == site(n) => Some((*at, host.clone())),
            _ => None,
        };
        self.events.iter().filter_map(moved).collect()
    }

    /// Somebody proposes; it is committed as soon as anything is.
    pub(super) fn commit(&mut self, command: Command) {
        self.proposals.push((self.leader.unwrap(), command));
        self.happen(What::Commit(self.proposals.len() - 1));
    }

    /// The agent of site `n` says goodbye to every node.
    pub(super) fn say_bye(&mut self, n: u64, origin: wire::OriginId, bye: crate::beat::Bye) {
        for to in 1..=3 {
            let member = self.members.get_mut(&to).unwrap();
            member.node.handle_bye(self.now, &site(n), origin, bye);
            self.pump(to);
        }
    }

    /// Node `n` leads a new term.
    pub(super) fn elect(&mut self, n: u64) {
        for member in self.members.values_mut() {
            member.node.handle_leadership(self.now, None);
        }
        self.log.term += 1;
        self.leader = Some(n);
        self.catch_up(n);
        let term = Term(self.log.term);
        let member = self.members.get_mut(&n).unwrap();
        member.node.handle_leadership(self.now, Some(term));
        self.pump(n);
    }

    /// Node `n` dies; if it led, another leads after `vote`.
    pub(super) fn kill(&mut self, n: u64, vote: Duration) {
        self.members.get_mut(&n).unwrap().up = false;
        if self.leader == Some(n) {
            self.leader = None;
            let next = *self.members.iter().find(|(_, member)| member.up).unwrap().0;
            self.at(vote, What::Elect(next));
        }
    }

    /// Node `n` goes on after it stood still: it follows the log first.
    pub(super) fn wake(&mut self, n: u64) {
        self.members.get_mut(&n).unwrap().up = true;
        self.catch_up(n);
    }

    fn at(&mut self, after: Duration, what: What) {
        self.order += 1;
        self.queue.push(Reverse((self.now + after, self.order, what)));
    }

    fn happen(&mut self, what: What) {
        match what {
            What::Beat(n) => self.beat(n),
            What::StandbyBeat(n) => self.standby_beat(n),
            What::Probe(n) => self.probe(n),
            What::Timeout(n) => self.timeout(n),
            What::Commit(proposal) => self.append(proposal),
            What::Apply(n, index) => self.apply(n, index),
            What::Elect(n) => self.elect(n),
        }
    }

    fn beat(&mut self, n: u64) {
        self.at(ms(500), What::Beat(n));
        let now = self.now;
        // What the agent takes part in as soon as the log has it.
        let drilled = self.log.state.site(&site(n)).unwrap().drill.as_ref().is_some_and(|drill| !drill.over);
        let place = self.places.get_mut(&n).unwrap();
        if !place.alive || drilled {
            return;
        }
        place.number += 1;
        let mut said = beat(n, place.run, place.number);
        said.epoch = place.epoch;
        place.hold_stuck(&mut said);
        // The standby has the only session, until it is told to let go.
        let standby_records =
            matches!(self.log.state.site(&site(n)).unwrap().life.stage(), Stage::Recording | Stage::Healing);
        if place.one_session && standby_records {
            for camera in &mut said.cameras {
                (camera.state, camera.durable) = (CameraState::Down, None);
            }
        }
        let relayed = place.relayed;
        for to in place.reaches.clone() {
            self.deliver(now, to, n, &home(n), &Arrival::Direct(wan()), &said);
        }
        if relayed {
            self.relay(n, &said);
        }
    }

    /// Another site brings the beat to node 2, over the nonce it gave out.
    fn relay(&mut self, n: u64, said: &Beat) {
        let Some(nonce) = self.asked.get(&(2, n)).copied() else { return };
        let arrival = Arrival::Relayed { by: site(99), nonce };
        self.deliver(self.now, 2, n, &home(n), &arrival, said);
    }

    /// The standby that has authority beats too, as long as its host lives.
    fn standby_beat(&mut self, n: u64) {
        self.at(ms(500), What::StandbyBeat(n));
        for h in 1..=3 {
            let member = &self.members[&h];
            let known = member.state.site(&site(n)).unwrap();
            if !member.up || known.life.authority() != Some(&hub(h)) {
                continue;
            }
            self.standby_number += 1;
            let epoch = known.epoch;
            let run = 100 + u8::try_from(h).unwrap();
            let mut said = Beat { epoch, log: self.applied(h), ..beat(n, run, self.standby_number) };
            let answering = &self.places[&n].cameras;
            said.cameras.retain(|said| answering.iter().any(|c| camera(&site(n), *c) == said.camera));
            let lan = PathId::new("lan").unwrap();
            for to in 1..=3 {
                self.deliver(self.now, to, n, &hub(h), &Arrival::Direct(lan.clone()), &said);
            }
        }
    }

    fn applied(&self, h: u64) -> u64 {
        self.members[&h].state.at().map_or(0, |at| at.index)
    }

    fn deliver(&mut self, now: Boot, to: u64, n: u64, from: &HostId, arrival: &Arrival, said: &Beat) {
        let member = self.members.get_mut(&to).unwrap();
        if member.up {
            member.node.handle_beat(now, &site(n), from, arrival, said);
            self.pump(to);
        }
    }

    /// Every host that watches the cameras asks them and reports to everybody.
    fn probe(&mut self, n: u64) {
        self.at(ms(500), What::Probe(n));
        for h in 1..=3 {
            let member = &self.members[&h];
            if !member.up || !member.state.watches(&site(n), &hub(h)) {
                continue;
            }
            let now = self.now;
            let hidden = member.state.site(&site(n)).unwrap().hides_cameras();
            let place = self.places.get_mut(&n).unwrap();
            let prober =
                place.probers.entry(hub(h)).or_insert_with(|| Prober::new(site(n), hub(h), wan(), secs(1)));
            prober.hide(hidden);
            for c in 1..=2 {
                let answer = place.cameras.contains(&c).then_some(Answer::Free);
                prober.handle_answer(now, &camera(&site(n), c), answer);
            }
            let report = prober.report(now);
            for to in 1..=3 {
                let member = self.members.get_mut(&to).unwrap();
                if member.up {
                    member.node.handle_answers(now, &report);
                    self.pump(to);
                }
            }
        }
    }

    fn timeout(&mut self, n: u64) {
        let now = self.now;
        let member = self.members.get_mut(&n).unwrap();
        if !member.up || member.timeout.is_none_or(|at| at > now) {
            return;
        }
        member.timeout = None;
        if member.node.poll_timeout() <= now {
            member.node.handle_timeout(now, &member.state);
        }
        self.pump(n);
    }

    fn append(&mut self, proposal: usize) {
        let (by, command) = self.proposals[proposal].clone();
        if self.leader != Some(by) {
            return; // lost with the leader it was proposed to
        }
        self.log.time = wire::UnixMicros(i64::try_from(self.now.0).unwrap());
        let events = self.log.apply(command.clone()).unwrap_or_default();
        self.events.extend(events.iter().cloned().map(|event| (self.now, event)));
        self.entries.push((self.log.state.at().unwrap(), command));
        let index = self.entries.len() - 1;
        for n in [1, 2, 3] {
            let after =
                if self.leader == Some(n) { Duration::ZERO } else { ms(self.random.random_range(5..60)) };
            self.at(after, What::Apply(n, index));
        }
    }

    fn apply(&mut self, n: u64, index: usize) {
        let now = self.now;
        let member = self.members.get_mut(&n).unwrap();
        while member.up && member.applied <= index {
            let (at, command) = &self.entries[member.applied];
            member.applied += 1;
            let events = member.state.apply(*at, command).unwrap_or_default();
            member.node.handle_applied(now, &member.state, &events);
        }
        self.pump(n);
    }

    fn catch_up(&mut self, n: u64) {
        if let Some(last) = self.entries.len().checked_sub(1) {
            self.apply(n, last);
        }
    }

    /// Carries out what node `n` wants.
    fn pump(&mut self, n: u64) {
        while let Some(output) = self.members.get_mut(&n).unwrap().node.poll_output() {
            match output {
                Output::Propose(command) => {
                    if let Some(leader) = self.leader {
                        let delay = self.random.random_range(1.0..2.0) * self.log_delay.as_secs_f64();
                        self.proposals.push((leader, command));
                        self.at(Duration::from_secs_f64(delay), What::Commit(self.proposals.len() - 1));
                    }
                }
                Output::Hint(hint) => {
                    if let Some(leader) = self.leader {
                        let now = self.now;
                        let member = self.members.get_mut(&leader).unwrap();
                        member.node.handle_hint(now, NodeId(n), &hint);
                        self.schedule(leader);
                    }
                }
                Output::AskPeers { site: name, nonce } => {
                    let asked = self.places.keys().find(|n| site(**n) == name).copied().unwrap();
                    self.asked.insert((n, asked), nonce);
                }
                Output::Told(telling) => {
                    let about = self.places.keys().find(|n| site(**n) == telling.site).copied().unwrap();
                    self.told.insert(about, telling.line);
                }
            }
        }
        self.schedule(n);
    }

    fn schedule(&mut self, n: u64) {
        let now = self.now;
        let member = self.members.get_mut(&n).unwrap();
        let wake = member.node.poll_timeout().max(now);
        if member.timeout.is_none_or(|at| wake < at || at < now) {
            member.timeout = Some(wake);
            self.at(wake.since(now), What::Timeout(n));
        }
    }
}
