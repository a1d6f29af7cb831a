//! What the agent's process puts together from the modules: its HTTP surface and its orderly end.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use wire::proto::{GapCause, RecordingState};
use wire::{LedgerId, OriginId, Policies, RangeSet, Replicate, SiteId, StreamId};

use crate::archive::{Archive, LedgerRecord};
use crate::beats::{Beats, DRILL_MAX, Lost};
use crate::config::SiteConfig;
use crate::forecast::{Forecast, Foreseen};
use crate::holds::Kept;
use crate::live::Live;
use crate::neighbour;
use crate::reconcile::{self, Link, Side, View, ahead};
use crate::replication::{self, Replication};
use crate::retention;
use crate::retention::plan::Rules;
use crate::scrub;
use crate::serve::{self, CameraInfo, Cameras, LiveTails, Role, Served, StreamInfo, Token};
use crate::uplink::{Line, UplinkStatus};
use crate::virtual_server::{Statuses, StreamStatus, VirtualServer};

/// How long a stopping agent goes on sending what the hub has not acked. What is left is sent at the next
/// start.
const DRAIN: Duration = Duration::from_secs(5);

/// Between two attempts to listen for HTTP.
const HTTP_RETRY: Duration = Duration::from_secs(5);

/// What the HTTP surface shows.
#[derive(Clone)]
pub struct Surface {
    /// The site's configuration.
    pub config: Arc<SiteConfig>,
    /// What of it crosses to the hub.
    pub replication: Arc<Replication>,
    /// What is recorded.
    pub archive: Archive,
    /// What is being recorded.
    pub live: Arc<Live>,
    /// How the recorders are.
    pub statuses: Arc<Statuses>,
    /// Other sites whose cameras are recorded here.
    pub hosted: Vec<neighbour::Hosted>,
    /// How retention is.
    pub retention: Arc<retention::Status>,
    /// What is kept whatever retention would free.
    pub holds: Arc<retention::Holds>,
    /// Likewise, as the hub told it.
    pub held: Arc<Kept>,
    /// How re-reading is.
    pub scrub: Arc<scrub::Status>,
    /// How the link to the hub is.
    pub uplink: Arc<UplinkStatus>,
    /// What the hub is told of the recorders, if there is one.
    pub beats: Option<Arc<Beats>>,
    /// This run.
    pub origin: OriginId,
}

