//! A small fleet for tests: three hub nodes, each a host, and sites with two cameras.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use wire::{OriginId, SegmentNumber, UnixMicros};

use crate::beat::{Beat, CameraBeat, CameraState, Durable};
use crate::control::{
    BitsPerSecond, CameraSpec, Command, Event, FailbackPolicy, HostKind, HostSpec, Load, Membership, Refusal,
    Role, SiteSpec, Stamp, State, Tier,
};
use crate::detector::{Basis, Quiet};
use crate::epoch::{Epoch, Term};
use crate::evidence::{Answer, Answers};
use crate::ids::{CameraId, HostId, NodeId, PathId, SiteId};

pub(crate) fn site(n: u64) -> SiteId {
    SiteId::new(format!("site-{n}")).unwrap()
}

pub(crate) fn host(name: &str) -> HostId {
    HostId::new(name).unwrap()
}

/// The host that hub node `n` is.
pub(crate) fn hub(n: u64) -> HostId {
    host(&format!("hub-{n}"))
}

/// The machine of site `n`.
pub(crate) fn home(n: u64) -> HostId {
    host(&format!("home-{n}"))
}

pub(crate) fn wan() -> PathId {
    PathId::new("wan").unwrap()
}

pub(crate) fn camera(site: &SiteId, n: u64) -> CameraId {
    CameraId::new(format!("{site}/camera-{n}")).unwrap()
}

pub(crate) fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

pub(crate) fn secs(s: u64) -> Duration {
    Duration::from_secs(s)
}

pub(crate) const MEGABIT: u64 = 1_000_000;

pub(crate) fn camera_spec() -> CameraSpec {
    CameraSpec {
        priority: 1,
        main: BitsPerSecond(4 * MEGABIT),
        sub: Some(BitsPerSecond(MEGABIT / 2)),
        single_session: false,
    }
}

pub(crate) fn site_spec(n: u64) -> SiteSpec {
    SiteSpec {
        home: home(n),
        priority: 1,
        tier: Tier::Warm,
        failback: FailbackPolicy::default(),
        uplink: BitsPerSecond(100 * MEGABIT),
        prefer: Vec::new(),
    }
}

pub(crate) fn room_for(cameras: u32) -> Load {
    Load { streams: cameras, rate: BitsPerSecond(u64::from(cameras) * 4 * MEGABIT) }
}

pub(crate) fn host_spec(kind: HostKind, domain: &str, cameras: u32) -> HostSpec {
    HostSpec { kind, capacity: room_for(cameras), domain: domain.to_owned(), draining: false }
}

/// A control log: a state and where it stands.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log {
    pub(crate) state: State,
    pub(crate) index: u64,
    pub(crate) term: u64,
    /// The leader's wall clock.
    pub(crate) time: UnixMicros,
}

impl Log {
    /// Three voters with room for 20 cameras each, and so many sites with their places on hub-1.
    pub(crate) fn fleet(sites: u64) -> Self {
        let mut log = Self { term: 1, ..Self::default() };
        for n in 1..=3 {
            log.must(Command::AddNode { node: NodeId(n), role: Role::Full });
            let spec = host_spec(HostKind::Node(NodeId(n)), &format!("dc-{n}"), 20);
            log.must(Command::SetHost { host: hub(n), spec });
        }
        log.must(Command::Membership(Membership::of([1, 2, 3].map(NodeId))));
        for n in 1..=sites {
            log.add_site(n);
            log.must(Command::Place { site: site(n), host: Some(hub(1)) });
        }
        log
    }

    pub(crate) fn add_site(&mut self, n: u64) {
        let spec = host_spec(HostKind::Site(site(n)), &format!("place-{n}"), 0);
        self.must(Command::SetHost { host: home(n), spec });
        self.must(Command::SetSite { site: site(n), spec: site_spec(n) });
        let cameras = (1..=2).map(|c| (camera(&site(n), c), camera_spec())).collect();
        self.must(Command::Config { site: site(n), revision: 1, cameras, log_ins_since: None });
    }

    pub(crate) fn apply(&mut self, command: Command) -> Result<Vec<Event>, Refusal> {
        self.index += 1;
        self.state.apply(Stamp { index: self.index, term: Term(self.term), time: self.time }, &command)
    }

    pub(crate) fn must(&mut self, command: Command) -> Vec<Event> {
        self.apply(command.clone()).unwrap_or_else(|refusal| panic!("{command:?} was refused: {refusal}"))
    }

    pub(crate) fn epoch(&self, n: u64) -> Epoch {
        self.state.site(&site(n)).unwrap().epoch
    }
}

/// What `host` sees of a site whose cameras all answer, on a path that has held for an hour.
pub(crate) fn answers(n: u64, host: HostId) -> Answers {
    let cameras: BTreeMap<_, _> = (1..=2).map(|c| (camera(&site(n), c), Answer::Free)).collect();
    Answers {
        site: site(n),
        host,
        path: wan(),
        unbroken: Some(secs(3_600)),
        age: Duration::ZERO,
        cameras: cameras.into(),
    }
}

/// What `host` sees of a site that gives no answer.
pub(crate) fn no_answers(n: u64, host: HostId) -> Answers {
    Answers { unbroken: None, cameras: Arc::default(), ..answers(n, host) }
}

pub(crate) fn quiet() -> Quiet {
    let basis = Basis::Unbroken { gap_p999: ms(600) };
    Quiet { silent_for: secs(2), needed: secs(2), basis }
}

pub(crate) fn origin(n: u8) -> OriginId {
    OriginId([n; 16])
}

/// Beat `number` of run `run` of a site whose cameras both make a fragment and a keyframe a second.
pub(crate) fn beat(n: u64, run: u8, number: u64) -> Beat {
    let camera_beat = |c| CameraBeat {
        camera: camera(&site(n), c),
        state: CameraState::Recording,
        durable: Some(Durable { segment: SegmentNumber(number / 20), fragment: (number as u32 % 20) / 2 }),
        keyframes: number / 2,
    };
    Beat {
        origin: origin(run),
        number,
        epoch: Epoch::default(),
        log: 0,
        cameras: (1..=2).map(camera_beat).collect(),
    }
}
