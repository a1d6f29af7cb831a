//! A seed's schedule of faults.
//!
//! Not every seed has every kind of fault: a run in which only two kinds meet reaches states that a run with
//! all of them never does.

use std::time::Duration;

use super::{Fault, Planned, Ways};
use crate::chance::Chance;
use crate::node::{NodeIx, SiteIx};
use crate::params::Params;
use crate::time::{Time, ms, secs};

/// Kinds of faults a seed may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    CutOne,
    CutWan,
    Clog,
    Loss,
    UdpBlock,
    KillSite,
    KillHub,
    Power,
    Pause,
    Camera,
    Wall,
    Stall,
    Copy,
    Rot,
    Dark,
    Elect,
    Replace,
}

const KINDS: [Kind; 17] = [
    Kind::CutOne,
    Kind::CutWan,
    Kind::Clog,
    Kind::Loss,
    Kind::UdpBlock,
    Kind::KillSite,
    Kind::KillHub,
    Kind::Power,
    Kind::Pause,
    Kind::Camera,
    Kind::Wall,
    Kind::Stall,
    Kind::Copy,
    Kind::Rot,
    Kind::Dark,
    Kind::Elect,
    Kind::Replace,
];

/// The schedule of a seed.
pub fn of(params: &Params) -> Vec<Planned> {
    let mut chance = Chance::of(params.seed, "faults");
    let kinds: Vec<Kind> = KINDS.into_iter().filter(|_| chance.permille(400)).collect();
    let mut plan = Vec::new();
    let mut at = Time::ZERO + secs(5);
    while !kinds.is_empty() {
        at += chance.until_next(params.fault_every);
        if at >= Time::ZERO + params.faulty {
            break;
        }
        let kind = *chance.pick(&kinds);
        let lasts = lasting(&mut chance);
        plan.extend(faults(kind, params, &mut chance).into_iter().map(|fault| Planned { at, fault, lasts }));
    }
    plan
}

/// Links that come and go; every few minutes they rest, and a recorder dies.
pub fn flapping(params: &Params) -> Vec<Planned> {
    let mut chance = Chance::of(params.seed, "flaps");
    let mut plan = Vec::new();
    let mut at = Time::ZERO + secs(60);
    let end = Time::ZERO + params.faulty;
    while at + secs(600) < end {
        let rest = at + chance.span(secs(60), secs(400));
        loop {
            at += chance.until_next(params.fault_every);
            if at >= rest {
                break;
            }
            let kind = *chance.pick(&[Kind::CutOne, Kind::CutWan, Kind::CutWan]);
            let lasts = flap(&mut chance).min(rest.since(at));
            plan.extend(faults(kind, params, &mut chance).into_iter().map(|fault| Planned {
                at,
                fault,
                lasts,
            }));
        }
        at = rest + chance.span(secs(60), secs(90));
        let site = NodeIx::at(chance.below(params.sites));
        let fault = if chance.coin() { Fault::Kill(site) } else { Fault::Power(site) };
        plan.push(Planned { at, fault, lasts: chance.span(secs(20), secs(60)) });
        at += secs(180);
    }
    plan
}

/// How long a link is away: as often a tenth of a second as half a minute.
fn flap(chance: &mut Chance) -> Duration {
    let scale = chance.between(0, 8);
    chance.span(ms(100 << scale), ms(200 << scale)).min(secs(40))
}

/// Does nothing in a schedule make the beats of a healthy recorder late?
pub fn has_clean_beats(plan: &[Planned]) -> bool {
    !plan.iter().any(|planned| matches!(planned.fault, Fault::Clog(..) | Fault::Loss(..) | Fault::Pause(_)))
}

/// A moment, a while, or long.
fn lasting(chance: &mut Chance) -> Duration {
    match chance.below(6) {
        0 => chance.span(ms(50), ms(900)),
        1 | 2 => chance.span(secs(1), secs(10)),
        3 | 4 => chance.span(secs(10), secs(45)),
        _ => chance.span(secs(45), secs(240)),
    }
}

fn faults(kind: Kind, params: &Params, chance: &mut Chance) -> Vec<Fault> {
    let nodes = params.sites + params.hubs;
    let site = NodeIx::at(chance.below(params.sites));
    let hub = NodeIx::at(params.sites + chance.below(params.hubs));
    let any = NodeIx::at(chance.below(nodes));
    let site_ix = SiteIx(site.0);
    let hubs = || (params.sites..nodes).map(NodeIx::at);
    let ways = *chance.pick(&[Ways::Both, Ways::Both, Ways::There, Ways::Back]);
    match kind {
        // Also between hub nodes.
        Kind::CutOne if any != hub => vec![Fault::Cut(any, hub, ways)],
        Kind::CutOne => vec![Fault::Cut(site, hub, ways)],
        Kind::CutWan => hubs().map(|hub| Fault::Cut(site, hub, ways)).collect(),
        Kind::Clog => vec![Fault::Clog(site, hub, chance.span(ms(200), secs(8)))],
        Kind::Loss => vec![Fault::Loss(site, hub, u32::try_from(chance.between(10, 600)).unwrap_or(0))],
        Kind::UdpBlock if chance.coin() => hubs().map(|hub| Fault::UdpBlock(site, hub)).collect(),
        Kind::UdpBlock => vec![Fault::UdpBlock(site, hub)],
        Kind::KillSite => vec![Fault::Kill(site)],
        Kind::KillHub => vec![Fault::Kill(hub)],
        Kind::Power => vec![Fault::Power(any)],
        Kind::Pause => vec![Fault::Pause(any)],
        Kind::Camera => vec![Fault::Camera(site_ix, chance.below(params.cameras))],
        Kind::Wall => {
            let by = i64::try_from(chance.between(1, 10_000)).unwrap_or(0);
            vec![Fault::Wall(any, if chance.coin() { by } else { -by })]
        }
        Kind::Stall => vec![Fault::Stall(any, chance.span(ms(100), secs(4)))],
        Kind::Copy if chance.coin() => vec![Fault::Snapshot(site_ix)],
        Kind::Copy => vec![Fault::Restore(site_ix)],
        Kind::Rot => vec![Fault::Rot(site_ix)],
        Kind::Dark => vec![Fault::Dark(site_ix)],
        Kind::Elect => vec![Fault::Elect],
        Kind::Replace => vec![Fault::Replace],
    }
}
