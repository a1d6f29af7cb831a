//! Every default of both configurations, and the range each number may have.
//!
//! The configurations that `holdfast init` writes name these values; a test keeps them equal.

use std::ops::RangeInclusive;

/// `identity.ca`
pub const CA: &str = "ca.pem";
/// `identity.certificate` at a site
pub const SITE_CERTIFICATE: &str = "site.pem";
/// `identity.key` at a site
pub const SITE_KEY: &str = "site-key.pem";
/// `identity.certificate` at a hub
pub const HUB_CERTIFICATE: &str = "hub.pem";
/// `identity.key` at a hub
pub const HUB_KEY: &str = "hub-key.pem";

/// `hub.beat_ms`: short enough for a verdict within two seconds.
pub const BEAT_MS: u64 = 500;
/// The range of `hub.beat_ms`
pub const BEAT_MS_RANGE: RangeInclusive<u64> = 100..=10_000;

/// The range of `uplink.rate_mbit_max`: a modem's line to ten times what two cores encrypt.
pub const RATE_MBIT_RANGE: RangeInclusive<f64> = 0.1..=100_000.0;
/// The range of `uplink.limit.rate_mbit_max` for live; backlog may be stopped with 0.
pub const LIMIT_MBIT_MAX: f64 = 100_000.0;
/// The range of `uplink.limit.percent_max`
pub const PERCENT_RANGE: RangeInclusive<f64> = 1.0..=100.0;

/// `uplink.window_spread_min`: as much as it takes that no two of some hundred sites begin within seconds.
pub const WINDOW_SPREAD_MIN: u64 = 10;
/// The range of `uplink.window_spread_min`
pub const WINDOW_SPREAD_MIN_RANGE: RangeInclusive<u64> = 0..=240;

/// `archive.dir`
pub const ARCHIVE_DIR: &str = "/var/lib/holdfast/site";
/// `archive.segment_s`
pub const SEGMENT_S: u64 = 10;
/// The range of `archive.segment_s`
pub const SEGMENT_S_RANGE: RangeInclusive<u64> = 2..=600;
/// `archive.fragment_ms`: about what is lost with a stolen recorder.
pub const FRAGMENT_MS: u64 = 1_000;
/// The range of `archive.fragment_ms`
pub const FRAGMENT_MS_RANGE: RangeInclusive<u64> = 200..=10_000;

/// Sites that `standby.hosts` names at most.
pub const HOSTS_MAX: usize = 8;
/// The range of `keep_days_max`, of an archive or a camera: a minute and a half to a century. Without it
/// there is no limit.
pub const KEEP_DAYS_RANGE: RangeInclusive<f64> = 0.001..=36_500.0;
/// The range of `keep_gb_max`, likewise.
pub const KEEP_GB_RANGE: RangeInclusive<f64> = 0.01..=1_000_000.0;
/// `archive.free_low_mb`: a minute of sixty streams of 4 Mbit/s.
pub const FREE_LOW_MB: u64 = 2_048;
/// `archive.free_high_mb`
pub const FREE_HIGH_MB: u64 = 4_096;
/// The range of both. Recorders stop at 8, and the index at 4.
pub const FREE_MB_RANGE: RangeInclusive<u64> = 12..=100_000_000;
/// `archive.ballast_mb`, `vault.ballast_mb`
pub const BALLAST_MB: u64 = 64;
/// Their range
pub const BALLAST_MB_RANGE: RangeInclusive<u64> = 0..=65_536;

/// `archive.scrub_days`, `vault.scrub_days`
pub const SCRUB_DAYS: f64 = 30.0;
/// Their range; 0 is never
pub const SCRUB_DAYS_RANGE: RangeInclusive<f64> = 0.0..=3_650.0;
/// `archive.scrub_mb_s_max`, `vault.scrub_mb_s_max`: 50 TB in 30 days.
pub const SCRUB_MB_S_MAX: f64 = 20.0;
/// Their range
pub const SCRUB_MB_S_MAX_RANGE: RangeInclusive<f64> = 0.1..=10_000.0;

/// `http.listen` of a site agent: this machine only.
pub const SITE_HTTP_LISTEN: &str = "127.0.0.1:8081";

/// `camera.audio`: off, since recording voices is forbidden in more places than recording pictures.
pub const AUDIO: bool = false;
/// `camera.metadata`
pub const METADATA: bool = true;
/// `camera.priority`
pub const PRIORITY: u64 = 100;
/// `camera.single_session`
pub const SINGLE_SESSION: bool = false;
/// `camera.stream.rate_mbit` of a camera's first stream.
pub const RATE_MBIT: f64 = 4.0;
/// `camera.stream.rate_mbit` of the others.
pub const SUB_RATE_MBIT: f64 = 1.0;
/// The range of `camera.stream.rate_mbit`
pub const STREAM_RATE_MBIT_RANGE: RangeInclusive<f64> = 0.01..=1_000.0;
/// `camera.stream.connect_timeout_s`
pub const CONNECT_TIMEOUT_S: u64 = 5;
/// The range of `camera.stream.connect_timeout_s`
pub const CONNECT_TIMEOUT_S_RANGE: RangeInclusive<u64> = 1..=60;
/// The range of `camera.stream.max_timestamp_jump_s`, which is off by default
pub const MAX_TIMESTAMP_JUMP_S_RANGE: RangeInclusive<u64> = 1..=3_600;

/// `hub.name` of a hub node
pub const HUB_NAME: &str = "hub-1";
/// The port hubs listen on, and sites dial.
pub const HUB_PORT: u16 = 7443;
/// `hub.listen` of a hub node
pub const HUB_LISTEN: &str = "[::]:7443";
/// `vault.dir`
pub const VAULT_DIR: &str = "/var/lib/holdfast/hub";
/// `vault.journal_mb`
pub const JOURNAL_MB: u64 = 64;
/// The range of `vault.journal_mb`
pub const JOURNAL_MB_RANGE: RangeInclusive<u64> = 8..=65_536;
/// `http.listen` of a hub
pub const HUB_HTTP_LISTEN: &str = "127.0.0.1:8080";
/// `control.dir`
pub const CONTROL_DIR: &str = "/var/lib/holdfast/control";
/// `standby.streams_max`
pub const STANDBY_STREAMS_MAX: u64 = 64;
/// `standby.rate_mbit_max`
pub const STANDBY_RATE_MBIT_MAX: f64 = 400.0;
/// `standby.uplink_mbit`
pub const STANDBY_UPLINK_MBIT: f64 = 100.0;
/// `failback.active_min_s`
pub const ACTIVE_MIN_S: u64 = 300;
/// `failback.stable_min_s`
pub const STABLE_MIN_S: u64 = 600;
/// `limits.sites_max`
pub const SITES_MAX: u64 = 200;
/// The range of `limits.sites_max`
pub const SITES_MAX_RANGE: RangeInclusive<u64> = 1..=10_000;
/// `limits.ledgers_per_site_max`: each restart of a site adds one for every stream.
pub const LEDGERS_PER_SITE_MAX: u64 = 100_000;
/// The range of `limits.ledgers_per_site_max`
pub const LEDGERS_PER_SITE_MAX_RANGE: RangeInclusive<u64> = 16..=1_000_000;
/// `limits.tail_mb_per_site_max`: a segment of ten seconds of each of fifty streams of 4 Mbit/s, four times.
pub const TAIL_MB_PER_SITE_MAX: u64 = 1024;
/// The range of `limits.tail_mb_per_site_max`
pub const TAIL_MB_PER_SITE_MAX_RANGE: RangeInclusive<u64> = 8..=65_536;
