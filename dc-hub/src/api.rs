//! The HTTP surface: mounts the site's `serve` over the vault and all its sites.

use std::fmt::Write;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::json;
use site_agent::archive::Sender;
use site_agent::daemon::told_policies;
use site_agent::live::Live;
use site_agent::reconcile::{self, Link, Side, View};
use site_agent::retention;
use site_agent::scrub;
use site_agent::serve::{
    self, CameraInfo, Cameras, LiveTails, Role, Served, StreamInfo, TailFragment, TailSpan, Tails, Token,
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use wire::proto::GapCause;
use wire::{LedgerId, Replicate, SegmentNumber, SiteId, StreamId};

use crate::beats::Intake;
use crate::bring::Watched;
use crate::config::HubConfig;
use crate::downlink::{Downlink, Hosts, SiteState, Sites};
use crate::drills::Drills;
use crate::holds;
use crate::journal::{Fragment, Tail};
use crate::policies::SitePolicies;
use crate::quorum::Quorum;
use crate::vault::Vault;

/// Listens and serves until `stop`.
pub async fn start(
    config: &HubConfig,
    downlink: &Downlink,
    (quorum, drills, brought): (Quorum, Drills, Watched),
    (kept, scrubbed): (Arc<retention::Status>, Arc<scrub::Status>),
    stop: CancellationToken,
) -> anyhow::Result<JoinHandle<()>> {
    let token = Token::load_or_make(&config.vault.dir)?;
    let listener = serve::bind(config.http.listen).await?;
    let address = listener.local_addr()?;
    tracing::info!(%address, token_file = %config.vault.dir.join("http-token").display(), "serving HTTP");
    let (vault, sites, name) = (downlink.vault.clone(), downlink.sites.clone(), config.hub.name.clone());
    let tails: Arc<dyn Tails> = Arc::new(HubTails { vault: vault.clone(), live: downlink.live.clone() });
    let held =
        holds::http::Parts { quorum: quorum.clone(), archive: vault.archive().clone(), tails: tails.clone() };
    let served = Served {
        archive: vault.archive().clone(),
        live: downlink.live.clone(),
        tails: tails.clone(),
        status: {
            let (vault, sites, quorum) = (vault.clone(), sites.clone(), quorum.clone());
            let kept = (kept.clone(), scrubbed.clone());
            let (brought, hosts) = (brought.clone(), downlink.hosts.clone());
            let policies = downlink.policies.clone();
            Arc::new(move || {
                let mut told = status(&name, &vault, (&kept.0, &kept.1), &sites, &quorum);
                let of = |site: &SiteId| (site.to_string(), told_policies(&policies.of(site)));
                told["standbys"] = json!({ "bring": brought.snapshot(), "brought": from(&hosts) });
                told["replicate"] = sites.snapshot().keys().map(of).collect();
                told
            })
        },
        metrics: {
            let (intake, drills, scrubbed) = (downlink.intake.clone(), drills.clone(), scrubbed.clone());
            let log = quorum.log().clone();
            Arc::new(move || {
                let state = log.state();
                let held = holds::metrics(&state) + &unacked(&brought);
                let exposed = crate::quorum::http::exposed_metrics(&state);
                metrics(&vault, &kept, &sites, &intake)
                    + &vault.archive().disk_metrics()
                    + &scrubbed.metrics()
                    + &drills.metrics()
                    + &held
                    + &exposed
            })
        },
        scrub: scrubbed,
        cameras: Arc::new(SiteCameras { sites: downlink.sites.clone(), policies: downlink.policies.clone() }),
        role: Role::Hub,
    };
    let fetches = crate::asked::http::routes(downlink.asked.clone(), downlink.sites.clone());
    let scrubs = crate::scrubs::routes(
        downlink.scrubs.clone(),
        downlink.sites.clone(),
        downlink.vault.archive().clone(),
    );
    let view = reconcile::routes(Arc::new(view(downlink)));
    let more = crate::quorum::http::routes(quorum)
        .merge(crate::drills::http::routes(drills))
        .merge(view)
        .merge(fetches)
        .merge(scrubs)
        .merge(holds::http::routes(held));
    let router = serve::router_with(served, token, more);
    Ok(tokio::spawn(async move {
        if let Err(error) = serve::serve(listener, router, stop).await {
            tracing::error!(%error, "HTTP has stopped");
        }
    }))
}

/// What is to come from sites. How fast a line is only the site knows.
fn view(downlink: &Downlink) -> View {
    let sites = downlink.sites.clone();
    let link = move |site: &SiteId| {
        let state = sites.snapshot().remove(site)?;
        Some(Link { connected: state.connected, to_site: state.restoring, ..Link::default() })
    };
    let policies = downlink.policies.clone();
    View {
        side: Side::Hub,
        archive: downlink.vault.archive().clone(),
        rules: None,
        link: Arc::new(link),
        policies: Arc::new(move |site| policies.of(site)),
    }
}

/// Unfinished segments: those of sites in the tail journal, those of standbys as they record.
pub(crate) struct HubTails {
    vault: Vault,
    live: Arc<Live>,
}

impl HubTails {
    pub(crate) fn new(vault: Vault, live: Arc<Live>) -> Self {
        Self { vault, live }
    }

    fn standby(&self, ledger: &LedgerId) -> Option<SiteId> {
        self.vault.archive().ledger(ledger).filter(|record| record.is_standby_here())?.site().ok()
    }
}

impl Tails for HubTails {
    fn tails(&self, site: &SiteId, stream: &StreamId) -> Vec<TailSpan> {
        let live = LiveTails::new(self.live.clone(), site.clone()).tails(site, stream);
        let standbys = live.into_iter().filter(|tail| self.standby(&tail.ledger).is_some());
        self.vault.journal().of_stream(site, stream).into_iter().flat_map(runs).chain(standbys).collect()
    }

    fn read(&self, ledger: &LedgerId, segment: SegmentNumber, part: u32) -> Option<Bytes> {
        match self.standby(ledger) {
            Some(site) => LiveTails::new(self.live.clone(), site).read(ledger, segment, part),
            None => self.vault.journal().read(ledger, segment, part).ok().flatten(),
        }
    }
}

/// What is here of an open segment, cut where something is missing: what lies behind a hole is durable, and a viewer wants
/// the present. The hole is filled with the backlog.
fn runs(tail: Tail) -> Vec<TailSpan> {
    let fragments: Vec<_> = tail.fragments.into_iter().filter(|fragment| fragment.part > 0).collect();
    let follow = |one: &Fragment, next: &Fragment| one.part + 1 == next.part;
    let span = |run: &[Fragment]| {
        let told = |one: &Fragment| TailFragment { part: one.part, start: one.start, key: one.key };
        Some(TailSpan {
            ledger: tail.ledger.clone(),
            segment: tail.segment,
            start: run.first()?.start,
            end: run.last()?.end,
            fragments: run.iter().map(told).collect(),
        })
    };
    fragments.chunk_by(follow).filter_map(span).collect()
}

/// The cameras of all sites, as their last beats told.
struct SiteCameras {
    sites: Arc<Sites>,
    policies: Arc<SitePolicies>,
}

impl Cameras for SiteCameras {
    fn cameras(&self) -> Vec<CameraInfo> {
        let sites = self.sites.snapshot();
        sites.into_iter().flat_map(|(site, state)| cameras_of(&site, &state)).collect()
    }

    fn late(&self, site: &SiteId) -> Option<String> {
        self.sites.late(site)
    }

    fn replicate(&self, site: &SiteId, stream: &StreamId) -> Replicate {
        self.policies.replicate(site, stream)
    }
}

fn cameras_of(site: &SiteId, state: &SiteState) -> Vec<CameraInfo> {
    let info = |(camera, name): (&String, &String)| CameraInfo {
        site: site.clone(),
        camera: camera.clone(),
        name: name.clone(),
        streams: state
            .cameras
            .iter()
            .filter_map(stream_of)
            .filter(|info| info.stream.camera() == camera)
            .collect(),
    };
    state.names.iter().map(info).collect()
}

fn stream_of(beat: &crate::downlink::CameraBeat) -> Option<StreamInfo> {
    let not_recording = match beat.state {
        "down" => Some((GapCause::CameraDown, beat.detail.clone())),
        "refused" => Some((GapCause::CameraRefused, beat.detail.clone())),
        _ => None,
    };
    Some(StreamInfo {
        stream: beat.stream.parse().ok()?,
        state: beat.state.to_owned(),
        detail: beat.detail.clone(),
        not_recording,
    })
}

fn status(
    name: &str,
    vault: &Vault,
    (kept, scrubbed): (&retention::Status, &scrub::Status),
    sites: &Sites,
    quorum: &Quorum,
) -> serde_json::Value {
    let (id, generation) = vault.archive().identity();
    let ledgers = vault.archive().ledgers();
    json!({
        "role": "hub",
        "name": name,
        "software": concat!("holdfast dc-hub ", env!("CARGO_PKG_VERSION")),
        "quorum": quorum.in_words(),
        "vault": {
            "id": id,
            "generation": generation,
            "ledgers": ledgers.len(),
            "bytes": ledgers.iter().map(|(_, record)| record.bytes).sum::<u64>(),
            "open_segments": vault.journal().all().len(),
            "stopped": vault.poisoned(),
            "disks": vault.archive().disks_shown(),
            "retention": kept.snapshot(),
            "scrub": scrubbed.snapshot(),
        },
        "holds": holds::status(&quorum.log().state()),
        "new_passwords": crate::quorum::http::exposed(&quorum.log().state()),
        "sites": sites.snapshot(),
    })
}

/// Who brings what a standby recorded, for which sites, and from where.
fn from(hosts: &Hosts) -> serde_json::Value {
    let host = |(by, from): (Sender, std::net::SocketAddr)| json!({ "host": by.host, "site": by.site, "address": from.to_string() });
    hosts.snapshot().into_iter().map(host).collect()
}

fn unacked(brought: &Watched) -> String {
    let mut text = "# HELP holdfast_standby_unacked_entries Entries of standbys here that the site's vault has not acked.\n\
                    # TYPE holdfast_standby_unacked_entries gauge\n"
        .to_owned();
    for (site, unacked) in brought.unacked() {
        // Writing to a String can't fail.
        let _ = writeln!(text, "holdfast_standby_unacked_entries{{site=\"{site}\"}} {unacked}");
    }
    text
}

fn metrics(vault: &Vault, kept: &retention::Status, sites: &Sites, intake: &Intake) -> String {
    let mut text = String::new();
    let mut put = |name: &str, help: &str, rows: &[(String, u64)]| {
        // Writing to a String can't fail.
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge");
        for (labels, value) in rows {
            let _ = writeln!(text, "{name}{labels} {value}");
        }
    };
    let snapshot = sites.snapshot();
    let per_site = |value: fn(&SiteState) -> u64| -> Vec<(String, u64)> {
        snapshot.iter().map(|(site, state)| (format!("{{site=\"{site}\"}}"), value(state))).collect()
    };
    let bytes = vault.archive().ledgers().iter().map(|(_, record)| record.bytes).sum();
    put("holdfast_vault_bytes", "Bytes of complete segments held.", &[(String::new(), bytes)]);
    let open = vault.journal().all().len() as u64;
    put("holdfast_vault_open_segments", "Segments not complete yet.", &[(String::new(), open)]);
    let stopped = u64::from(vault.poisoned().is_some());
    put("holdfast_vault_stopped", "1 after a failed write.", &[(String::new(), stopped)]);
    let kept = kept.snapshot();
    let alone = |value: u64| [(String::new(), value)];
    if let Some(bytes) = kept.kept_bytes {
        put("holdfast_holds_bytes", "Bytes that holds keep in the vault.", &alone(bytes));
    }
    put("holdfast_disk_free_bytes", "Bytes free on the vault's disk.", &alone(kept.free_bytes));
    put("holdfast_freed_segments", "Segments freed since the hub started.", &alone(kept.freed_segments));
    put("holdfast_freed_bytes", "Their bytes.", &alone(kept.freed_bytes));
    put(
        "holdfast_clock_in_doubt",
        "1 while nothing is freed for its age, since the clock jumped.",
        &alone(kept.clock_in_doubt.into()),
    );
    let dropped = [(String::new(), intake.dropped())];
    put("holdfast_beats_dropped", "Beats lost because whoever decides was too slow.", &dropped);
    put("holdfast_site_connected", "1 while the site is connected.", &per_site(|s| s.connected.into()));
    put("holdfast_site_unacked_entries", "Entries of the site not acked.", &per_site(|s| s.unacked));
    put(
        "holdfast_site_twins",
        "1 while two agents run as the site.",
        &per_site(|s| s.twins.is_some().into()),
    );
    put(
        "holdfast_site_live_lag_p99_ms",
        "Live lag, as the site measures.",
        &per_site(|s| s.live_lag_ms_p99.into()),
    );
    put(
        "holdfast_site_restoring_bytes",
        "Bytes that are here and the site lacks, as it says.",
        &per_site(|s| s.restoring.as_ref().map_or(0, |back| back.bytes)),
    );
    put("holdfast_site_received_bytes", "Bytes taken in since the hub started.", &per_site(|s| s.bytes_in));
    text
}

#[cfg(test)]
mod tests {
    use wire::{OriginId, RangeSet, UnixMicros};

    use super::*;

    #[test]
    fn a_hole_is_not_shown_as_recorded_and_what_lies_behind_it_is() {
        let at = |part: u32| UnixMicros(i64::from(part) * 1_000_000);
        let fragment = |part: u32| Fragment { part, start: at(part), end: at(part + 1), key: true };
        let tail = Tail {
            site: SiteId::new("shop-1").unwrap(),
            ledger: LedgerId { origin: OriginId([1; 16]), stream: "till-1/main".parse().unwrap() },
            segment: SegmentNumber(7),
            parts: RangeSet::from(0..10),
            start: at(1),
            end: at(9),
            fragments: [0, 1, 2, 5, 6, 8].map(fragment).to_vec(),
        };
        let spans: Vec<_> =
            runs(tail).iter().map(|span| (span.start, span.end, span.fragments.len())).collect();
        assert_eq!(spans, [(at(1), at(3), 2), (at(5), at(7), 2), (at(8), at(9), 1)]);
    }
}
