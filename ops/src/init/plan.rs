//! What is to be made, and what was.

use std::path::PathBuf;

use site_agent::config::{Secret, defaults};
use wire::discover::HubAddress;
use wire::transport::HUB_NAME;
use wire::{Replicate, SiteId};

/// What is to be made. `None` everywhere means the default.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The folder for all of it. May exist; its certificate authority is then used again.
    pub dir: PathBuf,
    /// The hub node to make, if any.
    pub hub: Option<HubPlan>,
    /// The sites to make.
    pub sites: Vec<SitePlan>,
    /// Where sites find the hub.
    pub hub_address: HubAddress,
}

impl Plan {
    /// A plan for `dir` that makes nothing yet.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        // The name is in every hub's certificate; the sites' DNS may know it.
        let hub_address = HubAddress::Fixed { host: HUB_NAME.to_owned(), port: defaults::HUB_PORT };
        Self { dir: dir.into(), hub: None, sites: Vec::new(), hub_address }
    }
}

/// A hub node to make.
#[derive(Clone, Debug, Default)]
pub struct HubPlan {
    /// Its name, a slug.
    pub name: String,
    /// The UDP address that sites connect to.
    pub listen: Option<String>,
    /// Where its HTTP interface listens.
    pub http_listen: Option<String>,
    /// Its folder below the plan's; `hub` unless said.
    pub folder: Option<String>,
    /// The nodes that begin the control log together, this one included; itself alone if there are none. A
    /// node's id is its place in the list, counted from 1.
    pub members: Vec<Member>,
    /// The vault's folder.
    pub vault_dir: Option<String>,
    /// The control log's folder.
    pub control_dir: Option<String>,
    /// How many MB are kept for when the disk is full.
    pub ballast_mb: Option<u64>,
    /// How many seconds a standby keeps a site at least.
    pub active_min_s: Option<u64>,
    /// How many seconds a site has to be well before it gets its authority back.
    pub stable_min_s: Option<u64>,
}

/// A hub node, as the others know it.
#[derive(Clone, Debug)]
pub struct Member {
    /// Its name, a slug.
    pub name: String,
    /// Where the others, and sites, reach it: `HOST:PORT`.
    pub address: String,
}

impl HubPlan {
    /// A hub node with defaults.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }
}

/// A site to make.
#[derive(Clone, Debug)]
pub struct SitePlan {
    /// Its id.
    pub id: SiteId,
    /// What people call it.
    pub name: Option<String>,
    /// Where it finds the hub, if not where the other sites do.
    pub hub_address: Option<HubAddress>,
    /// How often it says that it is well.
    pub beat_ms: Option<u64>,
    /// The archive's folder.
    pub archive_dir: Option<String>,
    /// How long a segment is.
    pub segment_s: Option<u64>,
    /// How long a fragment is.
    pub fragment_ms: Option<u64>,
    /// With how many MB free room is made on its disk, and until how many are free.
    pub free_mb: Option<(u64, u64)>,
    /// How many MB are kept for when the disk is full.
    pub ballast_mb: Option<u64>,
    /// Where its HTTP interface listens.
    pub http_listen: Option<String>,
    /// How much of a standby is ready.
    pub tier: Option<String>,
    /// Cameras that are known already.
    pub cameras: Vec<Camera>,
}

impl SitePlan {
    /// A site with defaults, and without cameras.
    pub fn new(id: SiteId) -> Self {
        Self {
            id,
            name: None,
            hub_address: None,
            beat_ms: None,
            archive_dir: None,
            segment_s: None,
            fragment_ms: None,
            free_mb: None,
            ballast_mb: None,
            http_listen: None,
            tier: None,
            cameras: Vec::new(),
        }
    }
}

/// A camera of a site to make.
#[derive(Clone, Debug)]
pub struct Camera {
    /// Its id, a slug.
    pub id: String,
    /// What people call it.
    pub name: Option<String>,
    /// Whether sound is recorded.
    pub audio: bool,
    /// Whether ONVIF metadata is kept.
    pub metadata: bool,
    /// Where it is asked for keyframes.
    pub onvif: Option<String>,
    /// Its streams.
    pub streams: Vec<Stream>,
}

impl Camera {
    /// A camera with one stream, `main`, that asks for no password.
    pub fn new(id: impl Into<String>, url: impl Into<String>) -> Self {
        let stream = Stream {
            name: "main".to_owned(),
            url: url.into(),
            credentials: None,
            replicate: Replicate::default(),
        };
        let (audio, metadata) = (defaults::AUDIO, defaults::METADATA);
        Self { id: id.into(), name: None, audio, metadata, onvif: None, streams: vec![stream] }
    }
}

/// A stream of a camera of a site to make.
#[derive(Clone, Debug)]
pub struct Stream {
    /// Its name, a slug.
    pub name: String,
    /// Where it is, without credentials.
    pub url: String,
    /// User and password.
    pub credentials: Option<(String, Secret)>,
    /// Whether its bytes go to the hub, and when.
    pub replicate: Replicate,
}

/// What was made.
#[derive(Clone, Debug)]
pub struct Made {
    /// The certificate authority's folder, and whether it is new.
    pub ca: (PathBuf, bool),
    /// The hub's configuration, if a hub was made.
    pub hub: Option<PathBuf>,
    /// The sites' configurations, in the order of the plan.
    pub sites: Vec<(SiteId, PathBuf)>,
}
