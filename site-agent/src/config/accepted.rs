//! What of a site's configuration leaves the site: what a standby must know to record its cameras.
//!
//! The site sends it as a numbered [`proto::Configuration`]; a hub node that may stand by reads it back into the
//! types the recorder works with. What a hub reads was written by a site and is checked like any other
//! configuration: a site can only harm itself with it.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use url::Url;
use wire::id::check_slug;
use wire::{SiteId, StreamId, proto};

use super::check::Choice;
use super::defaults;
use super::site_check::{onvif_url, rtsp_url};
use super::{Camera, Credentials, Drills, Quirks, Secret, SiteConfig, StandbyStream, Stream, Tier};
use crate::camera::Onvif;

/// More cameras than one recorder can have.
const CAMERAS_MAX: usize = 256;
/// More streams than a camera has.
const STREAMS_MAX: usize = 8;
/// Longer than any name, address or password that was typed by a person.
const TEXT_BYTES_MAX: usize = 1024;

/// A site's cameras, as it last told.
#[derive(Clone, Debug)]
pub struct Accepted {
    /// Whose.
    pub site: SiteId,
    /// Numbered by the site.
    pub revision: u64,
    /// How much of a standby is ready beforehand.
    pub tier: Tier,
    /// How long a segment is, about.
    pub segment: Duration,
    /// How long a fragment is at most.
    pub fragment: Duration,
    /// What is to be recorded.
    pub cameras: Vec<Camera>,
    /// Since which revision the oldest of their log-ins is in use: 0 if the site can't tell.
    pub log_ins_since: u64,
    /// Sites of the same place whose machines may record for it.
    pub hosts: Vec<SiteId>,
    /// What may be rehearsed at the site.
    pub drills: Drills,
}

/// Why a site's configuration was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("configuration of site {site}: {what}")]
pub struct NotAccepted {
    /// Whose.
    pub site: SiteId,
    /// What is wrong. Never holds a password.
    pub what: String,
}

impl Accepted {
    /// Reads what a site sent.
    pub fn read(site: &SiteId, told: &proto::Configuration) -> Result<Self, NotAccepted> {
        let refused = |what: String| NotAccepted { site: site.clone(), what };
        let (segment, fragment) = (millis(told.segment_ms), millis(told.fragment_ms));
        let whole_s = |range: std::ops::RangeInclusive<u64>| {
            Duration::from_secs(*range.start())..=Duration::from_secs(*range.end())
        };
        let fragments = defaults::FRAGMENT_MS_RANGE;
        let fragments = Duration::from_millis(*fragments.start())..=Duration::from_millis(*fragments.end());
        if !whole_s(defaults::SEGMENT_S_RANGE).contains(&segment) || !fragments.contains(&fragment) {
            return Err(refused(format!("segments of {segment:?} in fragments of {fragment:?}")));
        }
        if told.cameras.len() > CAMERAS_MAX {
            return Err(refused(format!(
                "it has {} cameras, at most {CAMERAS_MAX} are taken",
                told.cameras.len()
            )));
        }
        let mut cameras: Vec<Camera> = Vec::new();
        for told in &told.cameras {
            let camera = camera(told).map_err(|what| refused(format!("a camera: {what}")))?;
            if cameras.iter().any(|known| known.id == camera.id) {
                return Err(refused(format!("two cameras are `{}`", camera.id)));
            }
            cameras.push(camera);
        }
        if told.hosts.len() > defaults::HOSTS_MAX {
            return Err(refused(format!(
                "{} hosts, at most {} are taken",
                told.hosts.len(),
                defaults::HOSTS_MAX
            )));
        }
        let hosts = told.hosts.iter().map(SiteId::new).collect::<Result<Vec<_>, _>>();
        let hosts = hosts.map_err(|error| refused(format!("a host: {error}")))?;
        let (site, tier) = (site.clone(), Tier::of_word(&told.tier));
        let (revision, log_ins_since) = (told.revision, told.log_ins_since);
        let drills = Drills::of_word(&told.drills); // none: of an earlier version, which has no say in it
        Ok(Self { site, revision, tier, segment, fragment, cameras, log_ins_since, hosts, drills })
    }

    /// A camera by its slug.
    pub fn camera(&self, id: &str) -> Option<&Camera> {
        self.cameras.iter().find(|camera| camera.id == id)
    }
}

