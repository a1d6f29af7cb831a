//! What this node hears itself: detectors of the recorders that matter, its own fitness, rounds it was asked
//! in. Shared by the voter and the leader; neither changes it.

use std::collections::BTreeMap;
use std::time::Duration;

use wire::{OriginId, UnixMicros};

use super::settings::Settings;
use crate::beat::{Arrival, Beat, Bye};
use crate::control::{Closed, Event, Site, Stamp, State};
use crate::detector::{Detector, Fitness, Novelty, Vitals};
use crate::epoch::Round;
use crate::evidence::Answers;
use crate::ids::{HostId, NodeId, SiteId};
use crate::time::Boot;

/// Everything heard.
#[derive(Clone, Debug)]
pub(super) struct Watch {
    pub(super) settings: Settings,
    pub(super) fitness: Fitness,
    pub(super) sites: BTreeMap<SiteId, SiteWatch>,
    /// When each host last reported, on any site.
    pub(super) reports: BTreeMap<HostId, Boot>,
    stamped: Option<(Boot, Stamp)>,
}

/// One site, as this node hears it.
#[derive(Clone, Debug)]
pub(super) struct SiteWatch {
    /// The home's recorder.
    pub(super) home: Detector,
    home_host: HostId,
    /// The host whose reports about the cameras count.
    candidate: Option<HostId>,
    /// The standby's, while one has authority.
    pub(super) away: Option<(HostId, Detector)>,
    /// The open round, and when it was applied here.
    pub(super) asked: Option<Asked>,
    /// The last round that somebody closed by hearing: who, how, when that was applied here.
    pub(super) heard: Option<HeardBy>,
    /// The nonce given out to other sites while the home is silent here, and when.
    pub(super) nonce: Option<(u64, Boot)>,
    /// The run that said goodbye, until it stands in the log or another run beats.
    pub(super) bye: Option<(OriginId, Bye)>,
    /// The plan in force, and when it was first seen here.
    pub(super) plan_since: Option<Boot>,
    /// The drill that goes on: since when as far as this node saw, and since when its time is over.
    pub(super) drill: Option<Drilling>,
    /// Where its life is, and when it got there as far as this node saw.
    pub(super) stage_since: Boot,
    /// When authority last moved away, as far as this node saw.
    pub(super) moved: Boot,
    stage: crate::standby::Stage,
    /// The highest epoch that a beat of the home showed, if it is above the log's.
    pub(super) foreign: Option<crate::epoch::Epoch>,
}

/// A drill, as this node follows it: by its own clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Drilling {
    index: u64,
    pub(super) since: Boot,
    pub(super) over: Option<Boot>,
}

/// A round this node was asked in.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) round: Round,
    pub(super) holder: HostId,
    /// When it was applied here.
    pub(super) at: Boot,
    /// A beat came after the round was applied here: on which way.
    pub(super) heard: Option<Arrival>,
}

/// Somebody heard what was asked about.
#[derive(Clone, Debug)]
pub(super) struct HeardBy {
    pub(super) by: NodeId,
    pub(super) arrival: Arrival,
    pub(super) at: Boot,
    /// That voter has hinted since that it hears nothing any more.
    pub(super) over: bool,
}

impl SiteWatch {
    fn new(now: Boot, site: &Site) -> Self {
        Self {
            home: Detector::new(now),
            home_host: site.spec.home.clone(),
            candidate: None,
            away: None,
            asked: None,
            heard: None,
            nonce: None,
            bye: None,
            plan_since: None,
            drill: None,
            stage_since: now,
            moved: now,
            stage: site.life.stage(),
            foreign: None,
        }
    }

    /// The detector of the recorder that runs at `host`.
    pub(super) fn detector(&self, host: &HostId) -> Option<&Detector> {
        match &self.away {
            Some((away, detector)) if away == host => Some(detector),
            _ if self.home_host == *host => Some(&self.home),
            _ => None,
        }
    }

    fn detector_mut(&mut self, host: &HostId) -> Option<&mut Detector> {
        match &mut self.away {
            Some((away, detector)) if away == host => Some(detector),
            _ if self.home_host == *host => Some(&mut self.home),
            _ => None,
        }
    }

    /// Follows what the log says of the site.
    fn follow(&mut self, now: Boot, site: &Site) {
        if self.stage != site.life.stage() {
            (self.stage, self.stage_since) = (site.life.stage(), now);
        }
        if self.candidate.as_ref() != site.candidate() {
            self.candidate = site.candidate().cloned();
        }
        match site.life.authority() {
            None => self.away = None,
            Some(host) if self.away.as_ref().is_some_and(|(away, _)| away == host) => {}
            Some(host) => {
                self.away = Some((host.clone(), Detector::new(now)));
                self.moved = now;
            }
        }
        match (&site.plan, self.plan_since) {
            (None, _) => self.plan_since = None,
            (Some(_), None) => self.plan_since = Some(now),
            (Some(_), Some(_)) => {}
        }
        self.drill = site.drill.as_ref().map(|drill| {
            let known = self.drill.filter(|known| known.index == drill.index);
            let mut known = known.unwrap_or(Drilling { index: drill.index, since: now, over: None });
            known.over = drill.over.then(|| known.over.unwrap_or(now));
            known
        });
        match &site.round {
            None => self.asked = None,
            Some(open) if self.asked.as_ref().is_some_and(|asked| asked.round == open.round) => {}
            Some(open) => {
                let (round, holder) = (open.round, open.holder.clone());
                self.asked = Some(Asked { round, holder, at: now, heard: None });
            }
        }
        if self.foreign.is_some_and(|shown| shown <= site.epoch) {
            self.foreign = None;
        }
    }
}

