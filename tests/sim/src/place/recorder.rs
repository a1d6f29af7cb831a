//! Cameras → fragments → files. A fragment is written and synced, then told to the uplink; a full segment is
//! handed to the writer. Nothing here waits for a network.

use wire::proto::GapCause;
use wire::proto::entry::Kind;
use wire::session::site::LivePart;
use wire::{SegmentNumber, proto};

use super::archive::{self, Change, MEDIA, OPEN};
use super::{OpenFile, PlaceIx, Session};
use crate::content;
use crate::event::Event;
use crate::model::camera::Refusal;
use crate::model::disk::{Name, Sync};
use crate::reach::State;
use crate::time::{Time, ms};
use crate::world::World;

impl World {
    /// A recorder asks its camera for a stream.
    pub fn connect_camera(&mut self, ix: PlaceIx, index: usize) {
        let (site, node) = (self.places[ix.index()].site, self.places[ix.index()].node);
        let reached = site.node() == node || self.stage.net.flows(node, site.node());
        let Some(run) = &mut self.places[ix.index()].run else { return };
        let stream = &mut run.streams[index];
        if stream.on.is_some() || !stream.is_wanted || self.stage.now >= self.stopped_at {
            return;
        }
        if !reached {
            stream.cause = GapCause::CameraDown;
            return self.connect_later(ix, index);
        }
        let camera = &mut self.sites[site.index()].cameras[stream.camera];
        match camera.open_session() {
            Ok(()) => {
                stream.session += 1;
                // Filming begins with a keyframe.
                let fragment = self.stage.params.fragment;
                let since = self.stage.now + self.stage.chance.record.span(ms(20), fragment);
                stream.on = Some(Session { falls: camera.falls, since });
                let (life, session) = (run.life, stream.session);
                let event = Event::Fragment { place: ix, life, stream: short(index), session };
                self.stage.queue.put(since + fragment, event);
                self.stage.tell(|| format!("{site} camera {index}: streaming"));
            }
            Err(refusal) => {
                stream.cause = match refusal {
                    Refusal::Down => GapCause::CameraDown,
                    Refusal::TooManySessions => GapCause::CameraRefused,
                };
                if refusal == Refusal::TooManySessions {
                    self.stage.reach.note(State::CameraRefused);
                    if site.node() == node {
                        let now = self.stage.now;
                        let camera = stream.camera;
                        self.sites[site.index()].refused[camera].push((now - ms(3_000), now + ms(5_000)));
                    }
                }
                self.connect_later(ix, index);
            }
        }
    }

    /// Tries again after a while.
    pub fn connect_later(&mut self, ix: PlaceIx, stream: usize) {
        let Some(run) = self.places[ix.index()].run.as_ref().filter(|_| self.stage.now < self.stopped_at)
        else {
            return;
        };
        let event = Event::Connect { place: ix, life: run.life, stream: short(stream) };
        let wait = self.stage.chance.record.span(ms(500), ms(2_000));
        self.stage.after(wait, event);
    }

    /// A keyframe ends the fragment.
    pub fn fragment_ends(&mut self, ix: PlaceIx, index: usize, session: u32) {
        let now = self.stage.now;
        let (site, node) = (self.places[ix.index()].site.node(), self.places[ix.index()].node);
        if site != node && !self.stage.net.flows(node, site) {
            // What was filmed after the cut never came; without end it hangs, and is given up.
            let cut = [self.stage.net.way(site, node), self.stage.net.way(node, site)];
            let cut = cut.into_iter().filter(|way| way.is_cut()).map(|way| way.cut_at).min();
            let current = self.places[ix.index()].run.as_ref().map(|run| run.streams[index].session);
            if current == Some(session) {
                self.stream_ends(ix, index, cut.unwrap_or(now), GapCause::CameraDown);
            }
            return;
        }
        let Some(run) = &mut self.places[ix.index()].run else { return };
        let life = run.life;
        let stream = &mut run.streams[index];
        let Some(on) = stream.on.as_mut().filter(|_| stream.session == session) else { return };
        let since = std::mem::replace(&mut on.since, now);
        self.write_fragment(ix, index, since, now, false);
        let event = Event::Fragment { place: ix, life, stream: short(index), session };
        self.stage.after(self.stage.params.fragment, event);
    }

    /// The stream ended at `at`, which may be a while ago if the process was frozen.
    pub fn stream_ends(&mut self, ix: PlaceIx, index: usize, at: Time, cause: GapCause) {
        let site = self.places[ix.index()].site;
        let Some(run) = &mut self.places[ix.index()].run else { return };
        let stream = &mut run.streams[index];
        let Some(on) = stream.on.take() else { return };
        stream.cause = cause;
        stream.session += 1;
        self.sites[site.index()].cameras[stream.camera].close_session(on.falls);
        if at > on.since {
            self.write_fragment(ix, index, on.since, at, true);
        } else {
            self.close_file(ix, index);
        }
        self.connect_later(ix, index);
    }