/// What a site sends. The numbers are the caller's.
pub fn configuration(config: &SiteConfig, revision: u64) -> proto::Configuration {
    proto::Configuration {
        revision,
        tier: config.standby.tier.word().to_owned(),
        segment_ms: as_millis(config.archive.segment),
        fragment_ms: as_millis(config.archive.fragment),
        // Who wants no standby tells nobody of its cameras.
        cameras: match config.standby.tier {
            Tier::None => Vec::new(),
            _ => config.cameras.iter().map(|camera| told(camera, config.standby.stream)).collect(),
        },
        log_ins_since: 0,
        hosts: config.standby.hosts.iter().map(|site| site.as_str().to_owned()).collect(),
        drills: match config.standby.drills {
            Drills::All => String::new(),
            some => some.word().to_owned(),
        },
    }
}

fn told(camera: &Camera, wanted: StandbyStream) -> proto::CameraConfiguration {
    proto::CameraConfiguration {
        id: camera.id.clone(),
        name: camera.name.clone(),
        audio: camera.audio,
        metadata: camera.metadata,
        priority: camera.priority.into(),
        single_session: camera.single_session,
        streams: to_stand_by_for(camera, wanted).into_iter().map(told_stream).collect(),
        onvif: camera.onvif.as_ref().map(|onvif| onvif.service().to_string()).unwrap_or_default(),
    }
}

/// The streams of which a standby may take one. Who is to record the small one is not told of the others.
fn to_stand_by_for(camera: &Camera, wanted: StandbyStream) -> Vec<&Stream> {
    let smallest = || camera.streams.iter().skip(1).min_by_key(|stream| stream.rate_bps);
    match wanted {
        StandbyStream::Main => camera.streams.iter().collect(),
        StandbyStream::Sub => vec![smallest().or(camera.streams.first())].into_iter().flatten().collect(),
    }
}

fn told_stream(stream: &Stream) -> proto::StreamConfiguration {
    let quirks = stream.quirks.words().into_iter();
    proto::StreamConfiguration {
        name: stream.id.stream().to_owned(),
        url: stream.url.to_string(),
        rate_bps: stream.rate_bps,
        log_in: stream.credentials.as_ref().map(|known| proto::LogIn {
            username: known.username.clone(),
            password: known.password.reveal().to_owned(),
        }),
        connect_timeout_ms: as_millis(stream.connect_timeout),
        quirks: quirks
            .map(|(name, word)| proto::Setting { name: name.to_owned(), word: word.to_owned() })
            .collect(),
        max_timestamp_jump_s: stream.quirks.max_timestamp_jump_s.map_or(0, NonZeroU32::get),
    }
}

fn camera(told: &proto::CameraConfiguration) -> Result<Camera, String> {
    check_slug(&told.id).map_err(|error| error.to_string())?;
    if !(1..=STREAMS_MAX).contains(&told.streams.len()) {
        return Err(format!(
            "`{}` has {} streams, 1 to {STREAMS_MAX} are taken",
            told.id,
            told.streams.len()
        ));
    }
    let mut streams: Vec<Stream> = Vec::new();
    for told_stream in &told.streams {
        let stream = stream(&told.id, told_stream)?;
        if streams.iter().any(|known| known.id == stream.id) {
            return Err(format!("two streams are `{}`", stream.id));
        }
        streams.push(stream);
    }
    let onvif = match short(&told.onvif)? {
        "" => None,
        url => {
            let url =
                onvif_url(url, &streams).map_err(|what| format!("the onvif of `{}` {what}", told.id))?;
            Some(Arc::new(Onvif::new(url)))
        }
    };
    Ok(Camera {
        id: told.id.clone(),
        name: short(&told.name)?.to_owned(),
        audio: told.audio,
        metadata: told.metadata,
        priority: u8::try_from(told.priority).unwrap_or(u8::MAX),
        single_session: told.single_session,
        onvif,
        keep: None, // a vault has its own
        streams,
    })
}

fn stream(camera: &str, told: &proto::StreamConfiguration) -> Result<Stream, String> {
    let id = StreamId::new(camera, &told.name).map_err(|error| error.to_string())?;
    let timeout = millis(told.connect_timeout_ms);
    let (least, most) =
        (*defaults::CONNECT_TIMEOUT_S_RANGE.start(), *defaults::CONNECT_TIMEOUT_S_RANGE.end());
    let credentials = match &told.log_in {
        Some(known) => Some(Credentials {
            username: short(&known.username)?.to_owned(),
            password: Secret::new(short(&known.password)?),
        }),
        None => None,
    };
    let words = told.quirks.iter().map(|setting| (setting.name.as_str(), setting.word.as_str()));
    Ok(Stream {
        // Of a standby nothing crosses: it records where the vault is.
        replicate: wire::Replicate::default(),
        url: address(&told.url).map_err(|what| format!("the url of `{id}` {what}"))?,
        id,
        rate_bps: told.rate_bps,
        credentials,
        connect_timeout: timeout.clamp(Duration::from_secs(least), Duration::from_secs(most)),
        quirks: Quirks {
            max_timestamp_jump_s: NonZeroU32::new(told.max_timestamp_jump_s),
            ..Quirks::of_words(words)
        },
    })
}

