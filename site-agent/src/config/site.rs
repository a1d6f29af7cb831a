//! A site's configuration as the agent uses it: checked, typed, with every default filled in.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::civil::Time;
use jiff::tz::TimeZone;
use url::Url;
use wire::discover::{DnsConfig, HubAddress};
use wire::transport::{Congestion, Egress};
use wire::{Policies, Policy as Crossing, Replicate, SiteId, StreamId};

use super::check::Choice;
use super::quirks::policy;
use super::{IdentityFiles, Quirks, Secret};
use crate::archive::disks::Place;
use crate::camera::Onvif;
use crate::retention::plan::{self, Marks, Policy, Rules, Unacked};
use crate::scrub::plan::Rules as Scrub;

/// Everything a site agent is told.
#[derive(Clone, Debug)]
pub struct SiteConfig {
    /// Which site this is.
    pub site: Site,
    /// Who it is to the hub. The files are there if there is a hub.
    pub identity: IdentityFiles,
    /// The hub, unless the site records for itself only.
    pub hub: Option<Hub>,
    /// How the line to the hub is used.
    pub uplink: Uplink,
    /// Where and how recordings are kept.
    pub archive: Archive,
    /// Where timelines and pictures are served.
    pub http: Http,
    /// How the hub may step in.
    pub standby: Standby,
    /// What is recorded. May be empty.
    pub cameras: Vec<Camera>,
    /// Other sites of the place, whose cameras are recorded here too.
    pub hosts: Vec<Host>,
}

/// Another site of the place, for which this machine is a host.
#[derive(Clone, Debug)]
pub struct Host {
    /// Which.
    pub site: SiteId,
    /// When its cameras are recorded here.
    pub when: When,
    /// Its cameras, by the ids that it has for them; the first stream of each is recorded.
    pub cameras: Vec<Camera>,
}

policy! {
    /// `host.when`: when a machine records another site's cameras.
    When {
        /// While the hub does not know the site's own recorder to be well.
        #[default]
        "lost" => Lost,
        /// All the time.
        "always" => Always,
    }
}

/// Which site this is.
#[derive(Clone, Debug)]
pub struct Site {
    /// Its id, as in its certificate.
    pub id: SiteId,
    /// What people call it.
    pub name: String,
    /// Whose hours of the day its configuration speaks of.
    pub time_zone: TimeZone,
}

/// How the line to the hub is used.
#[derive(Clone, Debug)]
pub struct Uplink {
    /// Who decides how fast.
    pub congestion: Congestion,
    /// The paths to the hub, the preferred one first; there is one at least.
    pub paths: Vec<UplinkPath>,
    /// What classes of traffic may take; of a class the first that fits the hour counts.
    pub limits: Vec<ClassLimit>,
    /// When bytes of scheduled streams may go.
    pub windows: Vec<Window>,
}

/// Hours of every day, maybe past midnight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// It opens then: so much later than what is written as this site waits, so that not all sites begin at once.
    pub from: Time,
    /// It closes then.
    pub to: Time,
}

/// A path from the site to the hub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UplinkPath {
    /// What it is called. The hub takes [`crate::beats::CAMERA_PATH`] for the one on which it reaches the cameras.
    pub name: String,
    /// Where it leaves the machine.
    pub egress: Egress,
}

/// A kind of traffic that can be limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// What is being recorded, as it is recorded.
    Live,
    /// What the hub has missed.
    Backlog,
    /// What a person asked for.
    Fetch,
}

/// What a class may take, and when.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassLimit {
    /// Which.
    pub class: Class,
    /// From the first to before the second, every day, maybe past midnight; always, without.
    pub hours: Option<(Time, Time)>,
    /// How much.
    pub most: Allowance,
}

/// How much of a line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Allowance {
    /// Bits a second on the line, packets' headers and all.
    Rate(f64),
    /// This part of what the line is measured to carry.
    Share(f64),
}

/// The hub.
#[derive(Clone, Debug)]
pub struct Hub {
    /// Where it is.
    pub address: HubAddress,
    /// Who is asked for names.
    pub dns: DnsConfig,
    /// How often the site says that it is well.
    pub beat: Duration,
}

/// Where and how recordings are kept.
#[derive(Clone, Debug)]
pub struct Archive {
    /// The archive's folder.
    pub dir: PathBuf,
    /// Further disks for segments.
    pub disks: Vec<Place>,
    /// How long a segment is, about: it ends at a keyframe.
    pub segment: Duration,
    /// How long a fragment is at most.
    pub fragment: Duration,
    /// What is kept of a camera of which nothing else is said.
    pub keep: Policy,
    /// When room is made on the disk.
    pub marks: Marks,
    /// What becomes of what the hub has not acked, when there is no room.
    pub unacked: Unacked,
    /// Bytes kept for when the disk is full after all.
    pub ballast_bytes: u64,
    /// How often everything is re-read.
    pub scrub: Scrub,
    /// What comes back from the hub.
    pub restore: Restore,
    /// Bits a second at which it may come back; as fast as it goes, without.
    pub restore_rate_max: Option<f64>,
}

