//! Rounds and what may follow from one.

use super::*;
use crate::control::{Call, Closed, Ground, Membership, Refusal, Role, Tally};
use crate::fixtures::no_answers;
use crate::standby::{Mode, Stage};

fn stage(log: &Log, n: u64) -> Stage {
    log.state.site(&site(n)).unwrap().life.stage()
}

#[test]
fn a_majority_and_answering_cameras_move_authority_and_say_why() {
    let mut log = Log::fleet(1);
    let (round, before) = (suspect(&mut log, 1), log.epoch(1));
    log.must(silent(1, round, 2));
    log.must(silent(1, round, 3));
    let events = log.must(lost(1, round, before));
    assert_eq!(authorities(&events), [(before.next(), hub(1))]);
    assert!(events.contains(&Event::RoundClosed { site: site(1), round, closed: Closed::Moved }));
    let why = log.state.site(&site(1)).unwrap().why.clone().unwrap();
    let Ground::Silence(silence) = why.ground else { panic!("{why:?}") };
    assert_eq!(silence.silent.keys().copied().collect::<Vec<_>>(), [NodeId(2), NodeId(3)]);
    assert_eq!(silence.tallies, [Tally { said: 2, voters: 3 }]);
    assert_eq!((silence.proposer, silence.holder), (NodeId(1), home(1)));
    assert!(silence.answers.is_some());
}

#[test]
fn the_proposer_does_not_count_unless_it_said_so() {
    let mut log = Log::fleet(1);
    let (round, epoch) = (suspect(&mut log, 1), log.epoch(1));
    log.must(silent(1, round, 2));
    let refused = log.apply(lost(1, round, epoch));
    assert_eq!(refused, Err(Refusal::NoMajority(vec![Tally { said: 1, voters: 3 }])));
    log.must(silent(1, round, 1));
    log.must(lost(1, round, epoch));
}

#[test]
fn a_voter_that_says_it_twice_counts_once() {
    let mut log = Log::fleet(1);
    let (round, epoch) = (suspect(&mut log, 1), log.epoch(1));
    log.must(silent(1, round, 2));
    assert_eq!(log.apply(silent(1, round, 2)), Err(Refusal::AlreadySo));
    assert!(matches!(log.apply(lost(1, round, epoch)), Err(Refusal::NoMajority(_))));
}

#[test]
fn a_beat_before_the_verdict_wins_and_one_after_it_is_too_late() {
    let mut log = Log::fleet(2);
    let (round, epoch) = (suspect(&mut log, 1), log.epoch(1));
    log.must(silent(1, round, 1));
    log.must(silent(1, round, 2));
    log.must(heard(1, round, 3));
    assert_eq!(log.apply(lost(1, round, epoch)), Err(Refusal::NoRound(round)));
    assert_eq!((stage(&log, 1), log.epoch(1)), (Stage::Home, epoch));

    let round = suspect(&mut log, 2);
    log.must(silent(2, round, 1));
    log.must(silent(2, round, 2));
    log.must(lost(2, round, epoch));
    assert_eq!(log.apply(heard(2, round, 3)), Err(Refusal::NoRound(round)));
    assert_eq!(stage(&log, 2), Stage::Recording);
}

#[test]
fn words_about_an_earlier_round_do_not_count_in_a_later_one() {
    let mut log = Log::fleet(1);
    let (old, epoch) = (suspect(&mut log, 1), log.epoch(1));
    log.must(silent(1, old, 1));
    log.must(heard(1, old, 2));
    let new = suspect(&mut log, 1);
    assert_eq!(log.apply(silent(1, old, 1)), Err(Refusal::NoRound(old)));
    log.must(silent(1, new, 3));
    assert!(matches!(log.apply(lost(1, new, epoch)), Err(Refusal::NoMajority(_))));
    assert_eq!(
        log.apply(heard(1, old, 2)),
        Err(Refusal::NoRound(old)),
        "a late word doesn't close it either"
    );
}