fn address(text: &str) -> Result<Url, String> {
    short(text).map_err(|_| "is too long".to_owned()).and_then(rtsp_url)
}

fn short(text: &str) -> Result<&str, String> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(format!("a text is longer than {TEXT_BYTES_MAX} bytes"));
    }
    Ok(text)
}

fn millis(millis: u32) -> Duration {
    Duration::from_millis(millis.into())
}

fn as_millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load_site_with;

    fn config() -> SiteConfig {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("site.toml");
        let text = "[site]\nid = \"shop-1\"\n[standby]\ntier = \"cold\"\n[[camera]]\nid = \"till-1\"\n\
                    priority = 7\nsingle_session = true\nonvif = \"http://10.0.0.5:8080/onvif/device_service\"\n\
                    [[camera.stream]]\nname = \"main\"\n\
                    url = \"rtsp://10.0.0.5/one\"\nusername = \"viewer\"\npassword = \"s3cret\"\n\
                    teardown = \"always\"\nmax_timestamp_jump_s = 9\nrate_mbit = 2.5\n\
                    [[camera.stream]]\nname = \"sub\"\nurl = \"rtsp://10.0.0.5/two\"\ntransport = \"udp\"\n";
        std::fs::write(&file, text).unwrap();
        load_site_with(&file, std::iter::empty()).unwrap().0
    }

    #[test]
    fn what_a_site_tells_is_what_the_hub_reads() {
        let config = config();
        let accepted = Accepted::read(&config.site.id, &configuration(&config, 4)).unwrap();
        assert_eq!(format!("{:?}", accepted.cameras), format!("{:?}", config.cameras));
        assert_eq!(accepted.cameras[0].streams[0].credentials, config.cameras[0].streams[0].credentials);
        assert_eq!((accepted.revision, accepted.tier), (4, Tier::Cold));
        assert_eq!((accepted.segment, accepted.fragment), (config.archive.segment, config.archive.fragment));
    }

    #[test]
    fn a_standby_for_the_small_stream_is_told_of_no_other() {
        let mut config = config();
        config.standby.stream = StandbyStream::Sub;
        let told = |config: &SiteConfig| {
            let accepted = Accepted::read(&config.site.id, &configuration(config, 1)).unwrap();
            let streams = accepted.cameras[0].streams.iter();
            streams.map(|stream| stream.id.stream().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(told(&config), ["sub"]);
        config.cameras[0].streams.truncate(1);
        assert_eq!(told(&config), ["main"], "it has no other");
        config.standby.stream = StandbyStream::Main;
        assert_eq!(told(&config), ["main"]);
    }

    #[test]
    fn what_may_be_rehearsed_crosses_and_what_nothing_is_said_of_may() {
        let mut config = config();
        for drills in [Drills::All, Drills::Shadow, Drills::None] {
            config.standby.drills = drills;
            let told = configuration(&config, 1);
            assert_eq!(told.drills.is_empty(), drills == Drills::All, "as from an earlier version");
            assert_eq!(Accepted::read(&config.site.id, &told).unwrap().drills, drills);
        }
    }

    #[test]
    fn a_password_is_never_printed() {
        let config = config();
        let told = configuration(&config, 1);
        let accepted = Accepted::read(&config.site.id, &told).unwrap();
        assert!(!format!("{told:?} {accepted:?}").contains("s3cret"));
    }

    #[test]
    fn nonsense_is_refused() {
        let (config, good) = (config(), configuration(&config(), 1));
        let refused = |change: &dyn Fn(&mut proto::Configuration)| {
            let mut told = good.clone();
            change(&mut told);
            Accepted::read(&config.site.id, &told).unwrap_err().what
        };
        refused(&|told| told.segment_ms = 0);
        refused(&|told| told.cameras[0].id = "../etc".to_owned());
        refused(&|told| told.cameras[0].streams.clear());
        refused(&|told| told.cameras.push(told.cameras[0].clone()));
        refused(&|told| told.cameras[0].streams[1].name = "main".to_owned());
        refused(&|told| told.cameras[0].onvif = "http://10.0.0.6/onvif/device_service".to_owned());
        let what =
            refused(&|told| told.cameras[0].streams[0].url = "rtsp://me:s3cret@10.0.0.5/one".to_owned());
        assert!(!what.contains("s3cret"), "{what}");
    }
}