policy! {
    /// `archive.restore`: what the hub has and the site lacks comes back.
    Restore {
        /// What a standby recorded for the site, and what the hub salvaged.
        #[default]
        "standby" => Standby,
        /// Also what earlier runs at the site recorded: for a box that was replaced.
        "all" => All,
        /// Nothing.
        "none" => None,
    }
}

/// Where timelines and pictures are served.
#[derive(Clone, Debug)]
pub struct Http {
    /// The address to listen on.
    pub listen: SocketAddr,
}

/// How the hub may step in when the site's recorder is lost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standby {
    /// How much of that is ready beforehand.
    pub tier: Tier,
    /// Sites of the same place whose machines may record this one's cameras.
    pub hosts: Vec<SiteId>,
    /// What may be rehearsed here.
    pub drills: Drills,
    /// Which stream of a camera a standby records.
    pub stream: StandbyStream,
}

policy! {
    /// `standby.tier`: how much of a standby is ready before anything happens.
    Tier {
        /// Cameras are asked all the time whether they are there, and connected to as soon as there is a doubt.
        #[default]
        "warm" => Warm,
        /// Cameras are connected to when it is needed.
        "cold" => Cold,
        /// The hub records all the time too.
        "hot" => Hot,
        /// Nobody stands by, and the hub is told no camera's address or password.
        "none" => None,
    }
}

policy! {
    /// `standby.stream`: which stream of a camera a standby records.
    StandbyStream {
        /// The first; a smaller one where the uplink has no room for it.
        #[default]
        "main" => Main,
        /// The smallest of the others, if there are any.
        "sub" => Sub,
    }
}

policy! {
    /// `standby.drills`: what the hub may rehearse here.
    Drills {
        /// Every failure, also for real.
        #[default]
        "all" => All,
        /// Over a shadow only: nothing here is ever touched.
        "shadow" => Shadow,
        /// Nothing.
        "none" => None,
    }
}

impl Drills {
    /// May a drill that is over a shadow, or is not, take place here?
    pub fn allow(self, shadow: bool) -> bool {
        match self {
            Self::All => true,
            Self::Shadow => shadow,
            Self::None => false,
        }
    }
}

/// A camera.
#[derive(Clone, Debug)]
pub struct Camera {
    /// Its id, which survives its replacement.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// Whether sound is recorded.
    pub audio: bool,
    /// Whether ONVIF metadata is kept as events.
    pub metadata: bool,
    /// Who goes first where not all can be recorded: the higher.
    pub priority: u8,
    /// Does it serve one recorder only?
    pub single_session: bool,
    /// Where it speaks ONVIF, if it is to be asked for keyframes.
    pub onvif: Option<Arc<Onvif>>,
    /// What is kept of it, if not what the archive says.
    pub keep: Option<Policy>,
    /// What is recorded of it; at least one.
    pub streams: Vec<Stream>,
}

/// One stream of a camera.
#[derive(Clone, Debug)]
pub struct Stream {
    /// Camera and stream.
    pub id: StreamId,
    /// Where it is: RTSP, and without credentials.
    pub url: Url,
    /// What it takes, about, in bits a second.
    pub rate_bps: u64,
    /// Whether its bytes go to the hub, and when.
    pub replicate: Replicate,
    /// What to log in with.
    pub credentials: Option<Credentials>,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// How it must be treated.
    pub quirks: Quirks,
}

/// What to log in to a camera with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The user.
    pub username: String,
    /// Its password.
    pub password: Secret,
}

impl Choice for Unacked {
    const WORDS: &'static [(&'static str, Self)] = &[("free", Self::Free), ("keep", Self::Keep)];
}

impl Choice for Replicate {
    const WORDS: &'static [(&'static str, Self)] = &Self::WORDS;
}

impl SiteConfig {
    /// How the streams' bytes come to the hub.
    pub fn policies(&self) -> Policies {
        let of = |camera: &Camera| {
            let priority = camera.priority;
            let streams = camera.streams.iter();
            let policy = |stream: &Stream| Crossing { replicate: stream.replicate, priority };
            streams.map(|stream| (stream.id.clone(), policy(stream))).collect::<Vec<_>>()
        };
        self.cameras.iter().flat_map(of).collect()
    }

    /// What retention is to follow, but for holds.
    pub fn retention(&self) -> Rules {
        let camera = |camera: &Camera| {
            Some((plan::Camera { site: self.site.id.clone(), id: camera.id.clone() }, camera.keep?))
        };
        Rules {
            policy: self.archive.keep,
            cameras: self.cameras.iter().filter_map(camera).collect(),
            marks: Some(self.archive.marks),
            unacked: self.archive.unacked,
            acked_by_hub: self.hub.is_some(),
            holds: Vec::new(),
            withheld: self.policies(),
        }
    }
}
