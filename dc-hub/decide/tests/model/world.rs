//! The log's real state, and beside it what an onlooker remembers: who said what in which round, who was given
//! which epoch, which effects were let through.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use decide::beat::Arrival;
use decide::control::{
    BitsPerSecond, CameraSpec, Command, Event, FailbackPolicy, Finding, Ground, HostKind, HostSpec, Load,
    Membership, Refusal, Return, Role, Silence, SiteSpec, Stamp, State, Tier, Verdict,
};
use decide::detector::{Basis, Quiet};
use decide::enforcer::Gate;
use decide::epoch::Generation;
use decide::evidence::{Answer, Answers};
use decide::standby::Stage;
use decide::{CameraId, Epoch, HostId, NodeId, PathId, Round, Rules, SiteId, Term};
use wire::UnixMicros;

use crate::fleet::Step;

/// Is the round, epoch or term in force named, or the one before it?
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Age {
    Now,
    Before,
}

/// Rare things that were reached on the way here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Reached {
    pub(crate) heard_too_late: bool,
    pub(crate) returned: bool,
    pub(crate) armed_then_lost: bool,
    pub(crate) activated_since_restore: bool,
    pub(crate) activated_while_joint: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct World {
    state: State,
    backup: Option<(State, Vec<Past>)>,
    pub(crate) restores: u8,
    term: u64,
    /// The term of the last committed entry: nothing of an earlier one comes after it.
    last_term: u64,
    index: u64,
    membership: u8,
    memberships: bool,
    sites: Vec<Past>,
    pub(crate) reached: Reached,
    /// What must never be, if it came about.
    pub(crate) wrong: Option<&'static str>,
}

/// What an onlooker remembers of one site.
#[derive(Clone, Debug, PartialEq)]
struct Past {
    rounds: Vec<Round>,
    epochs: Vec<Epoch>,
    given: BTreeMap<Epoch, HostId>,
    /// Who said Silent, and whether anybody was heard, in each round.
    said: BTreeMap<Round, BTreeSet<NodeId>>,
    heard: BTreeSet<Round>,
    /// The epoch each host was told last.
    told: BTreeMap<HostId, Epoch>,
    gate: Gate,
    /// The highest epoch whose effect was let through.
    effect: Option<(Epoch, HostId)>,
    was_armed: bool,
}

fn site(n: u64) -> SiteId {
    SiteId::new(format!("site-{n}")).unwrap()
}

fn hub(n: u64) -> HostId {
    HostId::new(format!("hub-{n}")).unwrap()
}

fn home(n: u64) -> HostId {
    HostId::new(format!("home-{n}")).unwrap()
}

fn camera(n: u64) -> CameraId {
    CameraId::new(format!("site-{n}/door")).unwrap()
}

fn number(name: &SiteId) -> usize {
    if *name == site(1) { 0 } else { 1 }
}

fn host_spec(kind: HostKind) -> HostSpec {
    let capacity = Load { streams: 9, rate: BitsPerSecond(1 << 40) };
    HostSpec { kind, capacity, domain: "dc".into(), draining: false }
}

fn site_spec(n: u64) -> SiteSpec {
    SiteSpec {
        home: home(n),
        priority: 0,
        tier: Tier::Cold,
        failback: FailbackPolicy::default(),
        uplink: BitsPerSecond(1 << 30),
        prefer: Vec::new(),
    }
}

/// How a fleet is made.
fn founding(sites: u64, voters: u64) -> Vec<Command> {
    let mut commands = Vec::new();
    for n in 1..=voters {
        commands.push(Command::AddNode { node: NodeId(n), role: Role::Full });
        commands.push(Command::SetHost { host: hub(n), spec: host_spec(HostKind::Node(NodeId(n))) });
    }
    commands.push(Command::Membership(Membership::of((1..=3).map(NodeId))));
    let spec = CameraSpec { priority: 0, main: BitsPerSecond(1), sub: None, single_session: false };
    for n in 1..=sites {
        commands.push(Command::SetHost { host: home(n), spec: host_spec(HostKind::Site(site(n))) });
        commands.push(Command::SetSite { site: site(n), spec: site_spec(n) });
        commands.push(Command::Config {
            site: site(n),
            revision: 1,
            cameras: [(camera(n), spec)].into(),
            log_ins_since: None,
        });
    }
    commands
}

