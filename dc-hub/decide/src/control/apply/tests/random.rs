//! Random logs: whatever is proposed in whatever order, what must hold holds after every entry.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::control::{DrillOrder, Ground, Membership, Plan, Return, Role, Silence};
use crate::epoch::Generation;
use crate::fixtures::{camera, origin};
use crate::standby::Stage;

/// A step, before it knows the state it is taken in.
#[derive(Clone, Debug)]
enum Step {
    /// With the true holder, or the false one.
    Suspect(u64, bool),
    Silent(u64, u64, Age),
    Heard(u64, u64, Age),
    Lost(u64, Age, Age, u64, u64),
    Dark(u64, Age, Age, u64),
    Person(u64, Age, u64),
    Planned(u64, Age),
    Declare(u64, bool),
    Heal(u64, Age),
    Relapse(u64, Age),
    Failback(u64, Age),
    Return(u64, Age, u64),
    Members(u8),
    NewTerm,
    Recover(u64),
    Seen(u64, Age),
    Place(u64, u64),
    Drill(u64),
    /// Over, or ended.
    DrillEnd(u64, bool),
}

/// Is a round or epoch named that is in force, or one that was?
#[derive(Clone, Copy, Debug)]
enum Age {
    Now,
    Before,
}

fn age() -> impl Strategy<Value = Age> {
    prop_oneof![5 => Just(Age::Now), 1 => Just(Age::Before)]
}

fn step() -> impl Strategy<Value = Step> {
    let (site, voter, hub) = (1..=2u64, 1..=6u64, 1..=3u64);
    prop_oneof![
        6 => (site.clone(), prop::bool::weighted(0.9)).prop_map(|(s, t)| Step::Suspect(s, t)),
        40 => (site.clone(), voter.clone(), age()).prop_map(|(s, v, a)| Step::Silent(s, v, a)),
        1 => (site.clone(), voter.clone(), age()).prop_map(|(s, v, a)| Step::Heard(s, v, a)),
        8 => (site.clone(), age(), age(), hub.clone(), voter).prop_map(|(s, r, e, h, p)| Step::Lost(s, r, e, h, p)),
        3 => (site.clone(), age(), age(), hub.clone()).prop_map(|(s, r, e, h)| Step::Dark(s, r, e, h)),
        1 => (site.clone(), age(), hub.clone()).prop_map(|(s, e, h)| Step::Person(s, e, h)),
        1 => (site.clone(), age()).prop_map(|(s, e)| Step::Planned(s, e)),
        1 => (site.clone(), any::<bool>()).prop_map(|(s, on)| Step::Declare(s, on)),
        4 => (site.clone(), age()).prop_map(|(s, e)| Step::Heal(s, e)),
        1 => (site.clone(), age()).prop_map(|(s, e)| Step::Relapse(s, e)),
        4 => (site.clone(), age()).prop_map(|(s, e)| Step::Failback(s, e)),
        5 => (site.clone(), age(), 0..4u64).prop_map(|(s, e, k)| Step::Return(s, e, k)),
        2 => (0..6u8).prop_map(Step::Members),
        1 => Just(Step::NewTerm),
        1 => any::<u64>().prop_map(Step::Recover),
        1 => (site.clone(), age()).prop_map(|(s, e)| Step::Seen(s, e)),
        2 => (site.clone(), hub).prop_map(|(s, h)| Step::Place(s, h)),
        1 => site.clone().prop_map(Step::Drill),
        2 => (site, any::<bool>()).prop_map(|(s, end)| Step::DrillEnd(s, end)),
    ]
}

/// Memberships to walk through: one set, joint, another set, with nodes that leave and come back.
fn members(n: u8) -> Membership {
    let of = |ids: &[u64]| ids.iter().copied().map(NodeId).collect::<Vec<_>>();
    match n {
        0 => Membership::of(of(&[1, 2, 3])),
        1 => Membership::joint(of(&[1, 2, 3]), of(&[2, 3, 4])),
        2 => Membership::of(of(&[2, 3, 4])),
        3 => Membership::joint(of(&[1, 2, 3]), of(&[1, 2, 3, 4, 5])),
        4 => Membership::of(of(&[1, 2, 3, 4, 5])),
        _ => Membership::joint(of(&[1, 2, 3]), of(&[4, 5, 6])),
    }
}

