//! A control log of one hub node and one site, written by hand.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use decide::control::{
    BitsPerSecond, CameraSpec, Command, FailbackPolicy, HostKind, HostSpec, Load, Membership, Return, Role,
    SiteSpec, Stamp, State, TakeOverGround, Tier,
};
use decide::{CameraId, Epoch, HostId, NodeId, SiteId, Term};
use wire::UnixMicros;

use super::camera;

const MEGABIT: u64 = 1_000_000;

pub(crate) struct Fleet {
    state: State,
    index: u64,
}

pub(crate) fn site() -> SiteId {
    SiteId::new("shop-1").unwrap()
}

pub(crate) fn hub() -> HostId {
    HostId::new("hub-1").unwrap()
}

impl Fleet {
    /// The site has its place on the hub; its cameras are these.
    pub(crate) fn placed(cameras: &[&str]) -> Self {
        let mut fleet = Self { state: State::default(), index: 0 };
        let room = Load { streams: 100, rate: BitsPerSecond(1_000 * MEGABIT) };
        let host = |kind, capacity, domain: &str| HostSpec {
            kind,
            capacity,
            domain: domain.to_owned(),
            draining: false,
        };
        let home = HostId::new("shop-1").unwrap();
        let spec = SiteSpec {
            home: home.clone(),
            priority: 1,
            tier: Tier::Warm,
            failback: FailbackPolicy::default(),
            uplink: BitsPerSecond(100 * MEGABIT),
            prefer: Vec::new(),
        };
        fleet.must(Command::AddNode { node: NodeId(1), role: Role::Full });
        fleet.must(Command::SetHost { host: hub(), spec: host(HostKind::Node(NodeId(1)), room, "dc-1") });
        fleet.must(Command::Membership(Membership::of([NodeId(1)])));
        fleet.must(Command::SetHost {
            host: home,
            spec: host(HostKind::Site(site()), Load::default(), "shop"),
        });
        fleet.must(Command::SetSite { site: site(), spec });
        fleet.configure(1, cameras.iter().map(|id| (camera(id), false)).collect());
        fleet.must(Command::Place { site: site(), host: Some(hub()) });
        fleet
    }

    /// The site accepted a configuration: its cameras, and which of them have one session only.
    pub(crate) fn configure(&mut self, revision: u64, cameras: BTreeMap<CameraId, bool>) {
        let spec = |single_session| CameraSpec {
            priority: 1,
            main: BitsPerSecond(2 * MEGABIT),
            sub: None,
            single_session,
        };
        let cameras = cameras.into_iter().map(|(camera, single)| (camera, spec(single))).collect();
        self.must(Command::Config { site: site(), revision, cameras, log_ins_since: None });
    }

    pub(crate) fn take_over(&mut self) {
        let ground = TakeOverGround::Person { by: "test".to_owned(), reason: "a drill".to_owned() };
        self.must(Command::TakeOver { site: site(), expected: self.epoch(), host: hub(), ground });
    }

    pub(crate) fn suspect(&mut self) {
        self.must(Command::Suspect { site: site(), holder: HostId::new("shop-1").unwrap(), answers: None });
    }

    pub(crate) fn heal(&mut self) {
        self.must(Command::Heal { site: site(), expected: self.epoch() });
    }

    pub(crate) fn fail_back(&mut self) {
        self.must(Command::Failback { site: site(), expected: self.epoch(), by: Some("test".to_owned()) });
    }

    /// Authority goes home, with an overlap of every camera.
    pub(crate) fn go_home(&mut self) {
        let cameras: BTreeSet<_> = self.state.site(&site()).unwrap().cameras.keys().cloned().collect();
        self.must(Command::Return(Return {
            site: site(),
            expected: self.epoch(),
            overlap: cameras.iter().map(|camera| (camera.clone(), 9)).collect(),
            standby: Some(cameras),
            silent_for: Duration::ZERO,
        }));
    }

    pub(crate) fn state(&self) -> Arc<State> {
        Arc::new(self.state.clone())
    }

    pub(crate) fn index(&self) -> u64 {
        self.index
    }

    pub(crate) fn epoch(&self) -> Epoch {
        self.state.site(&site()).unwrap().epoch
    }

    fn must(&mut self, command: Command) {
        self.index += 1;
        let stamp = Stamp { index: self.index, term: Term(1), time: UnixMicros(0) };
        if let Err(refusal) = self.state.apply(stamp, &command) {
            panic!("{command:?} was refused: {refusal}");
        }
    }
}