#[test]
fn a_round_of_an_earlier_reign_leads_to_nothing() {
    let mut log = Log::fleet(1);
    let (round, epoch) = (suspect(&mut log, 1), log.epoch(1));
    log.must(silent(1, round, 1));
    log.must(silent(1, round, 2));
    log.term += 1;
    assert!(matches!(log.apply(lost(1, round, epoch)), Err(Refusal::StaleTerm { .. })));
    let again = suspect(&mut log, 1);
    assert_eq!(log.apply(silent(1, round, 3)), Err(Refusal::NoRound(round)));
    assert!(matches!(log.apply(lost(1, again, epoch)), Err(Refusal::NoMajority(_))), "asked anew");
    let reopened = log.apply(Command::Suspect { site: site(1), holder: home(1), answers: None });
    assert_eq!(reopened, Err(Refusal::RoundOpen(again)), "one round of a reign at a time");
}

#[test]
fn a_verdict_decided_under_another_epoch_is_refused() {
    let mut log = Log::fleet(1);
    let old = log.epoch(1);
    let away = activate(&mut log, 1);
    // hub-1 falls silent too; a verdict of the first leader's arrives again under the old epoch.
    log.must(Command::Suspect { site: site(1), holder: hub(1), answers: None });
    let round = log.state.site(&site(1)).unwrap().round.as_ref().unwrap().round;
    log.must(silent(1, round, 2));
    log.must(silent(1, round, 3));
    let refused = log.apply(lost_to(1, round, old, hub(2)));
    assert_eq!(refused, Err(Refusal::EpochMoved { expected: old, now: away }));
    let events = log.must(lost_to(1, round, away, hub(2)));
    assert_eq!(authorities(&events), [(away.next(), hub(2))], "its host died: another takes over");
}

#[test]
fn both_sets_are_asked_while_the_membership_is_joint() {
    let mut log = Log::fleet(1);
    for n in 4..=5 {
        log.must(Command::AddNode { node: NodeId(n), role: Role::Witness });
    }
    let (round, epoch) = (suspect(&mut log, 1), log.epoch(1));
    log.must(silent(1, round, 1));
    log.must(silent(1, round, 2));
    let joint = Membership::joint([1, 2, 3].map(NodeId), [3, 4, 5].map(NodeId));
    log.must(Command::Membership(joint));
    assert!(matches!(log.apply(lost(1, round, epoch)), Err(Refusal::NoMajority(_))), "none of the new ones");
    log.must(silent(1, round, 4));
    log.must(silent(1, round, 5));
    log.must(lost(1, round, epoch));
}

#[test]
fn voters_count_as_of_the_verdict_not_as_of_their_word() {
    let mut log = Log::fleet(1);
    log.must(Command::AddNode { node: NodeId(4), role: Role::Full });
    let (round, epoch) = (suspect(&mut log, 1), log.epoch(1));
    log.must(silent(1, round, 1));
    log.must(silent(1, round, 2));
    log.must(Command::Membership(Membership::of([1, 3, 4].map(NodeId))));
    let refused = log.apply(lost(1, round, epoch));
    assert_eq!(refused, Err(Refusal::NoMajority(vec![Tally { said: 1, voters: 3 }])));
    assert_eq!(log.apply(silent(1, round, 2)), Err(Refusal::NodeRemoved(NodeId(2))));
    assert_eq!(log.apply(heard(1, round, 2)), Err(Refusal::NodeRemoved(NodeId(2))), "nor can it veto");
}

#[test]
fn a_node_id_that_comes_back_is_in_the_denominator_and_never_counts() {
    let mut log = Log::fleet(1);
    log.must(Command::Membership(Membership::of([1, 2].map(NodeId))));
    let events = log.must(Command::Membership(Membership::of([1, 2, 3].map(NodeId))));
    assert_eq!(events, [Event::CallPerson(Call::NodeIdReused { node: NodeId(3) })]);
    let (round, epoch) = (suspect(&mut log, 1), log.epoch(1));
    log.must(silent(1, round, 1));
    assert_eq!(log.apply(silent(1, round, 3)), Err(Refusal::NodeRemoved(NodeId(3))));
    assert!(matches!(log.apply(lost(1, round, epoch)), Err(Refusal::NoMajority(_))));
}

