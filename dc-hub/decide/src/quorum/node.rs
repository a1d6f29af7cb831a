//! What a shell drives on every hub node: the voter, and the leader while this node leads.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::SmallRng;
use wire::OriginId;

use super::leader::Leader;
use super::output::{Hint, Output};
use super::retry::{Retry, Wish};
use super::settings::Settings;
use super::voter;
use super::watch::Watch;
use crate::beat::{Arrival, Beat, Bye};
use crate::control::{Event, State};
use crate::detector::{Unfit, Vitals};
use crate::epoch::Term;
use crate::evidence::Answers;
use crate::ids::{CameraId, HostId, NodeId, SiteId};
use crate::time::Boot;

/// One hub node's part in deciding. Volatile: a restarted node begins anew.
#[derive(Clone, Debug)]
pub struct Node {
    me: NodeId,
    watch: Watch,
    retry: Retry,
    leader: Option<Leader>,
    random: SmallRng,
    out: VecDeque<Output>,
    wake: Boot,
}

impl Node {
    /// Begins at `now`, having heard nothing.
    pub fn new(me: NodeId, settings: Settings, now: Boot, seed: u64) -> Self {
        Self {
            me,
            watch: Watch::new(settings),
            retry: Retry::default(),
            leader: None,
            random: SmallRng::seed_from_u64(seed),
            out: VecDeque::new(),
            wake: now,
        }
    }

    /// A beat arrived and was checked: it is from the virtual server of `site` as it runs at `host`.
    pub fn handle_beat(&mut self, now: Boot, site: &SiteId, host: &HostId, arrival: &Arrival, beat: &Beat) {
        self.notice_lateness(now);
        if self.watch.handle_beat(now, site, host, arrival, beat) {
            self.retry.renew(site, Wish::Heard);
            self.out.extend(voter::heard((self.me, now), site, &self.watch, &mut self.retry));
        }
    }

    /// The site's own recorder said goodbye, on a connection of its own.
    pub fn handle_bye(&mut self, now: Boot, site: &SiteId, origin: OriginId, bye: Bye) {
        self.notice_lateness(now);
        let Some(known) = self.watch.sites.get_mut(site) else { return };
        if known.home.origin().is_none_or(|current| current == origin) {
            known.bye = Some((origin, bye));
            self.wake = now;
        }
    }

    /// A candidate host reported what it sees of a site's cameras.
    pub fn handle_answers(&mut self, now: Boot, answers: &Answers) {
        self.notice_lateness(now);
        if self.watch.handle_answers(now, answers) {
            self.wake = self.wake.min(now);
        }
    }

    /// Another node hinted something.
    pub fn handle_hint(&mut self, now: Boot, from: NodeId, hint: &Hint) {
        self.notice_lateness(now);
        if let Some(leader) = &mut self.leader {
            leader.handle_hint(now, from, hint, &mut self.watch);
            self.wake = now;
        }
    }

    /// The shell measured its machine.
    pub fn handle_vitals(&mut self, now: Boot, vitals: Vitals) {
        self.notice_lateness(now);
        self.watch.handle_vitals(now, vitals);
    }

    /// Why this node's word counts for nothing now, if so: as a voter it abstains, as a host it had better be silent,
    /// and as a leader let another lead.
    pub fn unfit(&self, now: Boot) -> Option<Unfit> {
        self.watch.fitness.unfit(now)
    }

    /// This node leads the log in `term`, and has applied everything of earlier terms; or leads no more.
    pub fn handle_leadership(&mut self, now: Boot, term: Option<Term>) {
        match (term, &self.leader) {
            (Some(term), Some(leader)) if leader.term() == term => {}
            (Some(term), _) => {
                self.leader = Some(Leader::new(self.me, term, SmallRng::from_rng(&mut self.random)));
                self.wake = now;
            }
            (None, _) => self.leader = None,
        }
    }

    /// An entry of the log was applied here; `events` is what it changed, empty if it was refused.
    pub fn handle_applied(&mut self, now: Boot, state: &State, events: &[Event]) {
        self.notice_lateness(now);
        self.watch.handle_applied(now, state, events);
        let touched: BTreeSet<&SiteId> = events.iter().filter_map(Event::site).collect();
        if touched.is_empty() {
            // A word in a round changes no more than the round: whoever leads looks at those.
            self.look_at_rounds(now, state);
            return;
        }
        for name in touched {
            self.look(now, state, name);
        }
    }

    /// [`Node::poll_timeout`] has come.
    pub fn handle_timeout(&mut self, now: Boot, state: &State) {
        self.notice_lateness(now);
        self.retry.sweep(now, self.watch.settings.heard_retry);
        self.watch.handle_applied(now, state, &[]);
        self.wake = now + self.watch.settings.tick;
        for name in state.sites().keys() {
            self.look(now, state, name);
        }
        if let Some(leader) = &mut self.leader {
            leader.look_at_all(now, state, &self.watch, &mut self.retry, &mut self.out);
        }
    }

    /// The cameras of which the standby with authority has made something durable, and goes on, as it said last.
    pub fn recorded_away(&self, site: &SiteId) -> BTreeSet<CameraId> {
        let away = self.watch.sites.get(site).and_then(|known| known.away.as_ref());
        away.map(|(_, detector)| detector.recording().map(|(camera, _)| camera.clone()).collect())
            .unwrap_or_default()
    }

    /// When the site's own recorder was heard last.
    pub fn last_beat(&self, site: &SiteId) -> Option<Boot> {
        self.watch.sites.get(site).and_then(|known| known.home.last_beat())
    }

    /// What to do next.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// When to call [`Node::handle_timeout`]. Called later than half a second after this, the node takes its
    /// own event loop for hung, and abstains.
    pub fn poll_timeout(&self) -> Boot {
        self.wake
    }

    fn look_at_rounds(&mut self, now: Boot, state: &State) {
        for (name, site) in state.sites() {
            if site.round.is_some() {
                self.look(now, state, name);
            }
        }
    }

    fn look(&mut self, now: Boot, state: &State, name: &SiteId) {
        let Some(site) = state.site(name) else { return };
        self.watch.follow(now, name, site);
        let mut said = Vec::new();
        let helpers = (&mut self.retry, &mut self.random as &mut dyn rand::RngCore);
        voter::look((self.me, now), (name, site), state, &mut self.watch, helpers, &mut said);
        if let Some(leader) = &mut self.leader {
            leader.look(now, (name, site), state, &self.watch, &mut self.retry, &mut said);
        }
        self.out.extend(said);
        if let Some(detector) = self.watch.sites.get(name).and_then(|known| known.detector(site.holder())) {
            self.wake = self.wake.min(detector.next_look(now, &self.watch.settings.timers));
        }
    }

    /// Nothing was called for longer than was asked for: this machine, or this process, stood still, and what
    /// waits in its buffers is old.
    fn notice_lateness(&mut self, now: Boot) {
        let lag = now.since(self.wake);
        if lag > Duration::ZERO && self.watch.fitness.handle_lateness(now, lag) {
            self.watch.forgive(now);
            self.wake = now;
        }
    }
}
