//! Histories that were restored.

use super::*;
use crate::control::{Call, Refusal};
use crate::epoch::Generation;
use crate::standby::Stage;

fn recover(salt: u64) -> Command {
    Command::Recover { seen: Generation::default(), salt }
}

#[test]
fn a_restored_log_is_above_every_epoch_and_deletes_nothing_until_a_person_looked() {
    let mut log = Log::fleet(2);
    let away = activate(&mut log, 1);
    suspect(&mut log, 2);
    let events = log.must(recover(7));
    assert!(log.epoch(1) > away && log.state.deletion_suspended());
    assert!(events.contains(&Event::CallPerson(Call::Recovered)));
    assert!(authorities(&events).is_empty(), "nobody gains or loses authority");
    assert_eq!(log.state.site(&site(1)).unwrap().holder(), &hub(1));
    let second = log.state.site(&site(2)).unwrap();
    assert_eq!((second.life.stage(), &second.round), (Stage::Home, &None));
    log.must(Command::ConfirmDeletion { by: "ada".into() });
    assert!(!log.state.deletion_suspended());
}

#[test]
fn two_restores_of_one_backup_never_give_one_epoch_to_two_hosts() {
    // Restored, hub-1 takes over; lost again, restored from the same backup, hub-2 takes over. An enforcer that
    // heard of the first must be able to tell them apart.
    let backup = Log::fleet(1);
    let (mut first, mut second) = (backup.clone(), backup);
    first.must(recover(11));
    second.must(recover(12));
    let one = activate(&mut first, 1);
    let epoch = second.epoch(1);
    second.must(person(1, epoch, hub(2)));
    assert_ne!(one, second.epoch(1));
}

#[test]
fn a_site_that_saw_more_raises_its_own_epoch_and_nobody_elses() {
    let mut log = Log::fleet(2);
    let shown = Epoch { generation: Generation { count: 5, salt: 3 }, n: 40 };
    let other = log.epoch(2);
    let events = log.must(Command::SeenEpoch { site: site(1), epoch: shown, salt: 8 });
    assert!(log.epoch(1) > shown && log.epoch(2) == other);
    assert!(events.contains(&Event::CallPerson(Call::ForeignEpoch { site: site(1), shown })));
    let again = log.apply(Command::SeenEpoch { site: site(1), epoch: shown, salt: 9 });
    assert_eq!(again, Err(Refusal::KnownEpoch(shown)));
    activate(&mut log, 1);
}

#[test]
fn a_site_can_not_use_up_the_generations() {
    let mut log = Log::fleet(1);
    let before = log.epoch(1);
    let nonsense = Epoch { generation: Generation { count: u64::MAX, salt: u64::MAX }, n: u64::MAX };
    let events = log.must(Command::SeenEpoch { site: site(1), epoch: nonsense, salt: 8 });
    assert_eq!(events, [Event::CallPerson(Call::ForeignEpoch { site: site(1), shown: nonsense })]);
    assert_eq!(log.epoch(1), before);
    activate(&mut log, 1);
}

#[test]
fn a_restore_above_a_site_that_had_seen_more_is_above_that_too() {
    let mut log = Log::fleet(1);
    let shown = Epoch { generation: Generation { count: 9, salt: 1 }, n: 0 };
    log.must(Command::SeenEpoch { site: site(1), epoch: shown, salt: 2 });
    let raised = log.epoch(1);
    log.must(recover(5));
    assert!(log.epoch(1) > raised);
}

#[test]
fn a_snapshot_read_back_goes_on_alike() {
    let mut log = Log::fleet(2);
    activate(&mut log, 1);
    let round = suspect(&mut log, 2);
    let text = serde_json::to_string(&log.state).unwrap();
    let mut copy = Log { state: serde_json::from_str(&text).unwrap(), ..log };
    assert_eq!(copy.state, log.state);
    assert_eq!(copy.apply(silent(2, round, 1)), log.apply(silent(2, round, 1)));
    assert_eq!(copy.state, log.state);
}
