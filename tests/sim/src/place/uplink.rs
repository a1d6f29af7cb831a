//! The shell around the site's session: what it says goes onto a connection, what it wants sent is read from
//! the disk, and acks are remembered. As the real shell, it may have only so much under way.

use std::collections::VecDeque;

use prost::Message;
use wire::session::site::{LivePart, Output, SiteLimits, SiteSession, told_ledgers};
use wire::{LedgerId, SegmentNumber, Seq, proto};

use super::PlaceIx;
use crate::conn::{BACKLOG_LANE, BACKLOG_LANES, Conn, ConnIx, End, LIVE_LANE};
use crate::event::{Event, PartMessage, Up};
use crate::invariants::Invariant;
use crate::reach::State;
use crate::time::secs;
use crate::world::World;

/// One end of a connection.
#[derive(Debug)]
pub struct Uplink {
    /// Of which connection.
    pub conn: ConnIx,
    /// The real session.
    pub session: SiteSession,
    /// Backlog segments to be sent, and what of them is left.
    pub jobs: VecDeque<Job>,
    /// Parts sent that have not arrived.
    pub under_way: u32,
    turn: usize,
}

/// A backlog segment.
#[derive(Debug)]
pub struct Job {
    ledger: LedgerId,
    seq: Seq,
    parts: Option<(SegmentNumber, VecDeque<u64>)>,
}

impl World {
    /// An uplink dials, until the vault answers.
    pub fn dial(&mut self, ix: PlaceIx) {
        let place = &self.places[ix.index()];
        let Some(run) = place.run.as_ref().filter(|run| run.uplink.is_none()) else { return };
        let vault = &self.vaults[self.vault_of(place.site).index()];
        let (node, hub, life) = (place.node, vault.node, run.life);
        let there = self.stage.node(hub);
        if there.up && !there.paused && self.stage.net.quic_flows(node, hub) {
            let hub_life = there.life;
            let wait = 2 * self.stage.net.delay(node, hub) + self.stage.net.delay(hub, node);
            self.stage.after(wait, Event::Connected { place: ix, life, hub_life });
        } else {
            let wait = self.stage.chance.record.span(secs(1), secs(4));
            self.stage.after(wait, Event::Dial { place: ix, life });
        }
    }

    /// The handshake is done, unless something came between.
    pub fn connected(&mut self, ix: PlaceIx, hub_life: u32) {
        let place = &self.places[ix.index()];
        let vault_ix = self.vault_of(place.site);
        let (node, hub) = (place.node, self.vaults[vault_ix.index()].node);
        if !self.stage.is_alive(hub, hub_life) || !self.stage.net.quic_flows(node, hub) {
            return self.dial(ix);
        }
        let conn = ConnIx(u32::try_from(self.stage.conns.len()).unwrap_or(u32::MAX));
        self.stage.conns.push(Conn::new(ix, vault_ix, node, hub));
        self.stage.open_conns.push(conn);
        self.accept(vault_ix, ix, conn);
        let params = &self.stage.params;
        let limits = SiteLimits {
            live_behind: params.live_behind,
            backlog_jobs: params.backlog_jobs,
            entries_per_message: params.entries_per_message,
        };
        let place = &mut self.places[ix.index()];
        let since = self.stage.instant(place.node);
        let Some(run) = &mut place.run else { return };
        let facts = place.archive.rows.keys().filter_map(|ledger| place.archive.facts(ledger)).collect();
        let hello = proto::Hello { policies: params.policies().to_proto(), ..Default::default() };
        let mut session = SiteSession::new(hello, facts, limits);
        session.set_window(true);
        for stream in &run.streams {
            for (number, file) in &stream.files {
                for part in 0..file.synced {
                    session.part_recorded(&stream.ledger, LivePart { segment: *number, part, since });
                }
            }
        }
        run.uplink = Some(Uplink { conn, session, jobs: VecDeque::new(), under_way: 0, turn: 0 });
        let host = self.name_of(ix);
        self.stage.tell(|| format!("{host} is connected to its vault"));
        self.pump_site(ix);
    }

