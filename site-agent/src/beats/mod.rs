//! Beats: the recorder tells every voter of the hub that it is well, whatever else is on the line.
//!
//! A beat is made every `hub.beat_ms` and goes to all voters alike: on a stream of the session at the node that
//! keeps the site's vault, on a connection of its own to every other node, and over TCP and over other paths where
//! QUIC isn't heard.
//!
//! | module | |
//! |---|---|
//! | `facts` | what a beat tells |
//! | `drill` | what is made as if it were lost (pure) |
//! | `said` | the newest beat, and a goodbye, numbered |
//! | `ways` | on which way a beat goes to a voter (pure) |
//! | `line` | one way for as long as it lasts |
//! | `dialling` | what dialling a voter takes |
//! | `reach` | ways to all voters, opened again and again |
//! | `roster` | who the voters are, as the hub told, also across a restart (pure but for its file) |
//!
//! Nothing here is waited for by a recorder, and nothing here knows why the hub wants to know.

mod dialling;
mod drill;
mod facts;
mod line;
mod reach;
mod roster;
mod said;
mod voter;
mod ways;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use futures::future::join_all;
use prost::Message;
use tokio::sync::watch;
use wire::discover::HubAddress;
use wire::seal::SealingKey;
use wire::{SiteId, frame, proto};

pub(crate) use dialling::Dialling;
pub use drill::{LENGTH_MAX as DRILL_MAX, Lost};
pub use facts::Facts;
pub(crate) use facts::stream_beat;
pub(crate) use line::carry;
pub(crate) use voter::Voter;
pub(crate) use ways::{Carrier, Leave, PathPlace, Way};

use crate::config::{Drills, UplinkPath};
use crate::holds::Kept;
use crate::uplink::dial::AddressBook;
use drill::Drilling;
use facts::Told;
use roster::Roster;
use said::Said;

/// The path on which hub nodes reach a site's cameras, by its name.
pub const CAMERA_PATH: &str = "wan";
/// The longest message a voter may answer with.
pub(crate) const BYTES_MAX: usize = 64 << 10;
/// How long a goodbye is waited for: every voter that is there acks it after a round trip.
const GOODBYE_MAX: Duration = Duration::from_secs(1);
/// Holds that could not be written are tried again after this.
const HOLDS_AGAIN: Duration = Duration::from_secs(10);
/// How long a site that stops goes on recording for a standby to take over.
const HAND_OVER_MAX: Duration = Duration::from_secs(10);

/// What a run tells its voters.
pub struct Beats {
    facts: Facts,
    every: Duration,
    /// The preferred one first.
    paths: Vec<UplinkPath>,
    /// What this site keeps for the hub.
    holds: Option<Arc<Kept>>,
    /// What may be rehearsed here.
    drills: Drills,
    /// The newest that the hub told of it.
    told_holds: watch::Sender<Option<proto::Holds>>,
    /// What hub nodes that may stand by are told of the cameras of this site.
    configuration: Option<(SiteId, proto::Configuration)>,
    /// The hub as configured, and where what it told is kept.
    hub: HubAddress,
    file: PathBuf,
    said: watch::Sender<Said>,
    roster: watch::Sender<Roster>,
    /// What a drill makes as if it were lost.
    lost: watch::Sender<Lost>,
    voters: Mutex<BTreeMap<String, Arc<Voter>>>,
    /// Which node the session is at.
    session: watch::Sender<Option<String>>,
    /// Where voters are, by name.
    books: Mutex<BTreeMap<String, Vec<Arc<AddressBook>>>>,
}

/// The session is at a node for as long as this lives.
pub(crate) struct AtNode<'a> {
    beats: &'a Beats,
    node: String,
}

/// What a machine was told to do for a site: nothing, if it was not.
fn told_of(roster: &Roster, site: &SiteId) -> proto::Hosting {
    let told = roster.hosting.iter().find(|hosting| hosting.site == site.as_str());
    told.cloned().unwrap_or_default()
}

impl Drop for AtNode<'_> {
    fn drop(&mut self) {
        self.beats.session.send_if_modified(|at| at.take_if(|at| *at == self.node).is_some());
    }
}