impl Watch {
    pub(super) fn new(settings: Settings) -> Self {
        let fitness = Fitness::new(settings.fitness.clone());
        Self { settings, fitness, sites: BTreeMap::new(), reports: BTreeMap::new(), stamped: None }
    }

    /// A beat came. Says whether it answers the open round: then it has to be told.
    pub(super) fn handle_beat(
        &mut self,
        now: Boot,
        site: &SiteId,
        host: &HostId,
        arrival: &Arrival,
        beat: &Beat,
    ) -> bool {
        let Some(watch) = self.sites.get_mut(site) else { return false };
        match arrival {
            // Signed over a nonce that was given out after the silence began: no older beat can be.
            Arrival::Relayed { nonce, .. } if watch.nonce.is_none_or(|(given, _)| given != *nonce) => {
                return false;
            }
            Arrival::Relayed { .. } => {}
            Arrival::Direct(_) => watch.nonce = None,
        }
        let stale = self.fitness.draining(now);
        let is_home = watch.home_host == *host;
        let Some(detector) = watch.detector_mut(host) else { return false };
        if stale || detector.handle_beat(now, arrival, beat, &self.settings.timers) == Novelty::Old {
            return false;
        }
        if is_home {
            watch.note_home(beat);
        }
        let Some(asked) = watch.asked.as_mut().filter(|asked| asked.holder == *host) else { return false };
        let first = asked.heard.is_none();
        asked.heard = Some(arrival.clone());
        first
    }

    /// A host reports what it sees of a site's cameras. Says whether that may change what silence means.
    pub(super) fn handle_answers(&mut self, now: Boot, answers: &Answers) -> bool {
        let timers = &self.settings.timers;
        let Some(watch) = self.sites.get_mut(&answers.site) else { return false };
        if let Some(at) = self.reports.get_mut(&answers.host) {
            *at = now;
        } else {
            self.reports.insert(answers.host.clone(), now);
        }
        if watch.candidate.as_ref() != Some(&answers.host) {
            return false;
        }
        watch.home.handle_answers(now, answers);
        if let Some((_, away)) = &mut watch.away {
            away.handle_answers(now, answers);
        }
        let holder = watch.away.as_ref().map_or(&watch.home, |(_, away)| away);
        holder.silent_for(now) >= timers.short_min || watch.asked.is_some()
    }

    /// Follows the log.
    pub(super) fn handle_applied(&mut self, now: Boot, state: &State, events: &[Event]) {
        if let Some(at) = state.at()
            && self.stamped.is_none_or(|(_, before)| before.index < at.index)
        {
            self.stamped = Some((now, at));
        }
        if self.sites.len() != state.sites().len() {
            for (name, site) in state.sites() {
                self.sites.entry(name.clone()).or_insert_with(|| SiteWatch::new(now, site));
            }
        }
        for event in events {
            self.note_event(now, event);
        }
    }

    /// Follows one site.
    pub(super) fn follow(&mut self, now: Boot, name: &SiteId, site: &Site) {
        if let Some(watch) = self.sites.get_mut(name) {
            watch.follow(now, site);
        } else {
            let mut watch = SiteWatch::new(now, site);
            watch.follow(now, site);
            self.sites.insert(name.clone(), watch);
        }
    }

    /// This node was not itself until now: what it didn't hear was its own fault.
    pub(super) fn forgive(&mut self, now: Boot) {
        self.reports.values_mut().for_each(|at| *at = now);
        for watch in self.sites.values_mut() {
            watch.home.forgive(now);
            if let Some((_, away)) = &mut watch.away {
                away.forgive(now);
            }
        }
    }

    /// Takes in what the shell measured. Says whether the loop had hung.
    pub(super) fn handle_vitals(&mut self, now: Boot, vitals: Vitals) {
        if self.fitness.handle(now, vitals) {
            self.forgive(now);
        }
    }

    /// The leader's wall clock, as far as it is known: the last stamp, and what has passed here since.
    pub(super) fn wall(&self, now: Boot) -> Option<UnixMicros> {
        self.stamped.map(|(at, stamp)| stamp.time + now.since(at))
    }

    /// Has this host, which was given a place at `since` or before, reported nothing for so long?
    pub(super) fn is_mute(&self, now: Boot, host: &HostId, since: Boot, limit: Duration) -> bool {
        let last = self.reports.get(host).map_or(since, |at| (*at).max(since));
        now.since(last) >= limit
    }

    /// For how long authority has been where it is, as far as this node saw.
    pub(super) fn away_for(&self, now: Boot, site: &SiteId) -> Duration {
        self.sites.get(site).map_or(Duration::ZERO, |watch| now.since(watch.moved))
    }

    fn note_event(&mut self, now: Boot, event: &Event) {
        match event {
            Event::RoundClosed { site, closed: Closed::Heard { by, arrival }, .. } => {
                if let Some(watch) = self.sites.get_mut(site) {
                    watch.heard = Some(HeardBy { by: *by, arrival: arrival.clone(), at: now, over: false });
                }
            }
            Event::RoundOpened { site, answers: Some(answers), .. } => {
                let timers = &self.settings.timers;
                if let Some(watch) = self.sites.get_mut(site) {
                    // Somebody else's word of a report, for who has none of its own.
                    let known = watch.home.answers(now, timers).is_some();
                    if !known && watch.candidate.as_ref() == Some(&answers.host) {
                        watch.home.handle_answers(now, answers);
                    }
                }
            }
            _ => {}
        }
    }
}

impl SiteWatch {
    fn note_home(&mut self, beat: &Beat) {
        if self.bye.is_some_and(|(origin, _)| origin != beat.origin) {
            self.bye = None;
        }
        if self.foreign.is_none_or(|shown| beat.epoch > shown) {
            self.foreign = Some(beat.epoch);
        }
    }
}