impl Surface {
    /// Listens and serves until `stop`. Recording doesn't wait for it: an address that is taken is tried
    /// again until it is free.
    pub fn start(self, stop: CancellationToken) -> JoinHandle<()> {
        tokio::spawn(async move {
            while !stop.is_cancelled() {
                match self.clone().serve(stop.clone()).await {
                    Ok(()) => return,
                    Err(error) => {
                        tracing::error!(error = format!("{error:#}"), "HTTP is not served; trying again")
                    }
                }
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = tokio::time::sleep(HTTP_RETRY) => {}
                }
            }
        })
    }

    async fn serve(self, stop: CancellationToken) -> anyhow::Result<()> {
        let token = Token::load_or_make(self.archive.dir())?;
        let listener = serve::bind(self.config.http.listen).await?;
        let address = listener.local_addr()?;
        tracing::info!(%address, token_file = %self.archive.dir().join("http-token").display(), "serving HTTP");
        let site = self.config.site.id.clone();
        let view = Arc::new(self.view());
        let (status, metrics) = (self.clone(), self.clone());
        let (foreseen, held) = (Arc::<Foreseen>::default(), self.held.clone());
        let told = foreseen.clone();
        let forecast = Forecast {
            view: view.clone(),
            site: site.clone(),
            replication: self.replication.clone(),
            archive: self.archive.clone(),
            origin: self.origin,
        };
        let _looks = AbortOnDropHandle::new(tokio::spawn(forecast.run(foreseen.clone())));
        let served = Served {
            archive: self.archive.clone(),
            live: self.live.clone(),
            tails: Arc::new(LiveTails::new(self.live.clone(), site.clone())),
            status: Arc::new(move || {
                let mut status = status.status();
                status["forecast"] = told.shown();
                status
            }),
            metrics: Arc::new(move || metrics.metrics() + &foreseen.metrics()),
            scrub: self.scrub.clone(),
            cameras: Arc::new(self),
            role: Role::Site(site),
        };
        let more = reconcile::routes(view).merge(holds_route(held));
        let router = serve::router_with(served, token, more);
        serve::serve(listener, router, stop).await
    }

    /// What is to cross to the hub, for whoever asks.
    fn view(&self) -> View {
        let (site, uplink) = (self.config.site.id.clone(), self.uplink.clone());
        let replication = self.replication.clone();
        let rules = replication.clone();
        let link = move |asked: &SiteId| (*asked == site).then(|| link_of(&uplink, &rules.now()));
        let (config, holds, kept) = (self.config.clone(), self.holds.clone(), self.retention.clone());
        let rules = move || {
            let rules = Rules { holds: holds.now(), ..config.retention() };
            (rules, kept.snapshot().kept_bytes.unwrap_or(0))
        };
        View {
            side: Side::Site,
            archive: self.archive.clone(),
            rules: Some(Arc::new(rules)),
            link: Arc::new(link),
            policies: Arc::new(move |_| replication.now().policies.clone()),
        }
    }

    fn status(&self) -> serde_json::Value {
        let ledgers = self.archive.ledgers();
        json!({
            "role": "site",
            "site": self.config.site.id,
            "name": self.config.site.name,
            "software": concat!("holdfast site-agent ", env!("CARGO_PKG_VERSION")),
            "origin": self.origin,
            "archive": {
                "ledgers": ledgers.len(),
                "bytes": ledgers.iter().map(|(_, record)| record.bytes).sum::<u64>(),
                "stopped": self.archive.poisoned(),
                "disks": self.archive.disks_shown(),
                "retention": self.retention.snapshot(),
                "scrub": self.scrub.snapshot(),
            },
            "holds": self.held.shown(),
            "hub": self.config.hub.as_ref().map(|hub| hub.address.to_string()),
            "uplink": self.uplink.snapshot(),
            "replicate": told_policies(&self.replication.now().policies),
            "voters": self.beats.as_ref().map(|beats| beats.status()),
            "streams": self.statuses.snapshot(),
            "hosted": self.hosted.iter().map(|hosted| hosted.shown()).collect::<Vec<_>>(),
        })
    }

    fn metrics(&self) -> String {
        let mut text = String::new();
        let mut put = |name: &str, help: &str, rows: &[(String, u64)]| {
            // Writing to a String can't fail.
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge");
            for (labels, value) in rows {
                let _ = writeln!(text, "{name}{labels} {value}");
            }
        };
        let link = self.uplink.snapshot();
        let alone = |value: u64| [(String::new(), value)];
        put("holdfast_hub_connected", "1 while the hub is connected.", &alone(link.connected.into()));
        put("holdfast_unacked_entries", "Entries the hub has not acked.", &alone(link.unacked));
        put("holdfast_live_lag_p50_ms", "Frame arrival to TailAck, median.", &alone(link.live_lag_ms.p50));
        put("holdfast_live_lag_p99_ms", "Frame arrival to TailAck, 99 of 100.", &alone(link.live_lag_ms.p99));
        put("holdfast_sent_live_bytes", "Bytes sent live.", &alone(link.live_bytes));
        put("holdfast_sent_backlog_bytes", "Bytes sent as backlog.", &alone(link.backlog_bytes));
        let back = &link.restore;
        put("holdfast_restoring_segments", "Segments to come back from the hub.", &alone(back.segments));
        put("holdfast_restoring_bytes", "Their bytes, about.", &alone(back.bytes));
        put(
            "holdfast_restored_segments",
            "Segments that came back in this run.",
            &alone(back.restored_segments),
        );
        put("holdfast_restored_bytes", "Their bytes.", &alone(back.restored_bytes));
        if let Some(line) = &link.line {
            put("holdfast_line_rate_bps", "What the line to the hub carries.", &alone(line.rate_bps));
            put("holdfast_line_rtt_us", "Round trip to the hub.", &alone(line.rtt_us));
            put("holdfast_line_queue_us", "What queues on the way add to it.", &alone(line.queue_us));
            put("holdfast_line_loss_ppm", "Packets lost of a million.", &alone(line.loss_ppm));
        }
        let kept = self.retention.snapshot();
        put("holdfast_disk_free_bytes", "Bytes free on the archive's disk.", &alone(kept.free_bytes));
        put("holdfast_ballast_bytes", "Bytes kept for when it is full.", &alone(kept.ballast_bytes));
        put("holdfast_freed_segments", "Segments freed in this run.", &alone(kept.freed_segments));
        put("holdfast_freed_bytes", "Their bytes.", &alone(kept.freed_bytes));
        put(
            "holdfast_lost_segments",
            "Segments freed that the hub had not acked.",
            &alone(kept.lost_segments),
        );
        put("holdfast_holds", "Holds in force here.", &alone(kept.holds as u64));
        if let Some(bytes) = kept.kept_bytes {
            put("holdfast_holds_bytes", "Bytes that holds keep here.", &alone(bytes));
        }
        put(
            "holdfast_disk_stuck",
            "1 while too little is free and nothing may be freed.",
            &alone(kept.stuck.into()),
        );
        put(
            "holdfast_clock_in_doubt",
            "1 while nothing is freed for its age, since the clock jumped.",
            &alone(kept.clock_in_doubt.into()),
        );
        let streams = self.statuses.snapshot();
        let each = |value: fn(&StreamStatus) -> u64| -> Vec<(String, u64)> {
            streams
                .iter()
                .map(|(stream, status)| (format!("{{stream=\"{stream}\"}}"), value(status)))
                .collect()
        };
        let recording = |status: &StreamStatus| u64::from(status.state == RecordingState::Recording);
        put("holdfast_recording", "1 while the stream is being recorded.", &each(recording));
        put("holdfast_frames", "Video frames recorded in this run.", &each(|status| status.frames));
        put("holdfast_recorded_bytes", "Bytes recorded in this run.", &each(|status| status.bytes));
        put(
            "holdfast_camera_connects",
            "Connections of the camera in this run.",
            &each(|status| status.connects),
        );
        put("holdfast_camera_holes", "Holes in the camera's own stream.", &each(|status| status.holes));
        put("holdfast_write_errors", "Writes that failed.", &each(|status| status.write_errors));
        text + &self.archive.disk_metrics() + &self.scrub.metrics()
    }
}

