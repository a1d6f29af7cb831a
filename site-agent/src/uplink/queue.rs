//! The bytes of live parts in line.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;
use wire::SegmentNumber;

use crate::live::LivePart;

/// Which part of which segment, in the order of recording.
pub(super) type Place = (SegmentNumber, u32);

/// The bytes of a ledger's live parts in line; the session decides which goes next.
#[derive(Default)]
pub(super) struct Queue {
    parts: Mutex<BTreeMap<Place, Arc<LivePart>>>,
    /// Rings when there may be something to send.
    pub(super) bell: Notify,
}

impl Queue {
    pub(super) fn put(&self, part: Arc<LivePart>) {
        self.lock().insert((part.segment, part.part), part);
        self.bell.notify_one();
    }

    /// Takes a part out, and forgets those before it, which the session has given up.
    pub(super) fn take(&self, place: Place) -> Option<Arc<LivePart>> {
        let mut parts = self.lock();
        let later = parts.split_off(&place);
        *parts = later;
        parts.remove(&place)
    }

    /// Takes out a part that need not be sent; the others stay.
    pub(super) fn drop_part(&self, place: Place) {
        self.lock().remove(&place);
    }

    pub(super) fn ring(&self) {
        self.bell.notify_one();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<Place, Arc<LivePart>>> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
