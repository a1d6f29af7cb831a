//! One direction of a WAN, as a state machine in its own time: no clock, no I/O.
//!
//! A packet passes the stages in this order: cut and outages, loss, policer, rate with its queue, delay with
//! jitter, reordering. Time is a [`Duration`] since the start of the path and must not go back; asking late
//! changes nothing about when a packet is due.

use std::time::Duration;

use crate::chance::{Chance, Loss, Losses};
use crate::delay::Delay;
use crate::link::Link;
use crate::policer::Bucket;
use crate::settings::{PathSettings, nanos};

/// One direction, carrying packets of any type.
pub struct Path<P> {
    settings: PathSettings,
    cut: bool,
    outages_past: usize,
    taken: u64,
    losses: Losses,
    reorder: Chance,
    jitter: Chance,
    policer: Option<Bucket>,
    link: Option<Link<P>>,
    delay: Delay<P>,
}

/// What became of a packet at the entrance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It will come out.
    Taken,
    /// It never will.
    Dropped(Cause),
}

/// Why a packet was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The path is cut.
    Cut,
    /// Random loss.
    Loss,
    /// Loss in a burst.
    Burst,
    /// The policer had no tokens.
    Policer,
    /// The queue was full.
    Queue,
}

/// A packet that comes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Departure<P> {
    /// When it should have: not after the time it was asked for.
    pub due: Duration,
    /// The packet.
    pub packet: P,
}

/// A packet inside, with what chance decided about it when it came.
pub(crate) struct Item<P> {
    pub(crate) number: u64,
    pub(crate) bytes: u32,
    pub(crate) own_draw: u64,
    pub(crate) falls_back: bool,
    pub(crate) packet: P,
}

impl<P> Path<P> {
    /// An empty path at time zero. The settings must have passed their check.
    pub fn new(settings: PathSettings, seed: u64) -> Self {
        Self {
            cut: false,
            outages_past: 0,
            taken: 0,
            losses: Losses::new(seed),
            reorder: Chance::new(seed, 4),
            jitter: Chance::new(seed, 5),
            policer: settings.policer.map(|policer| Bucket::new(policer, 0)),
            link: Link::new(&settings, 0),
            delay: Delay::new(seed),
            settings,
        }
    }

    /// A packet of so many bytes arrives.
    pub fn push(&mut self, now: Duration, bytes: u32, packet: P) -> Verdict {
        let now = nanos(now);
        self.advance(now);
        // Chance has its say for every packet, so that one's fate does not shift another's.
        let loss = self.losses.draw(self.settings.loss, self.settings.burst);
        let falls_back = self.reorder.happens(self.settings.reorder.map_or(0.0, |reorder| reorder.share));
        let own_draw = self.jitter.draw();
        if self.cut || self.in_outage(now) {
            return Verdict::Dropped(Cause::Cut);
        }
        match loss {
            Some(Loss::Random) => return Verdict::Dropped(Cause::Loss),
            Some(Loss::Burst) => return Verdict::Dropped(Cause::Burst),
            None => {}
        }
        if self.policer.as_mut().is_some_and(|policer| !policer.passes(now, bytes)) {
            return Verdict::Dropped(Cause::Policer);
        }
        self.taken += 1;
        let item = Item { number: self.taken, bytes, own_draw, falls_back, packet };
        match &mut self.link {
            Some(link) if link.has_room(bytes) => link.push(item),
            Some(_) => return Verdict::Dropped(Cause::Queue),
            None => self.delay.push(&self.settings, now, item),
        }
        Verdict::Taken
    }

    /// When to call `pop` next, if nothing else happens. It may find nothing then.
    pub fn poll_timeout(&self) -> Option<Duration> {
        let sent = self.link.as_ref().and_then(Link::next_end);
        let sent = sent.map(|end| end.saturating_add(nanos(self.settings.delay)));
        let next = [self.delay.next(), sent].into_iter().flatten().min();
        next.map(Duration::from_nanos)
    }

    /// Takes out a packet that is due.
    pub fn pop(&mut self, now: Duration) -> Option<Departure<P>> {
        let now = nanos(now);
        self.advance(now);
        let (due, item) = self.delay.pop(now)?;
        Some(Departure { due: Duration::from_nanos(due), packet: item.packet })
    }

    /// Nothing gets in any more.
    pub fn cut(&mut self) {
        self.cut = true;
    }

    /// It does again, apart from the outages of the settings.
    pub fn heal(&mut self) {
        self.cut = false;
    }

    /// Changes the path. What is inside stays: what waits goes at the new rate, what propagates comes out
    /// when it was to. A path that loses its rate lets everything go at once.
    pub fn reconfigure(&mut self, now: Duration, settings: PathSettings) {
        let now = nanos(now);
        self.advance(now);
        self.settings = settings;
        self.outages_past = 0;
        self.policer = self.settings.policer.map(|policer| Bucket::new(policer, now));
        let mut next = Link::new(&self.settings, now);
        match (self.link.take(), &mut next) {
            (Some(old), Some(next)) => old.hand_over(next),
            (Some(old), None) => {
                old.into_items().for_each(|item| self.delay.push(&self.settings, now, item));
            }
            (None, _) => {}
        }
        self.link = next;
    }

    /// What it is like.
    pub fn settings(&self) -> &PathSettings {
        &self.settings
    }

    /// Packets inside.
    pub fn packets_inside(&self) -> usize {
        self.link.as_ref().map_or(0, Link::len) + self.delay.len()
    }

    /// Bytes that wait for the rate.
    pub fn queue_bytes(&self) -> u64 {
        self.link.as_ref().map_or(0, Link::waiting_bytes)
    }

    /// How long a packet that came now would wait for those before it, at the rate in force; none if nothing
    /// passes. The packet being sent is not counted.
    pub fn queue(&mut self, now: Duration) -> Option<Duration> {
        self.advance(nanos(now));
        let waiting = self.link.as_ref().map_or(Some(0), Link::waiting_nanos);
        waiting.map(Duration::from_nanos)
    }

    /// Sends what the rate allows up to `now`.
    fn advance(&mut self, now: u64) {
        let Some(link) = &mut self.link else { return };
        while let Some(end) = link.next_end().filter(|end| *end <= now) {
            if let Some(item) = link.end(end) {
                self.delay.push(&self.settings, end, item);
            }
        }
        link.work(now);
    }

    fn in_outage(&mut self, now: u64) -> bool {
        let outages = &self.settings.outages;
        while outages.get(self.outages_past).is_some_and(|outage| nanos(outage.at + outage.length) <= now) {
            self.outages_past += 1;
        }
        outages.get(self.outages_past).is_some_and(|outage| nanos(outage.at) <= now)
    }
}
