//! From a site's file as written to [`SiteConfig`]: what must be there, what fits, what contradicts.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use url::Url;
use wire::discover::{AddressError, DnsConfig, HubAddress};
use wire::id::check_slug;
use wire::{SiteId, StreamId};

use super::check::Check;
use super::identity::IdentityDefaults;
use super::keep;
use super::leaf::{Secret, Text};
use super::quirks::Quirks;
use super::report::Outcome;
use super::schema::{ArchiveSection, CameraSection, HubSection, SiteFile, SiteSection, StreamSection};
use super::site::{Archive, Camera, Credentials, Http, Hub, Site, SiteConfig, Stream};
use super::{defaults, disks, host_check};
use super::{uplink_check, windows_check};
use crate::camera::Onvif;
use crate::retention::plan::Policy;

const IDENTITY: IdentityDefaults =
    IdentityDefaults { certificate: defaults::SITE_CERTIFICATE, key: defaults::SITE_KEY };

pub(super) fn check(file: SiteFile, mut check: Check) -> Outcome<SiteConfig> {
    let site = site(file.site.unwrap_or_default(), &mut check);
    let identity = file.identity.unwrap_or_default().check(&IDENTITY, file.hub.is_some(), &mut check);
    let hub = file.hub.map(|section| hub(section, &mut check));
    let uplink =
        uplink_check::uplink(file.uplink.unwrap_or_default(), site.as_ref().map(|site| &site.id), &mut check);
    let archive = archive(file.archive.unwrap_or_default(), &mut check);
    let listen = file.http.unwrap_or_default().listen;
    let listen = check.http_listen("http.listen", listen, defaults::SITE_HTTP_LISTEN);
    let own = site.as_ref().map(|site| &site.id);
    let standby = host_check::standby(file.standby.unwrap_or_default(), own, &mut check);
    let sections = file.camera.unwrap_or_default();
    if sections.is_empty() {
        check.warn("camera", "there is no camera, so nothing is recorded; add a [[camera]] section");
    }
    let cameras = cameras(sections, "camera", archive.keep, &mut check);
    let hosts =
        host_check::hosts(file.host.unwrap_or_default(), (own, hub.is_some(), archive.keep), &mut check);
    keep::fits(&archive, &cameras, &mut check);
    let config = (|| {
        let hub = match hub {
            Some(hub) => Some(hub?),
            None => None,
        };
        Some(SiteConfig {
            site: site?,
            identity,
            hub,
            uplink,
            archive,
            http: Http { listen: listen? },
            standby,
            cameras,
            hosts,
        })
    })();
    if let Some(config) = &config {
        windows_check::fits(config, &mut check);
    }
    check.finish(config)
}

fn site(section: SiteSection, check: &mut Check) -> Option<Site> {
    let id = check.required("site.id", section.id, "id = \"shop-1\"");
    let id = id.and_then(|id| check.parsed("site.id", &id, |id| SiteId::new(id)))?;
    let name = section.name.map_or_else(|| id.to_string(), |name| name.0);
    let time_zone = match section.time_zone {
        Some(zone) => check.parsed("site.time_zone", &zone.0, time_zone)?,
        None => TimeZone::system(),
    };
    Some(Site { id, name, time_zone })
}

fn time_zone(name: &str) -> Result<TimeZone, String> {
    TimeZone::get(name).map_err(|_| {
        format!("is no time zone this machine knows (package tzdata); write one such as \"Europe/Berlin\", not `{name}`")
    })
}

fn hub(section: HubSection, check: &mut Check) -> Option<Hub> {
    let beat_ms = check.whole("hub.beat_ms", section.beat_ms, defaults::BEAT_MS, defaults::BEAT_MS_RANGE);
    let servers = section.dns_servers.unwrap_or_default();
    let servers = servers.iter().enumerate().filter_map(|(at, server)| {
        let refused = "is not an address; write IP:PORT, for example \"9.9.9.9:53\"";
        check.parsed(&format!("hub.dns_servers[{at}]"), &server.0, |text| text.parse().map_err(|_| refused))
    });
    let servers: Vec<SocketAddr> = servers.collect();
    let dns = if servers.is_empty() { DnsConfig::System } else { DnsConfig::Servers(servers) };
    let address = match (section.address, section.srv) {
        (Some(address), None) => check.parsed("hub.address", &address.0, host_and_port),
        (None, Some(srv)) => check.parsed("hub.srv", &srv.0, srv_name),
        (Some(_), Some(_)) => {
            check.problem("hub.srv", "both address and srv are given; keep one of them");
            None
        }
        (None, None) => {
            check.missing(
                "hub.address",
                "is missing; add address = \"HOST:7443\" or srv = \"_holdfast._udp.DOMAIN\", or remove [hub] to \
                 record without a hub",
            );
            None
        }
    };
    Some(Hub { address: address?, dns, beat: Duration::from_millis(beat_ms) })
}