/// What is kept for the hub.
fn holds_route(held: Arc<Kept>) -> Router {
    Router::new().route("/holds", get(move || async move { axum::Json(held.shown()) }))
}

/// Streams that are not `live`, with their words.
pub fn told_policies(policies: &Policies) -> serde_json::Value {
    let others = policies.iter().filter(|(_, policy)| policy.replicate != Replicate::Live);
    others.map(|(stream, policy)| (stream.to_string(), json!(policy.replicate.word()))).collect()
}

fn link_of(uplink: &UplinkStatus, rules: &replication::Rules) -> Link {
    let state = uplink.snapshot();
    let line = state.line.or(state.last_line);
    Link {
        connected: state.connected,
        carried: line.as_ref().map(|line| Line::parts(line.rate_bps)),
        hours: ahead::hours(rules, wire::clock::wall(), line.as_ref().map(|line| Line::udp(line.rate_bps))),
        to_site: Some(state.restore),
    }
}

impl Cameras for Surface {
    fn replicate(&self, _: &SiteId, stream: &wire::StreamId) -> Replicate {
        self.replication.now().policies.replicate(stream)
    }

    fn cameras(&self) -> Vec<CameraInfo> {
        let statuses = self.statuses.snapshot();
        let info = |camera: &crate::config::Camera| CameraInfo {
            site: self.config.site.id.clone(),
            camera: camera.id.clone(),
            name: camera.name.clone(),
            streams: camera
                .streams
                .iter()
                .filter_map(|stream| Some(stream_info(stream.id.clone(), statuses.get(&stream.id)?)))
                .collect(),
        };
        self.config.cameras.iter().map(info).collect()
    }
}

