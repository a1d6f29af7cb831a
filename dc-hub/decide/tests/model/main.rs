//! Every order of events, not only the likely ones: a small fleet, explored exhaustively to a depth.
//!
//! What is explored is the real `State::apply` and the real `Gate`; around them, at each step, any command that
//! anybody could ever have proposed may be committed: under the round or the epoch that is in force or the one
//! before, by this leader or (until it has committed something) the one before it. So lost, late, repeated and
//! overtaken proposals are all there, and so are a standby that acts long after it was replaced and a log that
//! is restored from a backup, twice.

#![allow(clippy::unwrap_used)] // a test's helpers panic like the test itself

mod fleet;
mod tail;
mod world;

use std::time::Duration;

#[cfg(feature = "mutants")]
use decide::{Mutant, Rules};
use fleet::Fleet;
use stateright::{Checker, Model};
use tail::{Salvage, Tails};

/// Explores, and gives the discoveries by name and the number of states.
fn explore(fleet: Fleet, depth: usize) -> (Vec<&'static str>, usize) {
    let checker = fleet.checker().threads(2).target_max_depth(depth).timeout(Duration::from_secs(120));
    let checker = checker.spawn_bfs().join();
    if let Some(path) = checker.discovery(fleet::SAFE) {
        println!("{}: {:?}", path.last_state().wrong.unwrap(), path.into_actions());
    }
    let mut found: Vec<&'static str> = checker.discoveries().into_keys().collect();
    found.sort_unstable();
    (found, checker.unique_state_count())
}

/// What must be reached, or the exploration shows little.
fn must_reach(found: &[&str], reached: &[&str]) {
    assert!(!found.contains(&fleet::SAFE), "see above");
    for name in reached {
        assert!(found.contains(name), "never reached: {name}");
    }
}

#[test]
fn one_site_through_activation_healing_and_return() {
    let (found, states) = explore(Fleet::one_site(), 15);
    println!("{states} states");
    must_reach(&found, &[fleet::ACTIVATED, fleet::HEARD_TOO_LATE, fleet::RETURNED, fleet::ARMED_THEN_LOST]);
}

#[test]
fn one_site_through_two_restores() {
    let (found, states) = explore(Fleet::restored(), 13);
    println!("{states} states");
    must_reach(&found, &[fleet::ACTIVATED, fleet::RESTORED_TWICE_AND_ACTIVATED]);
}

#[test]
fn one_site_while_the_membership_changes() {
    let (found, states) = explore(Fleet::joint(), 15);
    println!("{states} states");
    must_reach(&found, &[fleet::ACTIVATED, fleet::ACTIVATED_WHILE_JOINT]);
}

#[test]
fn two_sites_side_by_side() {
    let (found, states) = explore(Fleet::two_sites(), 13);
    println!("{states} states");
    must_reach(&found, &[fleet::ACTIVATED, fleet::BOTH_ACTIVATED]);
}

#[cfg(feature = "mutants")]
#[test]
fn each_rule_is_missed_when_it_is_off() {
    for mutant in
        [Mutant::EpochCheck, Mutant::Majority, Mutant::StaleRound, Mutant::HealRace, Mutant::ProposerCounts]
    {
        let (found, states) = explore(Fleet { rules: Rules::without(mutant), ..Fleet::one_site() }, 11);
        println!("{mutant:?}: {states} states");
        assert!(found.contains(&fleet::SAFE), "{mutant:?} was not noticed");
    }
}

#[test]
fn origins_and_tails_lose_nothing_that_either_side_had() {
    let checker = Tails(Salvage::Longer).checker().threads(2).target_max_depth(14).spawn_bfs().join();
    println!("{} states", checker.unique_state_count());
    let found: Vec<&str> = checker.discoveries().into_keys().collect();
    for always in [tail::KEPT, tail::ENDED, tail::AT_SITE] {
        assert!(
            !found.contains(&always),
            "{always}: {:?}",
            checker.discovery(always).map(|path| path.into_actions())
        );
    }
    for reached in [tail::SALVAGED, tail::BOTH, tail::LONGER] {
        assert!(found.contains(&reached), "never reached: {reached}");
    }
}

/// A power cut takes a fragment that the site had not synced and the hub had journaled. The next run recovers
/// the rest and says so. Salvaging only what no entry speaks of forgets the hub's last fragment.
#[test]
fn a_tail_that_reaches_further_than_its_entry_has_to_be_salvaged_too() {
    let checker = Tails(Salvage::Unknown).checker().threads(2).target_max_depth(12).spawn_bfs().join();
    let path = checker.discovery(tail::KEPT).expect("the fragment is lost");
    println!("{:?}", path.into_actions());
}