fn host_and_port(text: &str) -> Result<HubAddress, String> {
    match text.parse().map_err(|error: AddressError| error.to_string())? {
        HubAddress::Srv(name) => Err(format!("is the name of an SRV record; write srv = \"{name}\" instead")),
        fixed @ HubAddress::Fixed { .. } => Ok(fixed),
    }
}

fn srv_name(text: &str) -> Result<HubAddress, String> {
    match text.parse() {
        Ok(HubAddress::Fixed { .. }) => {
            Err(format!("is a host and a port; write address = \"{text}\" instead"))
        }
        Ok(srv @ HubAddress::Srv(_)) => Ok(srv),
        Err(_) => Err(AddressError::NotAnSrvName(text.to_owned()).to_string()),
    }
}

fn archive(section: ArchiveSection, check: &mut Check) -> Archive {
    let dir = check.folder("archive.dir", section.dir, defaults::ARCHIVE_DIR);
    let segment_s =
        check.whole("archive.segment_s", section.segment_s, defaults::SEGMENT_S, defaults::SEGMENT_S_RANGE);
    let fragment_ms = check.whole(
        "archive.fragment_ms",
        section.fragment_ms,
        defaults::FRAGMENT_MS,
        defaults::FRAGMENT_MS_RANGE,
    );
    if fragment_ms > segment_s.saturating_mul(1000) {
        check.problem(
            "archive.fragment_ms",
            format!("a fragment of {fragment_ms} ms does not fit in a segment of {segment_s} s; shorten it"),
        );
    }
    let keep = (section.keep_days_max, section.keep_gb_max);
    let scrub = (section.scrub_days, section.scrub_mb_s_max);
    let restore_rate_max =
        check.number("archive.restore_mbit_max", section.restore_mbit_max, defaults::RATE_MBIT_RANGE);
    Archive {
        disks: disks::places("archive", &dir, section.disk.unwrap_or_default(), check),
        dir,
        segment: Duration::from_secs(segment_s),
        fragment: Duration::from_millis(fragment_ms),
        keep: keep::policy("archive", keep, Policy::default(), check).unwrap_or_default(),
        marks: keep::marks((section.free_low_mb, section.free_high_mb), check),
        unacked: check.choice("archive.unacked", section.unacked),
        ballast_bytes: keep::ballast("archive.ballast_mb", section.ballast_mb, check),
        scrub: keep::scrub("archive", scrub, check),
        restore: check.choice("archive.restore", section.restore),
        restore_rate_max: restore_rate_max.map(|mbit| mbit * 1e6),
    }
}

/// The cameras of a list of sections at `list`.
pub(super) fn cameras(
    sections: Vec<CameraSection>,
    list: &str,
    keep: Policy,
    check: &mut Check,
) -> Vec<Camera> {
    let mut ids = HashSet::new();
    let mut urls = HashMap::new();
    let cameras = sections.into_iter().enumerate().filter_map(|(at, section)| {
        let path = format!("{list}[{at}]");
        let camera = camera(section, &path, keep, check)?;
        if !ids.insert(camera.id.clone()) {
            let id = &camera.id;
            check.problem(
                &format!("{path}.id"),
                format!("another camera is `{id}` already; choose another id"),
            );
        }
        for (at, stream) in camera.streams.iter().enumerate() {
            if let Some(other) = urls.insert(stream.url.clone(), stream.id.clone()) {
                check.warn(&format!("{path}.stream[{at}].url"), format!("`{other}` has the same URL"));
            }
        }
        Some(camera)
    });
    cameras.collect()
}

