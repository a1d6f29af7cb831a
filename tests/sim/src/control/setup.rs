//! What is in the log when a run begins: nodes, hosts, sites, cameras, and a place for each site's standby.

use std::collections::BTreeMap;

use decide::control::{
    BitsPerSecond, CameraSpec, Command, FailbackPolicy, HostKind, HostSpec, Load, Membership, Role, SiteSpec,
    Tier,
};

use super::{HubIx, Names};
use crate::params::Params;

const MEGABIT: u64 = 1_000_000;

/// The commands, in order.
pub fn commands(params: &Params, names: &Names) -> Vec<Command> {
    let hubs = (0..params.hubs).map(|n| HubIx(u8::try_from(n).unwrap_or(u8::MAX)));
    let mut commands: Vec<Command> =
        hubs.clone().map(|hub| Command::AddNode { node: hub.id(), role: Role::Full }).collect();
    let voters = hubs.clone().take(params.voters).map(HubIx::id);
    commands.push(Command::Membership(Membership::of(voters)));
    let capacity = Load { streams: 100, rate: BitsPerSecond(1_000 * MEGABIT) };
    for hub in hubs.clone() {
        let host = names.hosts[hub.index()].clone();
        let spec = HostSpec {
            kind: HostKind::Node(hub.id()),
            capacity,
            domain: format!("dc-{}", hub.0),
            draining: false,
        };
        commands.push(Command::SetHost { host, spec });
    }
    for (index, site) in names.sites.iter().enumerate() {
        let home = names.homes[index].clone();
        let kind = HostKind::Site(site.clone());
        let spec = HostSpec { kind, capacity, domain: format!("site-{index}"), draining: false };
        commands.push(Command::SetHost { host: home.clone(), spec });
        let spec = SiteSpec {
            home,
            priority: 5,
            tier: Tier::Warm,
            failback: failback(params),
            uplink: BitsPerSecond(100 * MEGABIT),
            prefer: Vec::new(),
        };
        commands.push(Command::SetSite { site: site.clone(), spec });
        commands.push(Command::Config {
            site: site.clone(),
            revision: 1,
            cameras: cameras(params, names, index),
            log_ins_since: None,
        });
        let owner = HubIx(u8::try_from(index % params.hubs).unwrap_or(u8::MAX));
        commands.push(Command::SetVault { site: site.clone(), node: owner.id() });
        let host = names.hosts[(index + 1) % params.hubs].clone();
        commands.push(Command::Place { site: site.clone(), host: Some(host) });
    }
    commands
}

fn failback(params: &Params) -> FailbackPolicy {
    if params.manual_failback {
        return FailbackPolicy::Manual;
    }
    FailbackPolicy::Automatic { active_min: params.active_min, stable_min: params.stable_min }
}

fn cameras(params: &Params, names: &Names, site: usize) -> BTreeMap<decide::CameraId, CameraSpec> {
    let spec = CameraSpec {
        priority: 5,
        main: BitsPerSecond(4 * MEGABIT),
        sub: None,
        single_session: params.camera_sessions == 1,
    };
    names.cameras[site].iter().map(|camera| (camera.clone(), spec)).collect()
}
