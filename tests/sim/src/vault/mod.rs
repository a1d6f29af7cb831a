//! A site's vault on a hub node: what came from the site's places, and the real
//! [`wire::session::hub::HubSession`] for each connection.
//!
//! Files and index obey the same ordering rules as a place's ([`crate::model`]). A segment is acked once its
//! file is synced and moved into place, its folder synced, and the index's batch after that.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use wire::entry::Entry;
use wire::session::hub::HubSession;
use wire::{LedgerId, SegmentNumber, Seq, VaultId, proto};

use crate::conn::ConnIx;
use crate::event::PartMessage;
use crate::model::disk::{Disk, Folder, Name, Sync};
use crate::model::log_file::LogFile;
use crate::node::{NodeIx, SiteIx};
use crate::place::PlaceIx;

pub mod assemble;
pub mod downlink;
pub mod store;

use store::Store;

/// A vault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VaultIx(pub u8);

impl VaultIx {
    /// Its index.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// Files being put together.
pub const INCOMING: Folder = 0;
/// Files that the index names, or is about to name.
pub const MEDIA: Folder = 1;

/// A change of the vault's index.
#[allow(missing_docs)] // fields of variants say what they are
#[derive(Clone, Debug)]
pub enum VaultChange {
    /// Entries came.
    Entries { conn: ConnIx, ledger: LedgerId, first: Seq, entries: Vec<Entry> },
    /// A segment's file is in place.
    Held { conn: ConnIx, ledger: LedgerId, number: SegmentNumber, seq: Seq },
}

impl VaultChange {
    /// Whose session is to be told.
    pub fn conn(&self) -> ConnIx {
        match self {
            Self::Entries { conn, .. } | Self::Held { conn, .. } => *conn,
        }
    }
}

/// A site's vault.
#[derive(Debug)]
pub struct Vault {
    /// Whose footage it keeps.
    pub site: SiteIx,
    /// On which machine.
    pub node: NodeIx,
    /// Its id: acks name it.
    pub id: VaultId,
    /// Its generation.
    pub generation: u64,
    /// Its files.
    pub disk: Disk,
    /// What is durable in index and journal.
    pub store: Store,
    /// The index's log.
    pub index: LogFile<VaultChange>,
    /// The tail journal.
    pub journal: LogFile<(ConnIx, PartMessage)>,
    /// Connections it believes in.
    pub downlinks: BTreeMap<PlaceIx, Downlink>,
    /// Segments being put together, by whose connection brought them: a newer one's offer waits for them.
    pub completing: BTreeMap<PlaceIx, u32>,
    /// Files ever put together: each has a name of its own while it is written.
    pub assembled: u32,
}

/// A segment whose file is being written and synced.
#[derive(Clone, Debug)]
pub struct Assembly {
    /// Whose session is told.
    pub conn: ConnIx,
    /// Of which ledger.
    pub ledger: LedgerId,
    /// Which segment.
    pub number: SegmentNumber,
    /// Its entry.
    pub seq: Seq,
    /// Where the file is now.
    pub from: Name,
    /// Where it goes.
    pub to: Name,
    /// What is being made durable.
    pub sync: Sync,
}

/// One connection, as the vault has it.
#[derive(Debug)]
pub struct Downlink {
    /// Which.
    pub conn: ConnIx,
    /// The real session.
    pub session: HubSession,
    /// Parts that came before their ledger was known.
    pub early: VecDeque<PartMessage>,
    /// Offers that wait until what the connection before brought is put together.
    pub offers: Vec<proto::Offer>,
}

impl Vault {
    /// An empty one.
    pub fn new(site: SiteIx, node: NodeIx, id: VaultId) -> Self {
        Self {
            site,
            node,
            id,
            generation: 1,
            disk: Disk::default(),
            store: Store::default(),
            index: LogFile::default(),
            journal: LogFile::default(),
            downlinks: BTreeMap::new(),
            completing: BTreeMap::new(),
            assembled: 0,
        }
    }

    /// The bytes of a segment that is held: part by part.
    pub fn file(&self, ledger: &LedgerId, number: SegmentNumber) -> Option<&[Bytes]> {
        let known = self.store.rows.get(ledger)?.known;
        self.disk.read(Name { folder: MEDIA, file: (known, number.0) })
    }
}