fn camera(section: CameraSection, path: &str, keep: Policy, check: &mut Check) -> Option<Camera> {
    let key = format!("{path}.id");
    let id = check.required(&key, section.id, "id = \"till-1\"");
    let id = id.filter(|id| check.parsed(&key, id, check_slug).is_some());
    let sections = section.stream.unwrap_or_default();
    if sections.is_empty() {
        check.missing(&format!("{path}.stream"), "the camera has no stream; add a [[camera.stream]] section");
    }
    let mut names = HashSet::new();
    let streams = sections.into_iter().enumerate().filter_map(|(at, section)| {
        let path = format!("{path}.stream[{at}]");
        // A camera without an id still has its streams checked.
        let rate_mbit = if at == 0 { defaults::RATE_MBIT } else { defaults::SUB_RATE_MBIT };
        let stream = stream(section, &path, (id.as_deref().unwrap_or("camera"), rate_mbit), check)?;
        if !names.insert(stream.id.clone()) {
            let name = stream.id.stream();
            let message = format!("another stream of this camera is `{name}` already; choose another name");
            check.problem(&format!("{path}.name"), message);
        }
        Some(stream)
    });
    let streams: Vec<Stream> = streams.collect();
    let audio = check.flag(section.audio, defaults::AUDIO);
    let metadata = check.flag(section.metadata, defaults::METADATA);
    let priority = section.priority;
    let priority = check.whole(&format!("{path}.priority"), priority, defaults::PRIORITY, 0..=255);
    let single_session = check.flag(section.single_session, defaults::SINGLE_SESSION);
    let onvif = section.onvif.and_then(|url| {
        let at = format!("{path}.onvif");
        check.parsed(&at, &url.0, |url| onvif_url(url, &streams)).map(|url| Arc::new(Onvif::new(url)))
    });
    let keep = keep::policy(path, (section.keep_days_max, section.keep_gb_max), keep, check);
    let id = id?;
    let name = section.name.map_or_else(|| id.clone(), |name| name.0);
    let priority = u8::try_from(priority).unwrap_or(u8::MAX);
    Some(Camera { id, name, audio, metadata, priority, single_session, onvif, keep, streams })
}

fn stream(
    section: StreamSection,
    path: &str,
    (camera, rate_mbit): (&str, f64),
    check: &mut Check,
) -> Option<Stream> {
    let at = |key: &str| format!("{path}.{key}");
    let name = check.required(&at("name"), section.name, "name = \"main\"");
    let id = name.and_then(|name| check.parsed(&at("name"), &name, |name| StreamId::new(camera, name)));
    let url = check.required(&at("url"), section.url, "url = \"rtsp://10.0.0.5:554/stream1\"");
    let url = url.and_then(|url| check.parsed(&at("url"), &url, rtsp_url));
    if url.as_ref().is_some_and(holds_password) {
        let message = "seems to hold a password, and URLs are shown in logs and pages; use username and password \
                       if the camera takes them";
        check.warn(&at("url"), message);
    }
    let quirks = Quirks {
        transport: check.choice(&at("transport"), section.transport),
        teardown: check.choice(&at("teardown"), section.teardown),
        session_id: check.choice(&at("session_id"), section.session_id),
        unassigned_channel_data: check
            .choice(&at("unassigned_channel_data"), section.unassigned_channel_data),
        initial_timestamp: check.choice(&at("initial_timestamp"), section.initial_timestamp),
        initial_seq: check.choice(&at("initial_seq"), section.initial_seq),
        unknown_rtcp_ssrc: check.choice(&at("unknown_rtcp_ssrc"), section.unknown_rtcp_ssrc),
        max_timestamp_jump_s: section.max_timestamp_jump_s.and_then(|seconds| {
            let range = defaults::MAX_TIMESTAMP_JUMP_S_RANGE;
            let seconds = check.whole(&at("max_timestamp_jump_s"), Some(seconds), 0, range);
            NonZeroU32::new(u32::try_from(seconds).ok()?)
        }),
    };
    let timeout = section.connect_timeout_s;
    let (timeout_s, range) = (defaults::CONNECT_TIMEOUT_S, defaults::CONNECT_TIMEOUT_S_RANGE);
    let timeout_s = check.whole(&at("connect_timeout_s"), timeout, timeout_s, range);
    let rate = check.number(&at("rate_mbit"), section.rate_mbit, defaults::STREAM_RATE_MBIT_RANGE);
    let rate_bps = (rate.unwrap_or(rate_mbit) * 1e6) as u64;
    let replicate = check.choice(&at("replicate"), section.replicate);
    let credentials = credentials(section.username, section.password, section.password_file, path, check);
    let connect_timeout = Duration::from_secs(timeout_s);
    Some(Stream { id: id?, url: url?, rate_bps, replicate, credentials, connect_timeout, quirks })
}

