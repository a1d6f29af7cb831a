//! Becoming equal, shown: what is still to cross between a site and its hub, and what will come of it.
//!
//! Both daemons answer `GET /api/v1/sites/{site}/reconcile`: a site from what it has and the hub has not acked, the
//! hub from what the site told it of and it has not got. This gathers facts and tells; what follows from them is
//! [`plan`]'s. It reads the archive, and changes nothing.

pub mod ahead;
pub mod plan;
pub mod road;

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use wire::{Policies, RangeSet, Replicate, SiteId, UnixMicros};

use crate::archive::{Archive, Disk, LedgerRecord, Result};
use crate::retention::plan::{Camera, Rules, Unacked};
use crate::serve::Refusal;
use crate::uplink::Restoring;
use plan::{Facts, Plan, Waiting};
use road::Hours;

/// Pieces that an answer lists; of the rest it says how many there are.
const PIECES_MAX: usize = 1000;

/// Who is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// A site: what it has to send.
    Site,
    /// The hub: what it knows of and has not got.
    Hub,
}

/// How bytes of a site's streams cross, as far as is known here.
pub type Crossing = dyn Fn(&SiteId) -> Policies + Send + Sync;

/// What is to cross of a site's recordings, as seen from one side, of what ended before an instant.
pub fn waiting(
    archive: &Archive,
    side: Side,
    site: &SiteId,
    before: UnixMicros,
    (rules, policies): (Option<&Rules>, &Policies),
) -> Result<Vec<Waiting>> {
    let (mut waiting, now) = (Vec::new(), wire::clock::wall());
    for (ledger, record) in archive.ledgers() {
        if record.site != site.as_str()
            || !record.is_by_site()
            || policies.replicate(&ledger.stream).withholds()
        {
            continue;
        }
        let seqs = wanted(side, &record);
        if seqs.is_empty() {
            continue;
        }
        let camera = Camera::of(site, &ledger);
        let age = rules.and_then(|rules| rules.of(&camera).age_max);
        let early = |_, _, end: UnixMicros| end <= before;
        let found = archive.held_segments(&ledger, &seqs, usize::MAX, early)?;
        waiting.extend(found.into_iter().map(|segment| {
            let kept = rules.is_some_and(|rules| rules.keeps(now, &camera, segment.start, segment.end));
            Waiting {
                ledger: ledger.clone(),
                seq: segment.seq,
                priority: policies.of(&ledger.stream).priority,
                scheduled: policies.replicate(&ledger.stream) == Replicate::Scheduled,
                ended: record.ended,
                start: segment.start,
                end: segment.end,
                bytes: segment.bytes,
                expires: age.filter(|_| !kept).map(|age| segment.end + age),
                kept,
            }
        }));
    }
    Ok(waiting)
}

/// Seqs of which the bytes are to cross, with entries that have none.
fn wanted(side: Side, record: &LedgerRecord) -> RangeSet {
    match side {
        Side::Site => record.held().minus(&record.acked()),
        Side::Hub => RangeSet::from(0..record.next).minus(&record.held()).minus(&record.gone()),
    }
}

/// Bytes that can be recorded until something is freed that is not acked; none if that does not happen. Holds keep `kept`
/// bytes, which are never freed.
pub fn room(archive: &Archive, rules: &Rules, kept: u64, waiting: &[Waiting]) -> Option<u64> {
    let marks = rules.marks.filter(|_| rules.unacked == Unacked::Free && rules.acked_by_hub)?;
    let free = |disk: &Arc<Disk>| Some(disk.room().free_bytes().ok()?.saturating_sub(marks.low));
    let free: u64 = archive.disks().in_use().iter().map(free).sum::<Option<u64>>()?;
    let held: u64 = archive.ledgers().iter().map(|(_, record)| record.bytes).sum();
    let unacked: u64 = waiting.iter().filter(|one| !one.kept).map(|one| one.bytes).sum();
    Some(free + held.saturating_sub(unacked).saturating_sub(kept))
}

