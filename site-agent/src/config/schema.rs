//! A site's file as written: which keys there are. Everything is optional here, so that one reading
//! finds all problems; what must be there and what fits is [`super::site_check`]'s.

use serde::Deserialize;

use super::disks::DiskSection;
use super::identity::IdentitySection;
use super::leaf::{Flag, Number, Secret, Text, Whole};

/// Every section of a site's file, as a path into an example of it.
pub const SITE_SECTIONS: &[&str] = &[
    "",
    "site",
    "identity",
    "hub",
    "uplink",
    "uplink.path[0]",
    "uplink.limit[0]",
    "uplink.window[0]",
    "archive",
    "archive.disk[0]",
    "http",
    "standby",
    "camera[0]",
    "camera[0].stream[0]",
    "host[0]",
    "host[0].camera[0]",
    "host[0].camera[0].stream[0]",
];

#[derive(Deserialize, Default)]
#[serde(expecting = "sections such as [site]", default)]
pub(super) struct SiteFile {
    pub(super) site: Option<SiteSection>,
    pub(super) identity: Option<IdentitySection>,
    pub(super) hub: Option<HubSection>,
    pub(super) uplink: Option<UplinkSection>,
    pub(super) archive: Option<ArchiveSection>,
    pub(super) http: Option<HttpSection>,
    pub(super) standby: Option<StandbySection>,
    pub(super) camera: Option<Vec<CameraSection>>,
    pub(super) host: Option<Vec<HostSection>>,
}

#[derive(Deserialize, Default)]
#[serde(expecting = "a section, [[host]]", default)]
pub(super) struct HostSection {
    pub(super) site: Option<Text>,
    pub(super) when: Option<Text>,
    pub(super) camera: Option<Vec<CameraSection>>,
}

#[derive(Deserialize, Default)]
#[serde(expecting = "a section, [site]", default)]
pub(super) struct SiteSection {
    pub(super) id: Option<Text>,
    pub(super) name: Option<Text>,
    pub(super) time_zone: Option<Text>,
}

#[derive(Deserialize, Default)]
#[serde(expecting = "a section, [hub]", default)]
pub(super) struct HubSection {
    pub(super) address: Option<Text>,
    pub(super) srv: Option<Text>,
    pub(super) dns_servers: Option<Vec<Text>>,
    pub(super) beat_ms: Option<Whole>,
}

#[derive(Deserialize, Default)]
#[serde(expecting = "a section, [uplink]", default)]
pub(super) struct UplinkSection {
    pub(super) congestion: Option<Text>,
    pub(super) rate_mbit_max: Option<Number>,
    pub(super) path: Option<Vec<PathSection>>,
    pub(super) limit: Option<Vec<LimitSection>>,
    pub(super) window: Option<Vec<WindowSection>>,
    pub(super) window_spread_min: Option<Whole>,
}

#[derive(Deserialize, Default)]
#[serde(expecting = "a section, [[uplink.path]]", default)]
pub(super) struct PathSection {
    pub(super) name: Option<Text>,
    pub(super) interface: Option<Text>,
}

#[derive(Deserialize, Default)]
#[serde(expecting = "a section, [[uplink.limit]]", default)]
pub(super) struct LimitSection {
    pub(super) class: Option<Text>,
    pub(super) from: Option<Text>,
    pub(super) to: Option<Text>,
    pub(super) rate_mbit_max: Option<Number>,
    pub(super) percent_max: Option<Number>,
}

#[derive(Deserialize, Default)]
#[serde(expecting = "a section, [[uplink.window]]", default)]
pub(super) struct WindowSection {
    pub(super) from: Option<Text>,
    pub(super) to: Option<Text>,
}

#[derive(Deserialize, Default)]
#[serde(expecting = "a section, [archive]", default)]
pub(super) struct ArchiveSection {
    pub(super) dir: Option<Text>,
    pub(super) disk: Option<Vec<DiskSection>>,
    pub(super) segment_s: Option<Whole>,
    pub(super) fragment_ms: Option<Whole>,
    pub(super) keep_days_max: Option<Number>,
    pub(super) keep_gb_max: Option<Number>,
    pub(super) free_low_mb: Option<Whole>,
    pub(super) free_high_mb: Option<Whole>,
    pub(super) unacked: Option<Text>,
    pub(super) ballast_mb: Option<Whole>,
    pub(super) scrub_days: Option<Number>,
    pub(super) scrub_mb_s_max: Option<Number>,
    pub(super) restore: Option<Text>,
    pub(super) restore_mbit_max: Option<Number>,
}

#[derive(Deserialize, Default)]
#[serde(expecting = "a section, [http]", default)]
pub(super) struct HttpSection {
    pub(super) listen: Option<Text>,
}

#[derive(Deserialize, Default)]
#[serde(expecting = "a section, [standby]", default)]
pub(super) struct StandbySection {
    pub(super) tier: Option<Text>,
    pub(super) hosts: Option<Vec<Text>>,
    pub(super) drills: Option<Text>,
    pub(super) stream: Option<Text>,
}

#[derive(Deserialize, Default)]
#[serde(expecting = "a section, [[camera]]", default)]
pub(super) struct CameraSection {
    pub(super) id: Option<Text>,
    pub(super) name: Option<Text>,
    pub(super) audio: Option<Flag>,
    pub(super) metadata: Option<Flag>,
    pub(super) priority: Option<Whole>,
    pub(super) single_session: Option<Flag>,
    pub(super) onvif: Option<Text>,
    pub(super) keep_days_max: Option<Number>,
    pub(super) keep_gb_max: Option<Number>,
    pub(super) stream: Option<Vec<StreamSection>>,
}

#[derive(Deserialize, Default)]
#[serde(expecting = "a section, [[camera.stream]]", default)]
pub(super) struct StreamSection {
    pub(super) name: Option<Text>,
    pub(super) url: Option<Text>,
    pub(super) rate_mbit: Option<Number>,
    pub(super) replicate: Option<Text>,
    pub(super) username: Option<Text>,
    pub(super) password: Option<Secret>,
    pub(super) password_file: Option<Text>,
    pub(super) connect_timeout_s: Option<Whole>,
    pub(super) transport: Option<Text>,
    pub(super) teardown: Option<Text>,
    pub(super) session_id: Option<Text>,
    pub(super) unassigned_channel_data: Option<Text>,
    pub(super) initial_timestamp: Option<Text>,
    pub(super) initial_seq: Option<Text>,
    pub(super) unknown_rtcp_ssrc: Option<Text>,
    pub(super) max_timestamp_jump_s: Option<Whole>,
}