/// The log, and everything that must hold about it.
struct World {
    log: Log,
    rounds: BTreeMap<u64, Vec<Round>>,
    epochs: BTreeMap<u64, Vec<Epoch>>,
    /// Who was ever given an epoch.
    given: BTreeMap<(u64, Epoch), HostId>,
    removed: BTreeSet<NodeId>,
    activations: u32,
}

impl World {
    fn new() -> Self {
        let mut log = Log::fleet(2);
        for n in 4..=6 {
            log.must(Command::AddNode { node: NodeId(n), role: Role::Full });
        }
        let epochs = (1..=2).map(|n| (n, vec![log.epoch(n)])).collect();
        let given = (1..=2).map(|n| ((n, log.epoch(n)), home(n))).collect();
        Self { log, rounds: BTreeMap::new(), epochs, given, removed: BTreeSet::new(), activations: 0 }
    }

    fn round(&self, n: u64, age: Age) -> Round {
        let rounds = self.rounds.get(&n).map_or(&[][..], |rounds| rounds);
        let back = match age {
            Age::Now => 1,
            Age::Before => 2,
        };
        rounds.len().checked_sub(back).map_or(Round(0), |at| rounds[at])
    }

    fn epoch(&self, n: u64, age: Age) -> Epoch {
        let epochs = &self.epochs[&n];
        match age {
            Age::Now => self.log.epoch(n),
            Age::Before => epochs[epochs.len().saturating_sub(2)],
        }
    }

    fn command(&mut self, step: &Step) -> Option<Command> {
        Some(match *step {
            Step::Suspect(n, truly) => {
                let known = self.log.state.site(&site(n)).unwrap();
                let holder = if truly { known.holder().clone() } else { hub(3) };
                Command::Suspect { site: site(n), holder, answers: None }
            }
            Step::Silent(n, voter, age) => silent(n, self.round(n, age), voter),
            Step::Heard(n, voter, age) => heard(n, self.round(n, age), voter),
            Step::Lost(n, round, epoch, to, proposer) => {
                let command = lost_to(n, self.round(n, round), self.epoch(n, epoch), hub(to));
                let Command::Verdict(verdict) = command else { return None };
                Command::Verdict(Verdict { proposer: NodeId(proposer), ..verdict })
            }
            Step::Dark(n, round, epoch, to) => {
                dark(n, self.round(n, round), self.epoch(n, epoch), Some(hub(to)))
            }
            Step::Person(n, epoch, to) => person(n, self.epoch(n, epoch), hub(to)),
            Step::Planned(n, epoch) => {
                let (site, expected) = (site(n), self.epoch(n, epoch));
                Command::TakeOver { site, expected, host: hub(1), ground: TakeOverGround::Planned }
            }
            Step::Declare(n, on) => {
                let bye = crate::beat::Bye::Shutdown;
                let plan = on.then_some(Plan::Bye { origin: origin(1), bye });
                Command::Declare { site: site(n), plan }
            }
            Step::Heal(n, epoch) => Command::Heal { site: site(n), expected: self.epoch(n, epoch) },
            Step::Relapse(n, epoch) => Command::Relapse { site: site(n), expected: self.epoch(n, epoch) },
            Step::Failback(n, epoch) => {
                Command::Failback { site: site(n), expected: self.epoch(n, epoch), by: None }
            }
            Step::Return(n, epoch, keyframes) => Command::Return(Return {
                site: site(n),
                expected: self.epoch(n, epoch),
                standby: Some(BTreeSet::from([camera(&site(n), 1)])),
                overlap: BTreeMap::from([(camera(&site(n), 1), keyframes)]),
                silent_for: Duration::ZERO,
            }),
            Step::Members(n) => Command::Membership(members(n)),
            Step::NewTerm => {
                self.log.term += 1;
                return None;
            }
            Step::Recover(salt) => Command::Recover { seen: Generation::default(), salt },
            Step::Seen(n, epoch) => {
                let epoch = Epoch { n: 1_000, ..self.epoch(n, epoch) };
                Command::SeenEpoch { site: site(n), epoch, salt: self.log.index }
            }
            Step::Drill(n) => {
                let (kind, length) = (crate::control::DrillKind::Wan, Duration::from_secs(30));
                let order = DrillOrder { id: "x".into(), kind, shadow: true, length, by: "ada".into() };
                Command::Drill { site: site(n), order }
            }
            Step::DrillEnd(n, end) => {
                let drill =
                    self.log.state.site(&site(n)).unwrap().drill.as_ref().map_or(0, |drill| drill.index);
                match end {
                    true => Command::EndDrill { site: site(n), drill },
                    false => Command::DrillOver { site: site(n), drill, by: None },
                }
            }
            Step::Place(n, to) => Command::Place { site: site(n), host: Some(hub(to)) },
        })
    }

