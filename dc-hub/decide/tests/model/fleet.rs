//! What may happen, and what must hold whatever happens.

use decide::Rules;
use stateright::{Model, Property};

use crate::world::{Age, World};

pub(crate) const SAFE: &str = "one authority, no way back, no verdict without its majority";
pub(crate) const ACTIVATED: &str = "a standby took over";
pub(crate) const BOTH_ACTIVATED: &str = "both sites' standbys took over";
pub(crate) const HEARD_TOO_LATE: &str = "a beat was heard after the verdict";
pub(crate) const RETURNED: &str = "authority went home";
pub(crate) const ARMED_THEN_LOST: &str = "a dark site's camera answered";
pub(crate) const RESTORED_TWICE_AND_ACTIVATED: &str = "a standby took over after two restores";
pub(crate) const ACTIVATED_WHILE_JOINT: &str = "a standby took over while the membership was joint";

/// What is explored.
#[derive(Clone, Debug)]
pub(crate) struct Fleet {
    pub(crate) sites: u64,
    pub(crate) restores: u8,
    pub(crate) memberships: bool,
    /// May a standby be armed, and a second host take over?
    pub(crate) dark: bool,
    pub(crate) home: bool,
    pub(crate) terms: u64,
    pub(crate) rules: Rules,
}

/// A step. The names of sites, voters and hosts are their numbers.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Step {
    Suspect(u64),
    Silent(u64, u64, Age),
    Heard(u64, Age),
    Lost {
        site: u64,
        round: Age,
        epoch: Age,
        to: u64,
        term: Age,
    },
    Dark(u64),
    Heal(u64, Age),
    Failback(u64),
    Return(u64, Age),
    /// A host acts under the epoch it was told last.
    Act(u64, u64),
    /// A site shows the epoch it was told.
    Show(u64),
    NewTerm,
    Members,
    Backup,
    Restore,
}

impl Fleet {
    pub(crate) fn one_site() -> Self {
        Self {
            sites: 1,
            restores: 0,
            memberships: false,
            dark: true,
            home: true,
            terms: 2,
            rules: Rules::default(),
        }
    }

    pub(crate) fn restored() -> Self {
        Self { restores: 2, dark: false, home: false, terms: 1, ..Self::one_site() }
    }

    pub(crate) fn joint() -> Self {
        Self { memberships: true, dark: false, home: false, terms: 1, ..Self::one_site() }
    }

    pub(crate) fn two_sites() -> Self {
        Self { sites: 2, dark: false, home: false, terms: 1, ..Self::one_site() }
    }

    fn steps_of(&self, world: &World, n: u64, steps: &mut Vec<Step>) {
        let both = [Age::Now, Age::Before];
        steps.push(Step::Suspect(n));
        for age in both.into_iter().filter(|age| world.has_round(n, *age)) {
            steps.extend((1..=world.voters()).map(|voter| Step::Silent(n, voter, age)));
            steps.push(Step::Heard(n, age));
            for epoch in both.into_iter().filter(|epoch| world.has_epoch(n, *epoch)) {
                let terms = both.into_iter().filter(|term| world.may_commit(*term));
                for term in terms {
                    let hosts = if self.dark { 1..=2 } else { 1..=1 };
                    steps.extend(hosts.map(|to| Step::Lost { site: n, round: age, epoch, to, term }));
                }
            }
        }
        if self.dark {
            steps.push(Step::Dark(n));
        }
        if self.home {
            for age in both.into_iter().filter(|age| world.has_epoch(n, *age)) {
                steps.extend([Step::Heal(n, age), Step::Return(n, age)]);
            }
            steps.push(Step::Failback(n));
        }
        steps.extend(world.told(n).map(|host| Step::Act(n, host)));
        if self.restores > 0 {
            steps.push(Step::Show(n));
        }
    }
}

impl Model for Fleet {
    type State = World;
    type Action = Step;

    fn init_states(&self) -> Vec<World> {
        vec![World::new(self.sites, self.rules, self.memberships)]
    }

    fn actions(&self, world: &World, steps: &mut Vec<Step>) {
        if world.wrong.is_some() {
            return;
        }
        for n in 1..=self.sites {
            self.steps_of(world, n, steps);
        }
        if world.term() < self.terms {
            steps.push(Step::NewTerm);
        }
        if self.memberships {
            steps.push(Step::Members);
        }
        if world.restores < self.restores {
            steps.push(if world.has_backup() { Step::Restore } else { Step::Backup });
        }
    }

    fn next_state(&self, world: &World, step: Step) -> Option<World> {
        let mut next = world.clone();
        next.take(&step).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let sometimes = Property::sometimes;
        vec![
            Property::always(SAFE, |_, world: &World| world.wrong.is_none()),
            sometimes(ACTIVATED, |_, world: &World| world.activated(1)),
            sometimes(BOTH_ACTIVATED, |_, world: &World| world.activated(1) && world.activated(2)),
            sometimes(HEARD_TOO_LATE, |_, world: &World| world.reached.heard_too_late),
            sometimes(RETURNED, |_, world: &World| world.reached.returned),
            sometimes(ARMED_THEN_LOST, |_, world: &World| world.reached.armed_then_lost),
            sometimes(RESTORED_TWICE_AND_ACTIVATED, |_, world: &World| {
                world.restores == 2 && world.reached.activated_since_restore
            }),
            sometimes(ACTIVATED_WHILE_JOINT, |_, world: &World| world.reached.activated_while_joint),
        ]
    }
}
