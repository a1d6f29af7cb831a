//! A virtual server on a host: the site's own at home, or its standby on a hub node. The same code runs both.
//!
//! - [`archive`]: what is on its disk, and the order in which things become durable.
//! - [`recorder`]: cameras → fragments → files.
//! - [`writer`]: files → entries, in groups.
//! - [`recovery`]: what a start finds.
//! - [`uplink`]: the shell around the real [`wire::session::site::SiteSession`].

use std::collections::{BTreeMap, VecDeque};

use wire::{LedgerId, OriginId, SegmentNumber, StreamId};

use crate::model::camera::Camera;
use crate::node::{NodeIx, SiteIx};
use crate::time::Time;

#[allow(missing_docs)] // fields of variants say what they are
pub mod archive;
pub mod recorder;
pub mod recovery;
pub mod uplink;
pub mod writer;

use archive::{Archive, Change};
use uplink::Uplink;

/// A place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PlaceIx(pub u16);

impl PlaceIx {
    /// Its index.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// A virtual server on a host.
#[derive(Debug)]
pub struct Place {
    /// Whose cameras it records.
    pub site: SiteIx,
    /// On which machine.
    pub node: NodeIx,
    /// What is on its disk.
    pub archive: Archive,
    /// An older copy of that, which somebody may bring back.
    pub snapshot: Option<Box<Archive>>,
    /// Times it came back from such a copy.
    pub restores: u32,
    /// What its process holds in memory, while there is one.
    pub run: Option<Run>,
}

/// One run: one origin.
#[derive(Debug)]
pub struct Run {
    /// Of which life of the machine's process.
    pub life: u32,
    /// Its origin.
    pub origin: OriginId,
    /// Has it opened its ledgers and entered what it recovered?
    pub ready: bool,
    /// Files it found and has not entered yet.
    pub recovering: usize,
    /// Its recorders.
    pub streams: Vec<StreamRun>,
    /// Changes that wait for the writer.
    pub changes: VecDeque<Change>,
    /// What the writer has in hand.
    pub group: Option<writer::Group>,
    /// Beats sent.
    pub beats: u64,
    /// The highest epoch it was told.
    pub epoch: decide::Epoch,
    /// Does it believe to have authority?
    pub holds: bool,
    /// The connection to the vault, if there is one.
    pub uplink: Option<Uplink>,
}

/// The recorder of one camera.
#[derive(Debug)]
pub struct StreamRun {
    /// Which camera of the site.
    pub camera: usize,
    /// Is it to record?
    pub is_wanted: bool,
    /// The last fragment that is durable.
    pub durable: Option<(SegmentNumber, u32)>,
    /// Keyframes committed in this run.
    pub keyframes: u64,
    /// Where it records to.
    pub ledger: LedgerId,
    /// The number of the next segment.
    pub next: SegmentNumber,
    /// Counts sessions with the camera; what belongs to an earlier one is dropped.
    pub session: u32,
    /// The session it has now.
    pub on: Option<Session>,
    /// Everything before this is in an entry or in a file.
    pub covered: Time,
    /// Why nothing was recorded since.
    pub cause: wire::proto::GapCause,
    /// The number of the file that is being written.
    pub open: Option<SegmentNumber>,
    /// Files not yet handed to the writer.
    pub files: BTreeMap<SegmentNumber, OpenFile>,
    /// Its disk is busy until then.
    pub syncing_until: Time,
}

/// A session with a camera.
#[derive(Clone, Copy, Debug)]
pub struct Session {
    /// Of which of the camera's falls it comes after.
    pub falls: u32,
    /// Where the fragment begins that is being filmed.
    pub since: Time,
}

/// A file being recorded.
#[derive(Clone, Copy, Debug)]
pub struct OpenFile {
    /// Of what its first fragment is.
    pub start: Time,
    /// Up to what it has recorded.
    pub end: Time,
    /// Parts written.
    pub parts: u32,
    /// Parts that are durable, and told to the uplink.
    pub synced: u32,
    /// Will nothing be added?
    pub closed: bool,
}

impl StreamRun {
    /// A recorder that has not begun.
    pub fn new(camera: usize, ledger: LedgerId, next: SegmentNumber, now: Time) -> Self {
        Self {
            camera,
            is_wanted: false,
            durable: None,
            keyframes: 0,
            ledger,
            next,
            session: 0,
            on: None,
            covered: now,
            cause: wire::proto::GapCause::CameraDown,
            open: None,
            files: BTreeMap::new(),
            syncing_until: Time::ZERO,
        }
    }
}

impl Run {
    /// The recorder of a ledger.
    pub fn stream_of(&self, ledger: &LedgerId) -> Option<usize> {
        self.streams.iter().position(|stream| stream.ledger == *ledger)
    }
}

/// The name of a camera's stream.
pub fn stream_name(camera: usize) -> StreamId {
    StreamId::new(&format!("c{camera}"), "main").unwrap_or_else(|_| unreachable!("c and a number is a slug"))
}

/// The number of the camera that a stream is of.
pub fn camera_of(stream: &StreamId) -> usize {
    stream.camera().get(1..).and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// A site's cameras.
#[derive(Debug)]
pub struct Site {
    /// Its cameras.
    pub cameras: Vec<Camera>,
    /// Faults that keep each of them down now.
    pub downs: Vec<u8>,
    /// When each of them had no session left for the site's own recorder: what an oracle knows.
    pub refused: Vec<Vec<(Time, Time)>>,
}