/// What is refused is not repeated: it may hold a password.
pub(super) fn rtsp_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| {
        format!("is not a URL ({error}); write, for example, \"rtsp://10.0.0.5:554/stream1\"")
    })?;
    match url.scheme() {
        "rtsp" => {}
        "rtsps" => {
            return Err(
                "rtsps is not supported; use rtsp, on a network that only cameras and this agent share"
                    .into(),
            );
        }
        other => return Err(format!("is {other}, but cameras are reached over rtsp; write rtsp://…")),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(
            "holds credentials, which URLs show to everyone; move them to username and password".into()
        );
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err("names no host; write, for example, \"rtsp://10.0.0.5:554/stream1\"".into());
    }
    Ok(url)
}

/// Likewise. The log-in of the streams goes there, so it has to be where they are.
pub(super) fn onvif_url(text: &str, streams: &[Stream]) -> Result<Url, String> {
    let example = "write, for example, \"http://10.0.0.5/onvif/device_service\"";
    let url = Url::parse(text).map_err(|error| format!("is not a URL ({error}); {example}"))?;
    if url.scheme() != "http" {
        return Err(format!("is {}, but keyframes are asked for over http; {example}", url.scheme()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("holds credentials; the log-in of the camera's streams is used".into());
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err(format!("names no host; {example}"));
    }
    // Not compared as parsed: only for URLs such as http's does the parser know what is an address.
    match streams.iter().find(|stream| stream.url.host_str() != url.host_str()) {
        Some(other) => Err(format!(
            "is at another host than the stream `{}`, and would get its password; they have to be written the same way",
            other.id.stream()
        )),
        None => Ok(url),
    }
}

/// Some cameras take the password as a part of path or query.
fn holds_password(url: &Url) -> bool {
    let rest = url[url::Position::BeforePath..].to_lowercase();
    ["password=", "passwd=", "pwd="].iter().any(|word| rest.contains(word))
}

fn credentials(
    username: Option<Text>,
    password: Option<Secret>,
    password_file: Option<Text>,
    path: &str,
    check: &mut Check,
) -> Option<Credentials> {
    let key = format!("{path}.password_file");
    let password = match (password, password_file) {
        (Some(_), Some(_)) => {
            check.problem(&key, "both password and password_file are given; keep one of them");
            return None;
        }
        (Some(password), None) => {
            let file = check.file().to_owned();
            check.private(&format!("{path}.password"), &file);
            Some(password)
        }
        (None, Some(file)) => {
            let file = check.path(&key, Some(file), "password");
            check.private(&key, &file);
            Some(password_in(&file, &key, check)?)
        }
        (None, None) => None,
    };
    match (username, password) {
        (Some(username), Some(password)) => Some(Credentials { username: username.0, password }),
        (Some(_), None) => {
            let message = "is missing, but there is a username; add password or password_file";
            check.missing(&format!("{path}.password"), message);
            None
        }
        (None, Some(_)) => {
            check.missing(&format!("{path}.username"), "is missing, but there is a password; add username");
            None
        }
        (None, None) => None,
    }
}

fn password_in(file: &Path, key: &str, check: &mut Check) -> Option<Secret> {
    match std::fs::read_to_string(file) {
        // Editors end a file with a newline that is not part of the password.
        Ok(text) => Some(Secret::new(text.trim_end_matches(['\n', '\r']))),
        Err(error) => {
            check.problem(
                key,
                format!("{} can't be read: {error}; write the password into it", file.display()),
            );
            None
        }
    }
}
