//! Everything in a run. What happens when an event's time has come is in [`crate::dispatch`].

use std::collections::BTreeSet;
use std::rc::Rc;

use decide::enforcer::Gate;
use decide::{NodeId, Rules};
use wire::VaultId;

use crate::chance::Chance;
use crate::control::log::{ControlLog, Entry};
use crate::control::node::HubNode;
use crate::control::{HubIx, Names, setup};
use crate::event::Event;
use crate::fault::{Planned, text};
use crate::model::camera::Camera;
use crate::model::clock::Clock;
use crate::mutant::Mutant;
use crate::node::{Node, NodeIx, SiteIx};
use crate::oracle::Oracle;
use crate::params::Params;
use crate::place::archive::Archive;
use crate::place::{Place, PlaceIx, Site};
use crate::queue::Queue;
use crate::reach::Reach;
use crate::stage::{Chances, Stage};
use crate::time::Time;
use crate::trace::Trace;
use crate::vault::{Vault, VaultIx};
use crate::watched::Watched;

/// A run.
#[derive(Debug)]
pub struct World {
    /// What all act on.
    pub stage: Stage,
    /// Sites and their cameras.
    pub sites: Vec<Site>,
    /// Virtual servers on hosts: the sites' homes first.
    pub places: Vec<Place>,
    /// A vault for each site.
    pub vaults: Vec<Vault>,
    /// What goes wrong.
    pub plan: Vec<Planned>,
    /// Hub nodes.
    pub hubs: Vec<HubNode>,
    /// The control log.
    pub log: ControlLog,
    /// Nodes that vote or voted.
    pub voted: BTreeSet<NodeId>,
    /// Names for the cores.
    pub names: Rc<Names>,
    /// The gate at the hub's edge, for each site.
    pub gates: Vec<Gate>,
    /// What an outsider sees of decisions.
    pub watched: Watched,
    /// When a fault last began or ended.
    pub disturbed_at: Time,
    /// Faults of the plan that last at present.
    pub active: BTreeSet<usize>,
    /// When recording was over.
    pub stopped_at: Time,
    pub(crate) done: bool,
}

impl World {
    /// Sets a run up.
    pub fn new(params: Params, plan: Vec<Planned>, mutant: Option<Mutant>, trace: bool) -> Self {
        let seed = params.seed;
        let mut setup = Chance::of(seed, "setup");
        let machines = params.sites + params.hubs;
        let drift = |chance: &mut Chance| i64::try_from(chance.between(0, 200)).unwrap_or(0) - 100;
        let nodes = (0..machines).map(|index| {
            Node::new(text::node_name(NodeIx::at(index), params.sites), Clock::new(drift(&mut setup)))
        });
        let mut stage = Stage {
            nodes: nodes.collect(),
            net: crate::model::net::healthy(&params),
            mutant,
            now: Time::ZERO,
            zero: wire::clock::now(),
            queue: Queue::default(),
            conns: Vec::new(),
            open_conns: Vec::new(),
            chance: Chances {
                net: Chance::of(seed, "delays"),
                disk: Chance::of(seed, "disks"),
                record: Chance::of(seed, "recorders"),
                hub: Chance::of(seed, "hub"),
                log: Chance::of(seed, "log"),
            },
            oracle: Oracle::default(),
            reach: Reach::default(),
            trace: Trace::new(trace),
            violations: Vec::new(),
            params,
        };
        let params = &stage.params;
        let site_ixs = (0..params.sites).map(|index| SiteIx(u8::try_from(index).unwrap_or(u8::MAX)));
        let sites = site_ixs.clone().map(|_| Site {
            cameras: (0..params.cameras).map(|_| Camera::new(params.camera_sessions)).collect(),
            downs: vec![0; params.cameras],
            refused: vec![Vec::new(); params.cameras],
        });
        let places = site_ixs.clone().map(|site| Place {
            site,
            node: site.node(),
            archive: Archive::default(),
            snapshot: None,
            restores: 0,
            run: None,
        });
        let owner = |site: SiteIx| NodeIx::at(params.sites + site.index() % params.hubs);
        let vaults = site_ixs.map(|site| {
            let mut vault = Vault::new(site, owner(site), VaultId(setup.id()));
            vault.store.over_holes = mutant == Some(Mutant::Ranges);
            vault
        });
        let (sites, places, vaults) = (sites.collect(), places.collect(), vaults.collect());
        for (index, planned) in plan.iter().enumerate() {
            stage.queue.put(planned.at, Event::Fault(index));
        }
        stage.queue.put(Time::ZERO + stage.params.faulty, Event::Quiet);
        let end = Time::ZERO + stage.params.length();
        stage.queue.put(end - stage.params.still, Event::Still);
        let params = &stage.params;
        let names = Rc::new(Names::new(params.sites, params.hubs, params.cameras));
        let rules = mutant.and_then(Mutant::rule).map_or_else(Rules::default, Rules::without);
        let hub = |_| HubNode {
            state: decide::control::State::default().with_rules(rules),
            applied: 0,
            told_of: 0,
            reign: None,
            core: None,
            wake: Time::NEVER,
            runners: Vec::new(),
            probers: Vec::new(),
            probing: Vec::new(),
        };
        let hubs = (0..params.hubs).map(hub).collect();
        let gates = (0..params.sites).map(|_| Gate::with_rules(rules)).collect();
        let watched = Watched { accepted: vec![None; params.sites], ..Watched::default() };
        let mut world = Self {
            stage,
            sites,
            places,
            vaults,
            plan,
            hubs,
            log: ControlLog::default(),
            voted: BTreeSet::new(),
            names,
            gates,
            watched,
            disturbed_at: Time::ZERO,
            active: BTreeSet::new(),
            stopped_at: Time::NEVER,
            done: false,
        };
        let params = world.stage.params.clone();
        world.stage.tell(|| format!("{params:?}"));
        world.begin_log();
        for node in 0..machines {
            world.stage.nodes[node].up = false;
            world.start_process(NodeIx::at(node));
        }
        for hub in world.hub_ixs() {
            let end = world.log.entries.len();
            world.apply_log(hub, end);
        }
        world
    }

    /// The log as it is when the run begins: applied everywhere, and led by the first node.
    fn begin_log(&mut self) {
        let commands = setup::commands(&self.stage.params, &self.names);
        self.log.term = 1;
        self.log.leader = Some(HubIx(0));
        let time = self.stage.nodes[0].clock.wall(Time::ZERO);
        for command in commands {
            if let decide::control::Command::Membership(membership) = &command {
                self.log.membership = membership.clone();
                self.voted = membership.voters();
            }
            self.log.entries.push(Entry { term: 1, time, command: Some(command) });
        }
        self.log.entries.push(Entry { term: 1, time, command: None });
    }

    /// Lets everything happen, up to the end or the first broken rule.
    pub fn run(&mut self) {
        while !self.done && self.stage.violations.is_empty() {
            let Some((at, event)) = self.stage.queue.take() else { return };
            self.stage.now = at;
            self.handle(event);
        }
    }

    /// The vault of a site.
    pub fn vault_of(&self, site: SiteIx) -> VaultIx {
        VaultIx(site.0)
    }

    /// A place, for people.
    pub fn name_of(&self, ix: PlaceIx) -> String {
        let place = &self.places[ix.index()];
        self.stage.node(place.node).name.clone()
    }
}