/// A plan as it is told.
pub fn told(plan: &Plan, site: &SiteId, link: &Link) -> Value {
    let connected = link.connected;
    let bits = |rate: f64| (rate * 8.0).round() as u64;
    let (from, to) = (plan.pieces.iter().map(|p| p.from).min(), plan.pieces.iter().map(|p| p.to).max());
    json!({
        "site": site,
        "connected": connected,
        "equal": connected && plan.segments == 0,
        "to_hub": {
            "segments": plan.segments,
            "bytes": plan.bytes,
            "from_us": from,
            "to_us": to,
            "pieces": plan.pieces.iter().take(PIECES_MAX).collect::<Vec<_>>(),
            "pieces_more": plan.pieces.len().saturating_sub(PIECES_MAX),
        },
        "to_site": link.to_site,
        "rate_bps": plan.rate.map(bits),
        "duration_s": plan.duration.map(|duration| duration.as_secs_f64()),
        "lost": plan.lost.iter().take(PIECES_MAX).collect::<Vec<_>>(),
        "lost_bytes": plan.lost.iter().map(|lost| lost.piece.bytes).sum::<u64>(),
        "lag_s": plan.lag.as_secs_f64(),
    })
}

/// What a daemon knows beside its archive.
#[derive(Clone, Debug, Default)]
pub struct Link {
    /// Are the two connected?
    pub connected: bool,
    /// See [`Facts::carried`].
    pub carried: Option<f64>,
    /// See [`Facts::hours`]; empty if nothing is known of them.
    pub hours: Vec<Hours>,
    /// What the site lacks of what the hub has, as the site says; none if it has not said.
    pub to_site: Option<Restoring>,
}

/// How a site's link is, as far as is known here.
pub type Links = dyn Fn(&SiteId) -> Option<Link> + Send + Sync;

/// What retention follows now, and the bytes that holds keep.
pub type KeptNow = dyn Fn() -> (Rules, u64) + Send + Sync;

/// One side's view.
pub struct View {
    /// Whose.
    pub side: Side,
    /// Its archive.
    pub archive: Archive,
    /// What is kept there, as it is now, if it is the side that may lose something; and the bytes that holds keep.
    pub rules: Option<Arc<KeptNow>>,
    /// How the link to a site is; none if there is no such site.
    pub link: Arc<Links>,
    /// Which streams' bytes are to cross by themselves, and whose go first.
    pub policies: Arc<Crossing>,
}

impl View {
    /// The plan for a site, of what ended before an instant; none if there is no such site.
    pub fn plan(&self, site: &SiteId, before: UnixMicros) -> Result<Option<(Plan, Link)>> {
        let Some(link) = (self.link)(site) else { return Ok(None) };
        let (policies, rules) = ((self.policies)(site), self.rules.as_ref().map(|rules| rules()));
        let by = (rules.as_ref().map(|(rules, _)| rules), &policies);
        let waiting = waiting(&self.archive, self.side, site, before, by)?;
        let room = rules.and_then(|(rules, kept)| room(&self.archive, &rules, kept, &waiting));
        let Link { carried, mut hours, .. } = link.clone();
        if hours.is_empty() {
            hours = Hours::always(None, true);
        }
        let facts = Facts { now: wire::clock::wall(), waiting, carried, hours, room };
        Ok(Some((plan::plan(facts), link)))
    }
}

/// Below `/api/v1`.
pub fn routes(view: Arc<View>) -> Router {
    Router::new().route("/sites/{site}/reconcile", get(reconcile)).with_state(view)
}

/// Of which time.
#[derive(serde::Deserialize)]
struct Asked {
    /// Only what ended before this; without, all.
    before_us: Option<i64>,
}

async fn reconcile(
    State(view): State<Arc<View>>,
    Path(site): Path<String>,
    Query(asked): Query<Asked>,
) -> std::result::Result<Json<Value>, Refusal> {
    let unknown = |detail: String| Refusal::new(StatusCode::NOT_FOUND, "no such site", detail);
    let site = SiteId::new(site).map_err(|error| unknown(error.to_string()))?;
    let (of, before) = (site.clone(), asked.before_us.map_or(UnixMicros::MAX, UnixMicros));
    let planned = tokio::task::spawn_blocking(move || view.plan(&of, before));
    let failed = |detail: String| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "internal error", detail);
    match planned.await.map_err(|error| failed(error.to_string()))? {
        Ok(Some((plan, link))) => Ok(Json(told(&plan, &site, &link))),
        Ok(None) => Err(unknown(format!("no site `{site}` is known here"))),
        Err(error) => Err(failed(error.to_string())),
    }
}