impl World {
    pub(crate) fn new(sites: u64, rules: Rules, memberships: bool) -> Self {
        let mut world = Self {
            state: State::default().with_rules(rules),
            backup: None,
            restores: 0,
            term: 1,
            last_term: 1,
            index: 0,
            membership: 0,
            memberships,
            sites: Vec::new(),
            reached: Reached::default(),
            wrong: None,
        };
        for command in founding(sites, world.voters()) {
            world.commit(1, &command).unwrap();
        }
        for n in 1..=sites {
            let epoch = world.state.site(&site(n)).unwrap().epoch;
            world.sites.push(Past {
                rounds: Vec::new(),
                epochs: vec![epoch],
                given: [(epoch, home(n))].into(),
                said: BTreeMap::new(),
                heard: BTreeSet::new(),
                told: [(home(n), epoch)].into(),
                gate: Gate::with_rules(rules),
                effect: None,
                was_armed: false,
            });
        }
        world
    }

    pub(crate) fn voters(&self) -> u64 {
        if self.memberships { 4 } else { 3 }
    }

    pub(crate) fn term(&self) -> u64 {
        self.term
    }

    pub(crate) fn has_backup(&self) -> bool {
        self.backup.is_some()
    }

    fn past(&self, n: u64) -> &Past {
        &self.sites[usize::try_from(n - 1).unwrap()]
    }

    fn past_mut(&mut self, n: u64) -> &mut Past {
        &mut self.sites[usize::try_from(n - 1).unwrap()]
    }

    pub(crate) fn has_round(&self, n: u64, age: Age) -> bool {
        nth_back(&self.past(n).rounds, age).is_some()
    }

    pub(crate) fn has_epoch(&self, n: u64, age: Age) -> bool {
        nth_back(&self.past(n).epochs, age).is_some()
    }

    /// Could an entry of this leader, or of the one before, be committed now?
    pub(crate) fn may_commit(&self, age: Age) -> bool {
        age == Age::Now || (self.term > 1 && self.last_term < self.term)
    }

    /// Hosts that were ever told an epoch.
    pub(crate) fn told(&self, n: u64) -> impl Iterator<Item = u64> {
        let told = self.past(n).told.clone();
        [(0, home(n)), (1, hub(1)), (2, hub(2))]
            .into_iter()
            .filter(move |(_, host)| told.contains_key(host))
            .map(|(number, _)| number)
    }

    pub(crate) fn activated(&self, n: u64) -> bool {
        self.state.site(&site(n)).is_some_and(|known| known.is_away())
    }

    /// Takes the step. Says whether anything changed.
    pub(crate) fn take(&mut self, step: &Step) -> bool {
        match step {
            Step::NewTerm => self.term += 1,
            Step::Members => return self.change_membership(),
            Step::Backup => self.backup = Some((self.state.clone(), self.sites.clone())),
            Step::Restore => return self.restore(),
            Step::Act(n, host) => return self.act(*n, *host),
            step => return self.commit_step(step),
        }
        true
    }

    fn commit_step(&mut self, step: &Step) -> bool {
        let Some((term, command)) = self.command(step) else { return false };
        self.remember(&command);
        match self.commit(term, &command) {
            Ok(events) => {
                for event in &events {
                    self.look_at(event);
                }
                true
            }
            Err(Refusal::NoRound(_)) => self.unheard(step),
            Err(_) => false,
        }
    }

    /// A word that came too late, or that the log did not listen to though the round is open.
    fn unheard(&mut self, step: &Step) -> bool {
        let Step::Heard(n, Age::Now) = step else { return false };
        let open = self.state.site(&site(*n)).is_some_and(|known| known.round.is_some());
        let late = self.activated(*n) && !self.reached.heard_too_late;
        self.reached.heard_too_late |= late;
        open || late
    }

    fn commit(&mut self, term: u64, command: &Command) -> Result<Vec<Event>, Refusal> {
        self.index += 1;
        let at = Stamp { index: self.index, term: Term(term), time: UnixMicros(0) };
        let events = self.state.apply(at, command)?;
        // Refused commands leave nothing: worlds with and without them are not told apart.
        self.last_term = term;
        Ok(events)
    }