    /// A message of the vault arrives.
    pub fn site_hears(&mut self, conn: ConnIx, message: proto::HubMessage) {
        let ix = self.stage.conns[conn.0 as usize].place;
        let place = &mut self.places[ix.index()];
        let archive = &place.archive;
        let Some(uplink) = place.run.as_mut().and_then(|run| run.uplink.as_mut()) else { return };
        if let Some(proto::hub_message::Kind::Have(have)) = &message.kind {
            let told = told_ledgers(have).unwrap_or_default();
            let knows_more = told.iter().zip(&have.ledgers).any(|(ledger, held)| {
                archive.rows.get(ledger).is_some_and(|row| held.next > row.entries.len() as u64)
            });
            self.stage.reach.note_if(knows_more, State::HubKnowsMore);
        }
        let handled = uplink.session.handle_message(message, &|ledger, next| archive.head_at(ledger, next));
        if let Err(error) = handled {
            self.stage.violate(Invariant::Own, format!("a message of the vault makes no sense: {error}"));
        }
        self.pump_site(ix);
    }

    /// Carries out what the session wants, and sends.
    pub fn pump_site(&mut self, ix: PlaceIx) {
        self.carry_out(ix);
        self.send_parts(ix);
    }

    fn carry_out(&mut self, ix: PlaceIx) {
        loop {
            let place = &mut self.places[ix.index()];
            let Some(uplink) = place.run.as_mut().and_then(|run| run.uplink.as_mut()) else { return };
            let Some(output) = uplink.session.poll_output() else { return };
            let conn = uplink.conn;
            match output {
                Output::Control(message) => self.stage.send_up(conn, 0, Up::Control(message)),
                Output::Entries { ledger, seqs } => {
                    let Some(row) = place.archive.rows.get(&ledger) else { continue };
                    let message = entries(&ledger, seqs, &row.entries);
                    self.stage.send_up(conn, 0, Up::Control(message));
                }
                Output::Backlog { ledger, seq, .. } => {
                    uplink.jobs.push_back(Job { ledger, seq, parts: None })
                }
                Output::Acked { ledger, seqs, all } => {
                    if let Some(row) = place.archive.rows.get_mut(&ledger) {
                        row.acked = if all { seqs } else { row.acked.union(&seqs) };
                    }
                }
                Output::TailAcked { .. } => {}
                Output::Quarantined { ledger, detail } => {
                    self.stage.violate(Invariant::Acked, format!("{ledger} is quarantined: {detail}"));
                }
                Output::Refused(refuse) => {
                    self.stage.violate(Invariant::Own, format!("refused: {}", refuse.detail));
                }
            }
        }
    }

    /// Sends parts while there is room, live ones first.
    pub fn send_parts(&mut self, ix: PlaceIx) {
        while let Some((lane, conn, message)) = self.next_part(ix) {
            self.stage.send_up(conn, lane, Up::Part(message));
        }
    }