    fn take(&mut self, step: &Step) {
        let Some(command) = self.command(step) else { return };
        let before = self.log.state.clone();
        if let Command::Membership(membership) = &command {
            self.removed.extend(before.membership().voters().difference(&membership.voters()));
        }
        let events = match self.log.apply(command.clone()) {
            Ok(events) => events,
            Err(_) => {
                self.refused_changed_nothing(&before);
                return;
            }
        };
        for event in &events {
            self.note(&before, event);
        }
        for n in 1..=2 {
            self.holds(&before, n);
        }
    }

    fn note(&mut self, before: &crate::control::State, event: &Event) {
        let number = |name: &crate::SiteId| if *name == site(1) { 1 } else { 2 };
        match event {
            Event::RoundOpened { site, round, .. } => {
                self.rounds.entry(number(site)).or_default().push(*round);
            }
            Event::EpochRaised { site, epoch, host } => self.give(number(site), *epoch, host),
            Event::Authority { site, epoch, host, why } => {
                self.give(number(site), *epoch, host);
                assert_eq!((why.before.next(), why.after), (*epoch, *epoch), "one step at a time");
                if let Ground::Silence(silence) = &why.ground {
                    self.had_a_majority(before, silence);
                    self.activations += 1;
                }
            }
            Event::Armed { why, .. } => {
                let Ground::Silence(silence) = &why.ground else { panic!("armed on {:?}", why.ground) };
                self.had_a_majority(before, silence);
            }
            _ => {}
        }
    }

    /// No epoch is given twice, and none is below one that was given.
    fn give(&mut self, n: u64, epoch: Epoch, host: &HostId) {
        let epochs = self.epochs.get_mut(&n).unwrap();
        assert!(epochs.iter().all(|old| *old < epoch), "{epoch} after {epochs:?}");
        epochs.push(epoch);
        assert_eq!(self.given.insert((n, epoch), host.clone()), None);
    }

    /// Counted here from the record alone, by other code than the state's.
    fn had_a_majority(&self, before: &crate::control::State, silence: &Silence) {
        assert!(!before.membership().sets.is_empty());
        for set in &before.membership().sets {
            let said =
                silence.silent.keys().filter(|voter| set.contains(voter) && !self.removed.contains(voter));
            assert!(said.count() > set.len() / 2, "{silence:?} in {set:?}");
        }
    }

    fn refused_changed_nothing(&self, before: &crate::control::State) {
        let mut before = before.clone();
        before.at = self.log.state.at;
        assert!(before == self.log.state, "a refused command changed {before:?} to {:?}", self.log.state);
    }

    fn holds(&self, before: &crate::control::State, n: u64) {
        let (was, is) = (before.site(&site(n)).unwrap(), self.log.state.site(&site(n)).unwrap());
        assert!(is.epoch >= was.epoch, "epochs never go back");
        assert!(is.holder() == was.holder() || is.epoch > was.epoch, "authority moved under one epoch");
        assert_eq!(self.given[&(n, is.epoch)], *is.holder(), "the holder is who was given the epoch");
        let away = matches!(is.life.stage(), Stage::Recording | Stage::Healing | Stage::Failback);
        assert_eq!(away, is.is_away());
        assert!(is.life.stage() != Stage::Suspect || is.round.is_some(), "suspect without a round");
        let open = is.round.iter().all(|open| open.holder == *is.holder());
        assert!(open, "a round about somebody without authority");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn one_authority_per_epoch_no_way_back_no_verdict_without_a_majority(
        steps in prop::collection::vec(step(), 1..250)
    ) {
        let mut world = World::new();
        for step in &steps {
            world.take(step);
        }
    }
}

#[test]
fn random_logs_do_reach_activations() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let mut activations = 0;
    for _ in 0..50 {
        let steps = prop::collection::vec(step(), 250).new_tree(&mut runner).unwrap().current();
        let mut world = World::new();
        steps.iter().for_each(|step| world.take(step));
        activations += world.activations;
    }
    assert!(activations >= 50, "only {activations}: the test above shows little");
}
