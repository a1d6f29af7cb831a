//! The one who changes an archive: in groups, and in this order: sync the files, move them into place, sync the
//! folder, sync the batch of the index, tell.

use super::PlaceIx;
use super::archive::{Change, MEDIA, Published};
use crate::event::Event;
use crate::model::disk::Sync;
use crate::mutant::Mutant;
use crate::world::World;

/// Changes committed together at most.
const GROUP: usize = 256;

/// Changes in hand.
#[derive(Debug)]
pub struct Group {
    changes: Vec<Change>,
    step: Step,
}

#[derive(Debug)]
enum Step {
    /// Their files are being synced.
    Files(Vec<Sync>),
    /// The folder that took the files is being synced.
    Folder,
    /// The batch is being synced.
    Batch,
}

impl World {
    /// Puts a change in line.
    pub fn submit(&mut self, ix: PlaceIx, change: Change) {
        let Some(run) = &mut self.places[ix.index()].run else { return };
        run.changes.push_back(change);
        if run.group.is_none() {
            self.begin_group(ix);
        }
    }

    fn begin_group(&mut self, ix: PlaceIx) {
        let place = &mut self.places[ix.index()];
        let Some(run) = &mut place.run else { return };
        if run.changes.is_empty() {
            return;
        }
        let changes: Vec<_> = run.changes.drain(..run.changes.len().min(GROUP)).collect();
        let disk = &place.archive.disk;
        let syncs = match self.stage.mutant {
            Some(Mutant::IndexBeforeFile) => Vec::new(),
            _ => files(&changes).filter_map(|(from, _)| disk.begin_sync(from)).collect(),
        };
        run.group = Some(Group { changes, step: Step::Files(syncs) });
        self.next_step(ix);
    }

    fn next_step(&mut self, ix: PlaceIx) {
        let place = &self.places[ix.index()];
        let Some(run) = &place.run else { return };
        let event = Event::Commit { place: ix, life: run.life };
        let wait = self.stage.sync_time(place.node);
        self.stage.after(wait, event);
    }

    /// What the step waited for is done.
    pub fn commit_step(&mut self, ix: PlaceIx) {
        let place = &mut self.places[ix.index()];
        let Some(run) = &mut place.run else { return };
        let Some(mut group) = run.group.take() else { return };
        let disk = &mut place.archive.disk;
        match std::mem::replace(&mut group.step, Step::Folder) {
            Step::Files(syncs) if !syncs.is_empty() => {
                syncs.into_iter().for_each(|sync| disk.finish_sync(sync));
                files(&group.changes).for_each(|(from, to)| disk.rename(from, to));
                run.group = Some(group);
            }
            step @ (Step::Files(_) | Step::Folder) => {
                if matches!(step, Step::Folder) {
                    disk.sync_folder(MEDIA);
                }
                place.archive.batch = Some(std::mem::take(&mut group.changes));
                group.step = Step::Batch;
                run.group = Some(group);
            }
            Step::Batch => {
                if self.stage.mutant == Some(Mutant::IndexBeforeFile) {
                    let late = place.archive.batch.as_deref().unwrap_or_default();
                    files(late).for_each(|(from, to)| disk.rename(from, to));
                }
                self.batch_durable(ix);
                return self.begin_group(ix);
            }
        }
        self.next_step(ix);
    }

    /// The batch is the commit: from here on there are entries, and who wants to know is told.
    pub fn batch_durable(&mut self, ix: PlaceIx) {
        let published = self.places[ix.index()].archive.apply_batch();
        for change in &published {
            if let Published::Committed { ledger, seq, .. } = change {
                self.note_committed(ix, ledger, *seq);
            }
        }
        if self.places[ix.index()].run.is_none() {
            return;
        }
        for change in published {
            self.publish(ix, change);
        }
        self.pump_site(ix);
    }

    fn publish(&mut self, ix: PlaceIx, change: Published) {
        let place = &mut self.places[ix.index()];
        let Some(run) = &mut place.run else { return };
        match change {
            Published::Opened(ledger) => {
                if let (Some(uplink), Some(facts)) = (&mut run.uplink, place.archive.facts(&ledger)) {
                    uplink.session.ledger_opened(facts);
                }
            }
            Published::Committed { ledger, seq, head, segment } => {
                let stream = run.streams.iter_mut().find(|stream| stream.ledger == ledger);
                if let (Some(stream), Some((_, parts))) = (stream, segment) {
                    stream.keyframes += u64::from(parts.saturating_sub(1));
                }
                if let Some(uplink) = &mut run.uplink {
                    uplink.session.committed(&ledger, seq, head, segment);
                }
            }
            Published::Ready => {
                run.ready = true;
                run.recovering = 0;
                let (life, streams) = (run.life, run.streams.len());
                for stream in (0..streams).filter(|stream| run.streams[*stream].is_wanted) {
                    self.stage.after(
                        std::time::Duration::ZERO,
                        Event::Connect { place: ix, life, stream: super::recorder::short(stream) },
                    );
                }
            }
        }
    }

    /// The oracle learns of an entry.
    fn note_committed(&mut self, ix: PlaceIx, ledger: &wire::LedgerId, seq: wire::Seq) {
        let place = &self.places[ix.index()];
        let Some(row) = place.archive.rows.get(ledger) else { return };
        let entry = &row.entries[usize::try_from(seq.0).unwrap_or(usize::MAX)];
        if let Err(what) = self.stage.oracle.committed(row.known, seq, entry.bytes()) {
            self.stage.violate(crate::invariants::Invariant::Acked, what);
        }
    }
}

fn files(
    changes: &[Change],
) -> impl Iterator<Item = (crate::model::disk::Name, crate::model::disk::Name)> + '_ {
    changes.iter().filter_map(|change| match change {
        Change::Append { file, .. } => *file,
        _ => None,
    })
}