    fn next_part(&mut self, ix: PlaceIx) -> Option<(u8, ConnIx, PartMessage)> {
        let window = self.stage.params.window;
        loop {
            let place = &mut self.places[ix.index()];
            let now = self.stage.instant(place.node);
            let run = place.run.as_mut()?;
            let uplink = run.uplink.as_mut().filter(|uplink| uplink.under_way < window)?;
            for turn in 0..run.streams.len() {
                let index = (uplink.turn + turn) % run.streams.len();
                let ledger = &run.streams[index].ledger;
                let Some(row) = place.archive.rows.get(ledger) else { continue };
                let Some(live) = uplink.session.next_live(ledger, now) else { continue };
                let parts = place.archive.parts(row.known, live.segment);
                let Some(data) = parts.and_then(|parts| parts.get(live.part as usize)) else {
                    uplink.session.live_unsent(ledger, &live);
                    continue;
                };
                uplink.turn = index + 1;
                uplink.under_way += 1;
                let ledger = ledger.clone();
                let lane = LIVE_LANE + u8::try_from(index).unwrap_or(0) % (BACKLOG_LANE - LIVE_LANE);
                let part = live.part;
                let message = PartMessage { ledger, number: live.segment, part, data: data.clone() };
                return Some((lane, uplink.conn, message));
            }
            let job = uplink.jobs.front_mut()?;
            let row = place.archive.rows.get(&job.ledger)?;
            if job.parts.is_none() {
                let entry = row.entries.get(usize::try_from(job.seq.0).unwrap_or(usize::MAX));
                let parts = entry.and_then(|entry| entry.segment()).map(|segment| {
                    let missing = uplink.session.missing(&job.ledger, segment);
                    (SegmentNumber(segment.number), missing.values().collect())
                });
                job.parts = Some(parts.unwrap_or_default());
            }
            let next = job.parts.as_mut().and_then(|(number, parts)| Some((*number, parts.pop_front()?)));
            let Some((number, part)) = next else {
                uplink.session.backlog_sent(&job.ledger, job.seq);
                uplink.jobs.pop_front();
                self.carry_out(ix);
                continue;
            };
            let parts = place.archive.parts(row.known, number);
            let Some(data) = usize::try_from(part).ok().and_then(|part| parts?.get(part)) else { continue };
            uplink.under_way += 1;
            let lane = BACKLOG_LANE + u8::try_from(job.seq.0 % u64::from(BACKLOG_LANES)).unwrap_or(0);
            let part = u32::try_from(part).unwrap_or(u32::MAX);
            let message = PartMessage { ledger: job.ledger.clone(), number, part, data: data.clone() };
            return Some((lane, uplink.conn, message));
        }
    }

    /// A part has arrived: the next may go.
    pub fn room(&mut self, conn: ConnIx) {
        let ix = self.stage.conns[conn.0 as usize].place;
        let run = self.places[ix.index()].run.as_mut();
        let Some(uplink) = run.and_then(|run| run.uplink.as_mut()).filter(|uplink| uplink.conn == conn)
        else {
            return;
        };
        uplink.under_way = uplink.under_way.saturating_sub(1);
        self.send_parts(ix);
    }

    /// The uplink gives the connection up, and dials anew.
    pub fn uplink_lost(&mut self, conn: ConnIx) {
        let ix = self.stage.conns[conn.0 as usize].place;
        self.stage.close(conn, End::Site);
        let Some(run) = self.places[ix.index()].run.as_mut() else { return };
        let life = run.life;
        if run.uplink.take_if(|uplink| uplink.conn == conn).is_some() {
            let host = self.name_of(ix);
            self.stage.tell(|| format!("{host} gives its connection up"));
            let wait = self.stage.chance.record.span(secs(0), secs(2));
            self.stage.after(wait, Event::Dial { place: ix, life });
        }
    }
}

/// Entries as they were first encoded.
fn entries(ledger: &LedgerId, seqs: std::ops::Range<u64>, all: &[wire::entry::Entry]) -> proto::SiteMessage {
    let index = |seq: u64| usize::try_from(seq).unwrap_or(usize::MAX).min(all.len());
    let entries = &all[index(seqs.start)..index(seqs.end)];
    let batch = proto::EntryBatch { entries: entries.iter().map(|entry| entry.bytes().clone()).collect() };
    let message = proto::Entries {
        ledger: Some(ledger.to_proto()),
        first_seq: seqs.start,
        count: u32::try_from(entries.len()).unwrap_or(u32::MAX),
        batch: batch.encode_to_vec().into(),
        ..Default::default()
    };
    proto::SiteMessage { kind: Some(proto::site_message::Kind::Entries(message)) }
}