#[test]
fn nothing_is_activated_where_nothing_can_be_recorded() {
    let mut log = Log::fleet(1);
    let (round, epoch) = (suspect(&mut log, 1), log.epoch(1));
    log.must(silent(1, round, 1));
    log.must(silent(1, round, 2));
    for seen in [no_answers(1, hub(1)), answers(2, hub(1))] {
        let finding = Finding::RecorderLost { answers: seen };
        let verdict = Verdict { site: site(1), round, expected: epoch, proposer: NodeId(1), finding };
        assert_eq!(log.apply(Command::Verdict(verdict)), Err(Refusal::NoAnswers(site(1))));
    }
}

#[test]
fn a_dark_site_keeps_its_epoch_and_turns_into_a_lost_recorder_when_a_camera_answers() {
    // A site behind a cut WAN for 20 s: armed, then the WAN heals. Nothing it did meanwhile may be fenced.
    let mut log = Log::fleet(1);
    let (round, epoch) = (suspect(&mut log, 1), log.epoch(1));
    log.must(silent(1, round, 1));
    log.must(silent(1, round, 2));
    let events = log.must(dark(1, round, epoch, Some(hub(1))));
    assert!(authorities(&events).is_empty());
    let known = log.state.site(&site(1)).unwrap();
    assert!(known.is_armed() && known.epoch == epoch && known.holder() == &home(1));
    assert_eq!(log.apply(dark(1, round, epoch, Some(hub(1)))), Err(Refusal::AlreadySo));
    let mut healed = log.clone();
    healed.must(heard(1, round, 2));
    assert_eq!((stage(&healed, 1), healed.epoch(1)), (Stage::Home, epoch));
    log.must(lost(1, round, epoch));
    assert_eq!((stage(&log, 1), log.epoch(1)), (Stage::Recording, epoch.next()));
}

#[test]
fn an_armed_host_that_died_is_replaced() {
    let mut log = Log::fleet(1);
    let (round, epoch) = (suspect(&mut log, 1), log.epoch(1));
    log.must(silent(1, round, 1));
    log.must(silent(1, round, 2));
    log.must(dark(1, round, epoch, Some(hub(1))));
    log.must(dark(1, round, epoch, Some(hub(2))));
    let life = &log.state.site(&site(1)).unwrap().life;
    assert!(matches!(life, crate::standby::Life::Standby { host, mode: Mode::Armed, .. } if *host == hub(2)));
}

#[test]
fn a_dark_site_without_a_host_calls_a_person_once_a_round() {
    let mut log = Log::fleet(1);
    let (round, epoch) = (suspect(&mut log, 1), log.epoch(1));
    log.must(silent(1, round, 1));
    log.must(silent(1, round, 2));
    let events = log.must(dark(1, round, epoch, None));
    assert!(events.contains(&Event::CallPerson(Call::Unprotected { site: site(1) })));
    assert_eq!(log.apply(dark(1, round, epoch, None)), Err(Refusal::AlreadySo));
    log.must(lost(1, round, epoch));
}

#[test]
fn frozen_sites_are_not_armed_and_their_cameras_may_still_save_them() {
    let mut log = Log::fleet(3);
    log.must(Command::Freeze { sites: (1..=3).map(site).collect(), of: 3 });
    let (round, epoch) = (suspect(&mut log, 1), log.epoch(1));
    log.must(silent(1, round, 1));
    log.must(silent(1, round, 2));
    assert_eq!(log.apply(dark(1, round, epoch, Some(hub(1)))), Err(Refusal::Frozen(site(1))));
    log.must(lost(1, round, epoch));
    let round = suspect(&mut log, 2);
    log.must(heard(2, round, 1));
    assert!(!log.state.frozen().contains(&site(2)), "one that beats is frozen no more");
    assert!(log.state.frozen().contains(&site(3)));
}

#[test]
fn only_the_recorder_with_authority_is_asked_about() {
    let mut log = Log::fleet(1);
    let refused = log.apply(Command::Suspect { site: site(1), holder: hub(1), answers: None });
    assert!(matches!(refused, Err(Refusal::NotTheHolder { .. })));
    activate(&mut log, 1);
    let refused = log.apply(Command::Suspect { site: site(1), holder: home(1), answers: None });
    assert!(matches!(refused, Err(Refusal::NotTheHolder { .. })));
}