    /// Appends a fragment to the open file, and begins its sync.
    fn write_fragment(&mut self, ix: PlaceIx, index: usize, start: Time, end: Time, last: bool) {
        let full = self.stage.params.fragments_per_segment;
        let place = &mut self.places[ix.index()];
        let Some(run) = &mut place.run else { return };
        let stream = &mut run.streams[index];
        let known = self.stage.oracle.ledger(&stream.ledger, place.site);
        let number = *stream.open.get_or_insert(stream.next);
        let name = Name { folder: OPEN, file: (known, number.0) };
        let disk = &mut place.archive.disk;
        let is_new = !stream.files.contains_key(&number);
        let written = if is_new {
            disk.create(name).and_then(|()| disk.append(name, content::header(&stream.ledger, number)))
        } else {
            Ok(())
        };
        let written = written.and_then(|()| disk.append(name, content::fragment(&stream.ledger, start, end)));
        if written.is_err() {
            stream.cause = GapCause::DiskFull;
            return;
        }
        if is_new {
            stream.next = SegmentNumber(number.0 + 1);
            let file = OpenFile { start, end, parts: 1, synced: 0, closed: false };
            stream.files.insert(number, file);
        }
        let Some(file) = stream.files.get_mut(&number) else { return };
        file.parts += 1;
        file.end = end;
        file.closed = last || file.parts > full;
        if file.closed {
            stream.open = None;
        }
        let Some(sync) = disk.begin_sync(name) else { return };
        let (life, node, before) = (run.life, place.node, stream.syncing_until);
        let until = (self.stage.now + self.stage.sync_time(node)).max(before);
        let Some(run) = &mut self.places[ix.index()].run else { return };
        run.streams[index].syncing_until = until;
        let sync = Box::new((number, sync));
        self.stage.queue.put(until, Event::Synced { place: ix, life, stream: short(index), sync });
    }

    /// Nothing is added to the open file any more.
    fn close_file(&mut self, ix: PlaceIx, index: usize) {
        let Some(run) = &mut self.places[ix.index()].run else { return };
        let stream = &mut run.streams[index];
        let Some(number) = stream.open.take() else { return };
        let Some(file) = stream.files.get_mut(&number) else { return };
        file.closed = true;
        if file.synced == file.parts {
            self.enter_file(ix, index, number);
        }
    }

    /// What was written is durable: it goes to the uplink, and if it was the last to the writer.
    pub fn file_synced(&mut self, ix: PlaceIx, index: usize, number: SegmentNumber, sync: Sync) {
        let place = &mut self.places[ix.index()];
        let since = self.stage.instant(place.node);
        let Some(run) = &mut place.run else { return };
        place.archive.disk.finish_sync(sync);
        let stream = &mut run.streams[index];
        let Some(file) = stream.files.get_mut(&number) else { return };
        if file.synced == 0 {
            place.archive.disk.sync_folder(OPEN);
        }
        let durable = u32::try_from(sync.writes()).unwrap_or(u32::MAX);
        let new = file.synced..durable;
        file.synced = durable.max(file.synced);
        stream.durable = stream.durable.max(Some((number, durable)));
        let finished = file.closed && file.synced == file.parts;
        if let Some(uplink) = &mut run.uplink {
            for part in new {
                let live = LivePart { segment: number, part, since };
                let taken = uplink.session.part_recorded(&stream.ledger, live);
                self.stage.reach.note_if(!taken && uplink.session.is_running(), State::LiveGivenUp);
            }
            self.send_parts(ix);
        }
        if finished {
            self.enter_file(ix, index, number);
        }
    }

    /// A finished file becomes an entry, after the gap before it if there is one.
    fn enter_file(&mut self, ix: PlaceIx, index: usize, number: SegmentNumber) {
        let place = &mut self.places[ix.index()];
        let at = self.stage.node(place.node).clock.wall(self.stage.now);
        let Some(run) = &mut place.run else { return };
        let stream = &mut run.streams[index];
        let Some(file) = stream.files.remove(&number) else { return };
        let known = self.stage.oracle.ledger(&stream.ledger, place.site);
        let ledger = stream.ledger.clone();
        let gap = (stream.covered < file.start).then(|| proto::Gap {
            start_us: true_us(stream.covered),
            end_us: true_us(file.start),
            cause: stream.cause.into(),
            ..Default::default()
        });
        stream.covered = file.end;
        let from = Name { folder: OPEN, file: (known, number.0) };
        let to = Name { folder: MEDIA, file: (known, number.0) };
        let Some(parts) = place.archive.disk.read(from) else { return };
        let body = archive::segment(number, parts, (true_us(file.start), true_us(file.end)), None);
        if let Some(gap) = gap {
            let kind = Box::new(Kind::Gap(gap));
            self.submit(ix, Change::Append { ledger: ledger.clone(), at, kind, file: None });
        }
        let kind = Box::new(Kind::Segment(body));
        self.submit(ix, Change::Append { ledger, at, kind, file: Some((from, to)) });
    }
}

/// A stream's index, as events carry it.
pub fn short(stream: usize) -> u16 {
    u16::try_from(stream).unwrap_or(u16::MAX)
}

/// Entries tell true time here; what a wall clock says is another matter.
pub fn true_us(at: Time) -> i64 {
    i64::try_from(at.0).unwrap_or(i64::MAX)
}