fn stream_info(stream: wire::StreamId, status: &StreamStatus) -> StreamInfo {
    let not_recording = match status.state {
        RecordingState::Down => Some((GapCause::CameraDown, status.detail.clone())),
        RecordingState::Refused => Some((GapCause::CameraRefused, status.detail.clone())),
        _ => None,
    };
    StreamInfo { stream, state: status.state_name().to_owned(), detail: status.detail.clone(), not_recording }
}

/// Records until `stop`, but for the time in which a drill makes as if the recorder were dead: that ends at the latest
/// after [`DRILL_MAX`], whatever became of what told of it.
pub async fn record_until(
    stop: &CancellationToken,
    server: &mut VirtualServer,
    config: &SiteConfig,
    drills: Option<watch::Receiver<Lost>>,
) {
    let Some(mut lost) = drills else { return stop.cancelled().await };
    // Who told may be gone: then nothing is lost any more.
    while stop.run_until_cancelled(becomes(&mut lost, true)).await == Some(true) {
        server.pause();
        let over = tokio::time::timeout(DRILL_MAX, becomes(&mut lost, false));
        let ended = stop.run_until_cancelled(over).await;
        server.resume(config).await;
        if !matches!(ended, Some(Ok(true))) {
            break;
        }
    }
    stop.cancelled().await;
}

/// Waits until recording is to be as if lost, or not; `false` if nobody will tell any more.
async fn becomes(lost: &mut watch::Receiver<Lost>, wanted: bool) -> bool {
    lost.wait_for(|lost| lost.recording == wanted).await.is_ok()
}

/// Waits until the hub has acked everything, for a bounded time, and not at all without a link. What is left
/// is asked of the archive: the link may not have heard yet of what the recorders closed last.
/// Streams that wait for a window are not waited for.
pub async fn drain(archive: &Archive, uplink: &UplinkStatus, rules: &replication::Rules) {
    let open = rules.is_open(rules.local(wire::clock::wall()));
    let stays = |stream: &StreamId| match rules.policies.replicate(stream) {
        Replicate::Scheduled => !open,
        replicate => replicate.withholds(),
    };
    let acked = async {
        loop {
            let changed = uplink.changed();
            if !uplink.snapshot().connected || unacked(archive, &stays) == 0 {
                return;
            }
            changed.await;
        }
    };
    if tokio::time::timeout(DRAIN, acked).await.is_err() {
        tracing::warn!("some of what was recorded is not at the hub yet; it is sent at the next start");
    }
}

fn unacked(archive: &Archive, stays: &impl Fn(&StreamId) -> bool) -> u64 {
    let left = |(ledger, record): &(LedgerId, LedgerRecord)| {
        // Entries go in order, and what a recorder writes last has no bytes: with it acked, the hub knows all.
        let from = if stays(&ledger.stream) { record.next.saturating_sub(1) } else { 0 };
        RangeSet::from(from..record.next).minus(&record.acked()).minus(&record.gone()).len()
    };
    // Of ended runs nobody knows what the hub was told of what stays here: the next connection does.
    let asked = |(ledger, record): &&(LedgerId, LedgerRecord)| !(record.ended && stays(&ledger.stream));
    archive.ledgers().iter().filter(asked).map(left).sum()
}
