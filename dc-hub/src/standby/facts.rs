//! What the control log is told of a site's cameras: what they cost and who goes first. No address, no password.

use std::collections::{BTreeMap, BTreeSet};

use decide::control::{BitsPerSecond, CameraSpec, DrillsAllowed, Tier};
use decide::standby::Stream as Which;
use decide::{CameraId, HostId, SiteId};
use site_agent::config::{self, Accepted, Camera, Stream};

/// A revision of a site's configuration, for `Command::Config`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Whose.
    pub site: SiteId,
    /// Numbered by the site.
    pub revision: u64,
    /// How much of a standby the site wants to be ready.
    pub tier: Tier,
    /// Its cameras.
    pub cameras: BTreeMap<CameraId, CameraSpec>,
    /// Since which revision the oldest of their log-ins is in use: 0 if the site can't tell. None: they have none.
    pub log_ins_since: Option<u64>,
    /// Machines at its place that may record for it.
    pub neighbours: BTreeSet<HostId>,
    /// What may be rehearsed at the site.
    pub drills: DrillsAllowed,
}

impl Facts {
    /// Those of a configuration.
    pub fn of(accepted: &Accepted) -> Self {
        let camera = |camera: &Camera| Some((camera_id(&accepted.site, &camera.id)?, spec(camera)));
        let mut streams = accepted.cameras.iter().flat_map(|camera| &camera.streams);
        let log_ins = streams.any(|stream| stream.credentials.is_some());
        Self {
            site: accepted.site.clone(),
            revision: accepted.revision,
            tier: match accepted.tier {
                config::Tier::Hot => Tier::Hot,
                config::Tier::Warm => Tier::Warm,
                config::Tier::Cold => Tier::Cold,
                config::Tier::None => Tier::None,
            },
            cameras: accepted.cameras.iter().filter_map(camera).collect(),
            log_ins_since: log_ins.then_some(accepted.log_ins_since),
            neighbours: accepted.hosts.iter().filter_map(|host| HostId::new(host.as_str()).ok()).collect(),
            drills: match accepted.drills {
                config::Drills::All => DrillsAllowed::All,
                config::Drills::Shadow => DrillsAllowed::Shadow,
                config::Drills::None => DrillsAllowed::None,
            },
        }
    }
}

fn spec(camera: &Camera) -> CameraSpec {
    let rate = |which| stream(camera, which).map(|stream| BitsPerSecond(stream.rate_bps));
    CameraSpec {
        priority: camera.priority,
        main: rate(Which::Main).unwrap_or_default(),
        sub: (camera.streams.len() > 1).then(|| rate(Which::Sub)).flatten(),
        single_session: camera.single_session,
    }
}

/// A camera's first stream is its main one; of the others the smallest is its sub stream.
pub(super) fn stream(camera: &Camera, which: Which) -> Option<&Stream> {
    let main = camera.streams.first();
    match which {
        Which::Main => main,
        Which::Sub => camera.streams.iter().skip(1).min_by_key(|stream| stream.rate_bps).or(main),
    }
}

/// The camera's name fleet-wide. Both are slugs, so it always fits.
pub(super) fn camera_id(site: &SiteId, camera: &str) -> Option<CameraId> {
    CameraId::new(format!("{site}/{camera}")).ok()
}