    fn command(&self, step: &Step) -> Option<(u64, Command)> {
        let quiet = Quiet {
            silent_for: Duration::from_secs(2),
            needed: Duration::from_secs(2),
            basis: Basis::Silence,
        };
        let arrival = Arrival::Direct(PathId::new("wan").unwrap());
        let mut term = self.term;
        let command = match *step {
            Step::Suspect(n) => {
                let holder = self.state.site(&site(n))?.holder().clone();
                Command::Suspect { site: site(n), holder, answers: None }
            }
            Step::Silent(n, voter, age) => {
                Command::Silent { site: site(n), round: self.round(n, age)?, voter: NodeId(voter), quiet }
            }
            Step::Heard(n, age) => {
                Command::Heard { site: site(n), round: self.round(n, age)?, voter: NodeId(3), arrival }
            }
            Step::Lost { site: n, round, epoch, to, term: of } => {
                term -= u64::from(of == Age::Before);
                let finding = Finding::RecorderLost { answers: answers(n, to) };
                self.verdict(n, self.round(n, round)?, self.epoch(n, epoch)?, finding)
            }
            Step::Dark(n) => {
                let finding = Finding::Dark { host: Some(hub(1)) };
                self.verdict(n, self.round(n, Age::Now)?, self.epoch(n, Age::Now)?, finding)
            }
            Step::Heal(n, age) => Command::Heal { site: site(n), expected: self.epoch(n, age)? },
            Step::Failback(n) => {
                Command::Failback { site: site(n), expected: self.epoch(n, Age::Now)?, by: None }
            }
            Step::Return(n, age) => Command::Return(Return {
                site: site(n),
                expected: self.epoch(n, age)?,
                standby: Some([camera(n)].into()),
                overlap: [(camera(n), 2)].into(),
                silent_for: Duration::ZERO,
            }),
            Step::Show(n) => {
                let epoch = *self.past(n).told.values().max()?;
                Command::SeenEpoch { site: site(n), epoch, salt: 3 }
            }
            _ => return None,
        };
        Some((term, command))
    }

    fn verdict(&self, n: u64, round: Round, expected: Epoch, finding: Finding) -> Command {
        Command::Verdict(Verdict { site: site(n), round, expected, proposer: NodeId(1), finding })
    }

    fn round(&self, n: u64, age: Age) -> Option<Round> {
        nth_back(&self.past(n).rounds, age)
    }

    fn epoch(&self, n: u64, age: Age) -> Option<Epoch> {
        nth_back(&self.past(n).epochs, age)
    }

    /// What was said, whatever the log makes of it.
    fn remember(&mut self, command: &Command) {
        match command {
            Command::Silent { site, round, voter, .. } => {
                self.sites[number(site)].said.entry(*round).or_default().insert(*voter);
            }
            Command::Heard { site, round, .. } => {
                self.sites[number(site)].heard.insert(*round);
            }
            _ => {}
        }
    }

    fn look_at(&mut self, event: &Event) {
        match event {
            Event::RoundOpened { site, round, .. } => self.sites[number(site)].rounds.push(*round),
            Event::Stage { site, to: Stage::Armed, .. } => self.sites[number(site)].was_armed = true,
            Event::EpochRaised { site, epoch, host } => self.give(number(site), *epoch, host),
            Event::Authority { site, epoch, host, why } => {
                self.give(number(site), *epoch, host);
                match &why.ground {
                    Ground::Silence(silence) => self.look_at_silence(number(site), silence),
                    Ground::Healed { .. } => self.reached.returned = true,
                    _ => {}
                }
            }
            _ => {}
        }
    }

    /// No epoch goes to two, in whatever history.
    fn give(&mut self, at: usize, epoch: Epoch, host: &HostId) {
        let past = &mut self.sites[at];
        if past.given.get(&epoch).is_some_and(|given| given != host) {
            self.wrong = Some("one epoch was given to two hosts");
        }
        past.given.insert(epoch, host.clone());
        past.epochs.push(epoch);
        past.told.insert(host.clone(), epoch);
    }

    /// Counted from what was said, not from what the log has recorded.
    fn look_at_silence(&mut self, at: usize, silence: &Silence) {
        let past = &self.sites[at];
        let said = past.said.get(&silence.round).cloned().unwrap_or_default();
        if !self.state.membership().is_majority(&said) {
            self.wrong = Some("no majority said Silent in this round");
        }
        if past.heard.contains(&silence.round) {
            self.wrong = Some("the recorder was heard in this round");
        }
        self.reached.armed_then_lost |= past.was_armed;
        self.reached.activated_since_restore |= self.restores > 0;
        self.reached.activated_while_joint |= self.membership == 1;
    }