impl Beats {
    /// Of a run that says `facts` every so often, over these paths. What the hub told earlier runs is in `file`, if
    /// it was this hub.
    pub fn new(
        facts: Facts,
        every: Duration,
        paths: Vec<UplinkPath>,
        hub: HubAddress,
        file: PathBuf,
    ) -> Self {
        let roster = roster::load(&file, &hub).unwrap_or_default();
        Self {
            facts,
            every,
            paths,
            holds: None,
            drills: Drills::default(),
            told_holds: watch::Sender::default(),
            configuration: None,
            hub,
            file,
            said: watch::Sender::default(),
            roster: watch::Sender::new(roster),
            lost: watch::Sender::default(),
            voters: Mutex::default(),
            session: watch::Sender::default(),
            books: Mutex::default(),
        }
    }

    /// Has holds that the hub tells kept, and confirms them.
    #[must_use]
    pub fn with_holds(self, holds: Arc<Kept>) -> Self {
        Self { holds: Some(holds), ..self }
    }

    /// Takes part in such drills only.
    #[must_use]
    pub fn with_drills(self, drills: Drills) -> Self {
        Self { drills, ..self }
    }

    /// Tells nodes that may stand by of the cameras, too.
    #[must_use]
    pub fn with_configuration(self, site: SiteId, configuration: proto::Configuration) -> Self {
        Self { configuration: Some((site, configuration)), ..self }
    }

    /// The cameras, framed, for a node that told what they are to be sealed to; nothing for one that did not.
    pub(crate) fn sealed_to(&self, key: &[u8]) -> anyhow::Result<Option<Bytes>> {
        let Some((site, configuration)) = self.configuration.as_ref().filter(|_| !key.is_empty()) else {
            return Ok(None);
        };
        let key = SealingKey::from_bytes(key).context("what the hub wants configurations sealed to")?;
        let sealed = key.seal(site, &configuration.encode_to_vec())?;
        let kind = proto::site_message::Kind::Configuration(sealed);
        Ok(Some(frame::encode(&proto::SiteMessage { kind: Some(kind) })?))
    }

