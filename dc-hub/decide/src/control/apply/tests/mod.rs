//! Each guard, with the schedule that it stops; then random logs.

mod drill;
mod holds;
mod home;
mod members;
mod random;
mod restore;
mod rounds;

use crate::control::{Command, Event, Finding, TakeOverGround, Verdict};
use crate::epoch::{Epoch, Round};
use crate::fixtures::{Log, answers, home, hub, quiet, site};
use crate::ids::{HostId, NodeId};

/// Opens a round on the home of site `n`.
fn suspect(log: &mut Log, n: u64) -> Round {
    log.must(Command::Suspect { site: site(n), holder: home(n), answers: None });
    log.state.site(&site(n)).unwrap().round.as_ref().unwrap().round
}

fn silent(n: u64, round: Round, voter: u64) -> Command {
    Command::Silent { site: site(n), round, voter: NodeId(voter), quiet: quiet() }
}

fn heard(n: u64, round: Round, voter: u64) -> Command {
    let arrival = crate::beat::Arrival::Direct(crate::fixtures::wan());
    Command::Heard { site: site(n), round, voter: NodeId(voter), arrival }
}

/// Verdict recorder-lost: hub-1 takes over.
fn lost(n: u64, round: Round, expected: Epoch) -> Command {
    lost_to(n, round, expected, hub(1))
}

fn lost_to(n: u64, round: Round, expected: Epoch, to: HostId) -> Command {
    let finding = Finding::RecorderLost { answers: answers(n, to) };
    Command::Verdict(Verdict { site: site(n), round, expected, proposer: NodeId(1), finding })
}

fn dark(n: u64, round: Round, expected: Epoch, to: Option<HostId>) -> Command {
    let finding = Finding::Dark { host: to };
    Command::Verdict(Verdict { site: site(n), round, expected, proposer: NodeId(1), finding })
}

/// Site `n` loses its recorder; hub-1 takes over by a majority.
fn activate(log: &mut Log, n: u64) -> Epoch {
    let (round, epoch) = (suspect(log, n), log.epoch(n));
    log.must(silent(n, round, 1));
    log.must(silent(n, round, 3));
    log.must(lost(n, round, epoch));
    log.epoch(n)
}

fn person(n: u64, expected: Epoch, to: HostId) -> Command {
    let ground = TakeOverGround::Person { by: "ada".into(), reason: "a drill".into() };
    Command::TakeOver { site: site(n), expected, host: to, ground }
}

/// Who was given authority, under which epoch.
fn authorities(events: &[Event]) -> Vec<(Epoch, HostId)> {
    let given = |event: &Event| match event {
        Event::Authority { epoch, host, .. } => Some((*epoch, host.clone())),
        _ => None,
    };
    events.iter().filter_map(given).collect()
}