    /// A host acts under the epoch it was told last, however long ago that was.
    fn act(&mut self, n: u64, host: u64) -> bool {
        let host = if host == 0 { home(n) } else { hub(host) };
        let past = self.past_mut(n);
        let epoch = past.told[&host];
        let before = (past.gate.clone(), past.effect.clone());
        if past.gate.accept(epoch, &host).is_err() {
            return false;
        }
        let wrong = match &past.effect {
            Some((highest, _)) if epoch < *highest => Some("an effect of an old epoch was let through"),
            Some((highest, by)) if epoch == *highest && *by != host => Some("two acted under one epoch"),
            _ => None,
        };
        past.effect = Some((epoch, host));
        let changed = (past.gate.clone(), past.effect.clone()) != before;
        self.wrong = self.wrong.or(wrong);
        changed || wrong.is_some()
    }

    fn change_membership(&mut self) -> bool {
        let of = |ids: [u64; 3]| ids.map(NodeId);
        let next = match self.membership {
            0 => Membership::joint(of([1, 2, 3]), of([2, 3, 4])),
            1 => Membership::of(of([2, 3, 4])),
            _ => return false,
        };
        self.membership += 1;
        self.commit(self.term, &Command::Membership(next)).is_ok()
    }

    /// The log is lost and comes back as it was at the backup, knowing nothing of what was done since. Hosts,
    /// gates and onlookers know. The later restore draws the lower salt: the unlucky order.
    fn restore(&mut self) -> bool {
        let Some((state, pasts)) = self.backup.clone() else { return false };
        self.state = state;
        self.restores += 1;
        for (past, then) in self.sites.iter_mut().zip(pasts) {
            (past.rounds, past.epochs) = (then.rounds, then.epochs);
        }
        self.reached.activated_since_restore = false;
        let salt = 9 - u64::from(self.restores);
        let recover = Command::Recover { seen: Generation::default(), salt };
        let Ok(events) = self.commit(self.term, &recover) else { return false };
        events.iter().for_each(|event| self.look_at(event));
        true
    }
}

fn nth_back<T: Copy>(all: &[T], age: Age) -> Option<T> {
    let back = if age == Age::Now { 1 } else { 2 };
    all.len().checked_sub(back).map(|at| all[at])
}

fn answers(n: u64, to: u64) -> Answers {
    Answers {
        site: site(n),
        host: hub(to),
        path: PathId::new("wan").unwrap(),
        unbroken: Some(Duration::from_secs(9)),
        age: Duration::ZERO,
        cameras: Arc::new([(camera(n), Answer::Free)].into()),
    }
}

/// Two worlds are the same if nothing that can still matter tells them apart: indexes and epochs count only by
/// their order.
impl Hash for World {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        (self.restores, self.term, self.last_term, self.membership, self.reached).hash(hasher);
        self.wrong.hash(hasher);
        for (at, past) in self.sites.iter().enumerate() {
            past.hash_beside(&self.state, at, hasher);
        }
        if let Some((state, pasts)) = self.backup.as_ref().filter(|_| self.restores < 2) {
            for (at, past) in pasts.iter().enumerate() {
                past.hash_beside(state, at, hasher);
            }
        }
    }
}

impl Past {
    fn hash_beside<H: Hasher>(&self, state: &State, at: usize, hasher: &mut H) {
        let Some(known) = state.site(&site(at as u64 + 1)) else { return };
        let rank = |epoch: Epoch| self.given.keys().filter(|given| **given < epoch).count();
        (known.life.stage(), known.life.standby(), &known.placement, rank(known.epoch)).hash(hasher);
        self.epochs.len().min(2).hash(hasher);
        for epoch in self.epochs.iter().rev().take(2) {
            rank(*epoch).hash(hasher);
        }
        for (host, epoch) in &self.told {
            (host, rank(*epoch)).hash(hasher);
        }
        for (epoch, host) in &self.given {
            (rank(*epoch), host).hash(hasher);
        }
        self.effect.as_ref().map(|(epoch, host)| (rank(*epoch), host)).hash(hasher);
        self.was_armed.hash(hasher);
        let open = known.round.as_ref();
        for round in self.rounds.iter().rev().take(2) {
            let open = open.filter(|open| open.round == *round);
            open.map(|open| (open.term, open.voters(), &open.holder)).hash(hasher);
            (self.said.get(round), self.heard.contains(round)).hash(hasher);
        }
        self.rounds.len().min(2).hash(hasher);
    }
}