    /// Makes a beat every so often, for as long as it is polled.
    pub(crate) async fn beat(&self) -> std::convert::Infallible {
        let mut beats = tokio::time::interval(self.every);
        beats.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            beats.tick().await;
            let (epoch, drilled) = (self.roster.borrow().epoch, self.lost.borrow().beats);
            let holds = self.holds.as_ref().and_then(|holds| holds.confirms());
            let hosting = self.roster.borrow().hosting.clone();
            self.said.send_modify(|said| said.beat(&self.facts, &Told { epoch, drilled, holds, hosting }));
        }
    }

    /// Takes part in drills, for as long as it is polled.
    pub(crate) async fn drill(&self) -> std::convert::Infallible {
        let (mut roster, mut drilling) = (self.roster.subscribe(), Drilling::allowing(self.drills));
        loop {
            let now = wire::clock::boot_us();
            drilling.told(roster.borrow_and_update().drill.as_ref(), now);
            let lost = drilling.lost(now);
            self.lost.send_if_modified(|known| {
                let before = std::mem::replace(known, lost);
                if before != lost {
                    tracing::warn!(?lost, "a drill: this is made as if it were lost");
                }
                before != lost
            });
            let over = async {
                match drilling.left(now) {
                    Some(left) => tokio::time::sleep(left).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = roster.changed() => {} // never an error: we have the sender
                () = over => {}
            }
        }
    }

    /// Has what the hub tells of holds kept, for as long as it is polled.
    pub(crate) async fn keep_holds(&self) -> std::convert::Infallible {
        let mut told = self.told_holds.subscribe();
        let Some(kept) = self.holds.clone() else { return std::future::pending().await };
        loop {
            let newest = told.borrow_and_update().clone();
            let failed = match newest {
                Some(newest) => keep(kept.clone(), newest).await,
                None => false,
            };
            tokio::select! {
                _ = told.changed() => {} // never an error: we have the sender
                () = tokio::time::sleep(HOLDS_AGAIN), if failed => {}
            }
        }
    }

    /// Waits until what the hub wants done here for another site is so.
    pub async fn until_hosting(&self, site: &SiteId, so: impl Fn(&proto::Hosting) -> bool) {
        let of = |roster: &Roster| so(&told_of(roster, site));
        let _ = self.roster.subscribe().wait_for(of).await; // never an error: we have the sender
    }

    /// Where the hub's nodes are, as far as they are known; where it is configured to be, besides.
    pub(crate) async fn node_addresses(&self, configured: &AddressBook) -> Vec<std::net::SocketAddr> {
        let books: Vec<_> =
            self.books.lock().unwrap_or_else(PoisonError::into_inner).values().flatten().cloned().collect();
        let mut addresses = dialling::resolve(&books).await.unwrap_or_default();
        addresses.extend(configured.addresses().await.unwrap_or_default());
        addresses.sort_unstable();
        addresses.dedup();
        addresses
    }

    /// What a drill makes as if it were lost.
    pub fn lost(&self) -> watch::Receiver<Lost> {
        self.lost.subscribe()
    }

    /// Waits until there is to be a way to the hub, or (`false`) none.
    pub(crate) async fn until_link(&self, wanted: bool) {
        let _ = self.lost.subscribe().wait_for(|lost| lost.link != wanted).await; // never an error: we have the sender
    }

    /// Says goodbye to every voter that hears us, and waits, for a moment, until they have it. Has anybody?
    pub async fn goodbye(&self, reason: proto::ByeReason, back_in: Duration) -> bool {
        let back_in_s = u32::try_from(back_in.as_secs()).unwrap_or(u32::MAX);
        let bye = proto::Bye { reason: reason.into(), back_in_s, number: 0 };
        let mut number = 0;
        self.said.send_modify(|said| number = said.goodbye(bye));
        let voters = self.heard();
        let acks = join_all(voters.iter().map(|voter| voter.await_ack(number)));
        if tokio::time::timeout(GOODBYE_MAX, acks).await.is_err() {
            tracing::info!("not every voter has taken our goodbye");
        }
        voters.iter().any(|voter| voter.ways().highest_acked() >= number)
    }

    /// Until a standby records what is recorded here, if one would, and it doesn't take too long.
    pub async fn until_taken_over(&self) {
        let mut roster = self.roster.subscribe();
        // What fails here meanwhile is not waited for.
        let taken_over = roster.wait_for(|roster| roster.has_taken_over(&self.facts.shared_cameras()));
        if tokio::time::timeout(HAND_OVER_MAX, taken_over).await.is_err() {
            tracing::warn!("no standby has taken over all cameras; stopping nevertheless");
        }
    }

    /// The first message of a connection.
    pub(crate) fn hello(&self, purpose: proto::Purpose, path: PathPlace) -> proto::Hello {
        self.facts.hello(purpose, &self.path(path).name)
    }

    /// The paths, in their order.
    pub(crate) fn paths(&self) -> impl Iterator<Item = (PathPlace, &UplinkPath)> {
        self.paths.iter().enumerate().map(|(place, path)| (PathPlace(place), path))
    }

    /// One of them.
    pub(crate) fn path(&self, place: PathPlace) -> &UplinkPath {
        &self.paths[place.0]
    }

    /// What a way is called.
    fn name_of(&self, way: Way) -> String {
        let carrier = match way.carrier {
            Carrier::Quic => "QUIC",
            Carrier::Tcp => "TCP",
        };
        format!("{} ({carrier})", self.path(way.path).name)
    }

    /// A hub node by its name.
    pub(crate) fn voter(&self, node: &str) -> Arc<Voter> {
        let mut voters = self.voters.lock().unwrap_or_else(PoisonError::into_inner);
        voters.entry(node.to_owned()).or_insert_with(|| Voter::new(self.every)).clone()
    }

    /// Takes in what a hub node says of its site; `trusted` is the session's.
    pub(crate) fn stands(&self, mut standing: proto::Standing, trusted: bool) {
        if let Some(holds) = standing.holds.take() {
            self.told_holds.send_if_modified(|known| {
                // Each node tells; one that lags behind is not to hide what a newer one said.
                let newer =
                    known.as_ref().is_none_or(|known| wire::holds::order(known) < wire::holds::order(&holds));
                if newer {
                    *known = Some(holds);
                }
                newer
            });
        }
        let mut kept = None;
        self.roster.send_if_modified(|roster| match roster.take(standing, trusted) {
            Ok(changed) => {
                kept = changed.then(|| roster.clone());
                changed
            }
            Err(why) => {
                tracing::warn!(why, "the hub tells of voters what makes no sense");
                false
            }
        });
        if let Some(roster) = kept
            && let Err(error) = roster::save(&self.file, &self.hub, &roster)
        {
            // What is in memory serves; only a restart would miss the file.
            tracing::warn!(path = %self.file.display(), %error, "couldn't keep who the voters are");
        }
    }

    /// Over which way each voter hears us: `quic`, `tcp`, or neither, and on which path.
    pub fn status(&self) -> serde_json::Value {
        let now = wire::clock::now();
        let voters = self.voters.lock().unwrap_or_else(PoisonError::into_inner);
        let shown = voters.iter().map(|(node, voter)| {
            let way = voter.ways().heard_over(now);
            let over = way.map(|way| match way.carrier {
                Carrier::Quic => "quic",
                Carrier::Tcp => "tcp",
            });
            let path = way.map(|way| self.path(way.path).name.as_str());
            (node.clone(), serde_json::json!({ "over": over, "path": path }))
        });
        serde_json::Value::Object(shown.collect())
    }

    /// The session is at this node now.
    pub(crate) fn session_at(&self, node: String) -> AtNode<'_> {
        self.session.send_replace(Some(node.clone()));
        AtNode { beats: self, node }
    }

    /// Waits until the hub says that another node than this keeps the site's vault; which.
    pub(crate) async fn until_owner_is_not(&self, node: &str) -> String {
        let mut roster = self.roster.subscribe();
        let elsewhere = |roster: &Roster| roster.owner.clone().filter(|owner| owner != node);
        loop {
            if let Some(owner) = elsewhere(&roster.borrow_and_update()) {
                return owner;
            }
            if roster.changed().await.is_err() {
                std::future::pending::<()>().await; // never: we have the sender
            }
        }
    }

    /// Has the hub said that this node is trusted no more?
    pub(crate) fn is_revoked(&self, node: &str) -> bool {
        self.roster.borrow().revoked.contains(node)
    }

    /// Waits until the hub says that this node is trusted no more; at once, if it has said so.
    pub(crate) async fn until_revoked(&self, node: &str) {
        let mut roster = self.roster.subscribe();
        // Never an error: we have the sender.
        let _ = roster.wait_for(|roster| roster.revoked.contains(node)).await;
    }

    /// Waits until the session neither is at this node nor goes to it; or, without `elsewhere`, until it does.
    async fn until_session_is(&self, elsewhere: bool, node: &str) {
        let (mut roster, mut session) = (self.roster.subscribe(), self.session.subscribe());
        loop {
            let at = session.borrow_and_update().clone();
            let goes_to = at.or_else(|| roster.borrow_and_update().owner.clone());
            if goes_to.is_some_and(|goes_to| goes_to != node) == elsewhere {
                return;
            }
            tokio::select! {
                _ = roster.changed() => {}
                _ = session.changed() => {}
            }
        }
    }

    /// Voters that hear us.
    fn heard(&self) -> Vec<Arc<Voter>> {
        let now = wire::clock::now();
        let voters = self.voters.lock().unwrap_or_else(PoisonError::into_inner);
        voters.values().filter(|voter| voter.ways().heard_over(now).is_some()).cloned().collect()
    }

    fn put_books(&self, node: &str, books: Vec<Arc<AddressBook>>) {
        self.books.lock().unwrap_or_else(PoisonError::into_inner).insert(node.to_owned(), books);
    }

    /// Where the node that keeps the site's vault was told to be.
    fn books_of_owner(&self) -> Vec<Arc<AddressBook>> {
        let Some(owner) = self.roster.borrow().owner.clone() else { return Vec::new() };
        let books = self.books.lock().unwrap_or_else(PoisonError::into_inner);
        books.get(&owner).cloned().unwrap_or_default()
    }

    /// Where voters were told to be that are trusted.
    fn books_of_voters(&self) -> Vec<Arc<AddressBook>> {
        let roster = self.roster.borrow();
        let books = self.books.lock().unwrap_or_else(PoisonError::into_inner);
        let trusted = roster.voters.iter().filter(|voter| !roster.revoked.contains(&voter.node));
        trusted.filter_map(|voter| books.get(&voter.node)).flatten().cloned().collect()
    }

    fn listen(&self) -> watch::Receiver<Said> {
        self.said.subscribe()
    }
}

/// Has holds kept, on a thread that may wait; `true` if they could not be.
async fn keep(kept: Arc<Kept>, told: proto::Holds) -> bool {
    let revision = told.revision;
    match tokio::task::spawn_blocking(move || kept.take(&told)).await {
        Ok(Ok(new)) => {
            if new {
                tracing::info!(revision, "the hub's holds are kept");
            }
            false
        }
        Ok(Err(error)) => {
            tracing::error!(%error, revision, "keep what the hub asked to be kept: it is not confirmed");
            true
        }
        Err(error) => {
            tracing::error!(%error, "keep what the hub asked to be kept");
            true
        }
    }
}
