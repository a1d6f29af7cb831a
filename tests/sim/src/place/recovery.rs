//! What a start finds, and how a process ends.
//!
//! Every start draws a new origin. Files left open, and files moved into place that no entry names, are cut to
//! their whole parts and entered into the new run's ledgers; only then the earlier run's ledgers end.

use bytes::Bytes;
use wire::proto::entry::Kind;
use wire::{LedgerId, OriginId, SegmentNumber, proto};

use super::archive::{self, Change, MEDIA, OPEN};
use super::{PlaceIx, Run, StreamRun, stream_name};
use crate::content;
use crate::event::Event;
use crate::model::disk::Name;
use crate::mutant::Mutant;
use crate::place::recorder::true_us;
use crate::reach::State;
use crate::time::ms;
use crate::world::World;

impl World {
    /// A process begins to record `cameras`.
    pub fn start_run(&mut self, ix: PlaceIx, cameras: &[usize]) {
        let place = &mut self.places[ix.index()];
        let life = self.stage.node(place.node).life;
        let last = place.archive.rows.iter().filter(|(_, row)| !row.ended).map(|(id, _)| id.origin).next();
        let origin = match (self.stage.mutant, last) {
            (Some(Mutant::OriginReuse), Some(last)) => last,
            _ => OriginId(self.stage.chance.record.id()),
        };
        place.run = Some(Run {
            life,
            origin,
            ready: false,
            recovering: 0,
            streams: Vec::new(),
            changes: std::collections::VecDeque::new(),
            group: None,
            beats: 0,
            epoch: decide::Epoch::default(),
            holds: true,
            uplink: None,
        });
        let (host, site) = (self.name_of(ix), self.places[ix.index()].site);
        self.stage.tell(|| format!("{host} records for {site} as origin {}", short(origin)));
        for camera in cameras {
            let stream = self.open_stream(ix, *camera);
            if let Some(run) = &mut self.places[ix.index()].run {
                run.streams[stream].is_wanted = true;
            }
        }
        self.recover(ix);
        self.submit(ix, Change::Ready);
        self.stage.after(ms(100), Event::Dial { place: ix, life });
        let first = self.stage.chance.record.span(ms(100), ms(1_000));
        self.stage.after(first, Event::Beat { place: ix, life });
        if site.node() == self.places[ix.index()].node {
            self.stage.after(first, Event::Effect { node: site.node(), life, site });
        }
    }

    /// The run's recorder of a camera; opened if there is none.
    pub fn open_stream(&mut self, ix: PlaceIx, camera: usize) -> usize {
        let now = self.stage.now;
        let place = &mut self.places[ix.index()];
        let Some(run) = &mut place.run else { return 0 };
        if let Some(index) = run
            .streams
            .iter()
            .position(|stream| stream.camera == camera && stream.ledger.origin == run.origin)
        {
            return index;
        }
        let ledger = LedgerId { origin: run.origin, stream: stream_name(camera) };
        let next = place.archive.rows.get(&ledger).and_then(|row| row.numbers.last_key_value());
        let next = SegmentNumber(next.map_or(0, |(number, _)| number.0 + 1));
        run.streams.push(StreamRun::new(camera, ledger.clone(), next, now));
        let index = run.streams.len() - 1;
        let known = self.stage.oracle.ledger(&ledger, place.site);
        self.submit(ix, Change::Open { ledger, known });
        index
    }

    /// Enters what earlier runs left.
    fn recover(&mut self, ix: PlaceIx) {
        let place = &self.places[ix.index()];
        let own = place.run.as_ref().map(|run| run.origin);
        let open_rows: Vec<_> = place.archive.rows.iter().filter(|(_, row)| !row.ended).collect();
        let mut left: Vec<Name> = place.archive.disk.list(OPEN).collect();
        let nameless = |name: &Name| {
            let row = open_rows.iter().find(|(_, row)| row.known == name.file.0);
            row.is_some_and(|(_, row)| !row.numbers.contains_key(&SegmentNumber(name.file.1)))
        };
        left.extend(place.archive.disk.list(MEDIA).filter(nameless));
        let ended: Vec<_> =
            open_rows.iter().map(|(id, _)| (*id).clone()).filter(|id| Some(id.origin) != own).collect();
        for name in left {
            self.recover_file(ix, name);
        }
        for ledger in ended {
            self.submit(ix, Change::End { ledger });
        }
    }

    fn recover_file(&mut self, ix: PlaceIx, name: Name) {
        let disk = &mut self.places[ix.index()].archive.disk;
        let whole = disk.read(name).map_or(0, content::whole);
        if whole < 2 {
            return disk.remove(name); // moved aside, for a person
        }
        disk.truncate(name, whole);
        let state = if name.folder == OPEN { State::TailRecovered } else { State::FileWithoutEntry };
        self.stage.reach.note(state);
        let before = self.stage.oracle.id_of(name.file.0);
        let index = self.open_stream(ix, super::camera_of(&before.stream));
        let place = &mut self.places[ix.index()];
        let at = self.stage.node(place.node).clock.wall(self.stage.now);
        let Some(run) = &mut place.run else { return };
        run.recovering += 1;
        let stream = &mut run.streams[index];
        let number = stream.next;
        stream.next = SegmentNumber(number.0 + 1);
        let ledger = stream.ledger.clone();
        let known = self.stage.oracle.ledger(&ledger, place.site);
        let Some(parts) = place.archive.disk.read(name) else { return };
        let body = archive::segment(number, parts, filmed(parts), Some(name_of(&before, name.file.1)));
        let to = Name { folder: MEDIA, file: (known, number.0) };
        let kind = Box::new(Kind::Segment(body));
        self.submit(ix, Change::Append { ledger, at, kind, file: Some((name, to)) });
    }

    /// The place's process is gone, with the power or without.
    pub fn end_run(&mut self, ix: PlaceIx, power: bool) {
        let place = &mut self.places[ix.index()];
        if let Some(run) = place.run.take() {
            self.stage.reach.note_if(!run.ready && run.recovering > 0, State::RecoveryInterrupted);
            for stream in &run.streams {
                if let Some(on) = stream.on {
                    self.sites[place.site.index()].cameras[stream.camera].close_session(on.falls);
                }
            }
            if let Some(uplink) = run.uplink {
                self.stage.close(uplink.conn, crate::conn::End::Site);
            }
        }
        let archive = &mut self.places[ix.index()].archive;
        let survives = !power || self.stage.chance.disk.coin();
        if power {
            let lost = archive.disk.power_cut(&mut self.stage.chance.disk);
            self.stage.reach.note_if(lost.writes > 0 || !survives, State::UnsyncedWriteLost);
            self.stage.reach.note_if(lost.torn > 0, State::TornWrite);
            self.stage.reach.note_if(lost.names > 0, State::NameLost);
        }
        if survives {
            self.batch_durable(ix);
        } else {
            archive.batch = None;
        }
    }
}

fn name_of(ledger: &LedgerId, number: u64) -> proto::SegmentName {
    proto::SegmentName {
        origin: Bytes::copy_from_slice(&ledger.origin.0),
        stream: ledger.stream.as_str().to_owned(),
        number,
    }
}

/// From where to where a file's fragments go.
fn filmed(parts: &[Bytes]) -> (i64, i64) {
    let spans: Vec<_> = parts.iter().skip(1).filter_map(|part| content::filmed(part)).collect();
    let start = spans.first().map_or(0, |span| true_us(span.0));
    (start, spans.last().map_or(start, |span| true_us(span.1)))
}

/// An origin, for people.
pub fn short(origin: OriginId) -> String {
    origin.to_string()[..6].to_owned()
}
