//! The leader's side: it opens rounds, draws verdicts, brings sites home, and keeps every site's place.
//!
//! It lives for one term and remembers nothing beyond it.

mod away;
mod drill;
mod home;
mod overlap;
mod places;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use rand::RngCore;
use rand::rngs::SmallRng;

use super::output::{Hint, Output, Telling};
use super::retry::{Retry, Wish};
use super::table::{Facts, Hearing, Line};
use super::watch::{HeardBy, SiteWatch, Watch};
use crate::beat::{Arrival, Bye};
use crate::control::{Command, HostKind, OpenRound, Plan, Site, State};
use crate::detector::Detector;
use crate::epoch::Term;
use crate::evidence::Answer;
use crate::ids::{CameraId, HostId, NodeId, SiteId};
use crate::time::Boot;
use overlap::Overlap;

/// The leader of a term.
#[derive(Clone, Debug)]
pub(super) struct Leader {
    me: NodeId,
    term: Term,
    /// What was told last of each site.
    told: BTreeMap<SiteId, Line>,
    overlaps: BTreeMap<SiteId, Overlap>,
    /// Since when a site's need for help has been other than what it gets.
    unsettled: BTreeMap<SiteId, Boot>,
    /// Sites at which another voter hears nothing either.
    hinted: BTreeMap<SiteId, Boot>,
    /// Since when each site has its place.
    placed: BTreeMap<SiteId, (HostId, Boot)>,
    /// Hosts that were given up, and when.
    mute: BTreeMap<HostId, Boot>,
    /// When a freeze was proposed last.
    freezing: Option<Boot>,
    random: SmallRng,
}

/// One look at one site: what is known of it now.
struct Look<'a> {
    now: Boot,
    name: &'a SiteId,
    site: &'a Site,
    state: &'a State,
    watch: &'a Watch,
    known: &'a SiteWatch,
    /// The recorder that has authority.
    holder: &'a Detector,
}

/// Where wishes go.
struct Says<'a> {
    now: Boot,
    watch: &'a Watch,
    retry: &'a mut Retry,
    out: Vec<Output>,
}

impl Says<'_> {
    /// Proposes `command`, unless it was proposed a moment ago.
    fn propose(&mut self, site: &SiteId, wish: Wish, command: impl FnOnce() -> Command) {
        if self.retry.due(self.now, self.watch.settings.retry, site, wish) {
            self.out.push(Output::Propose(command()));
        }
    }
}

impl Leader {
    pub(super) fn new(me: NodeId, term: Term, random: SmallRng) -> Self {
        Self {
            me,
            term,
            told: BTreeMap::new(),
            overlaps: BTreeMap::new(),
            unsettled: BTreeMap::new(),
            hinted: BTreeMap::new(),
            placed: BTreeMap::new(),
            mute: BTreeMap::new(),
            freezing: None,
            random,
        }
    }

    pub(super) fn term(&self) -> Term {
        self.term
    }

    /// Another node hears nothing of a recorder.
    pub(super) fn handle_hint(&mut self, now: Boot, from: NodeId, hint: &Hint, watch: &mut Watch) {
        let Hint::Silent { site, .. } = hint;
        let Some(known) = watch.sites.get_mut(site) else { return };
        if from != self.me {
            self.hinted.insert(site.clone(), now);
        }
        if let Some(heard) = known.heard.as_mut().filter(|heard| heard.by == from) {
            heard.over = true;
        }
    }

    /// Looks at one site.
    pub(super) fn look(
        &mut self,
        now: Boot,
        (name, site): (&SiteId, &Site),
        state: &State,
        watch: &Watch,
        retry: &mut Retry,
        out: &mut Vec<Output>,
    ) {
        let Some(known) = watch.sites.get(name).filter(|_| !site.revoked) else { return };
        let Some(holder) = known.detector(site.holder()) else { return };
        let look = Look { now, name, site, state, watch, known, holder };
        let mut says = Says { now, watch, retry, out: Vec::new() };
        self.keep_place(&look, &mut says);
        self.end_plan(&look, &mut says);
        self.raise_epoch(&look, &mut says);
        self.keep_drill(&look, &mut says);
        if self.nothing_new(&look) {
            out.extend(says.out);
            return;
        }
        let facts = self.facts(&look);
        let line = super::table::read(&facts);
        if site.is_away() {
            self.look_away(&look, line, &facts, &mut says);
        } else {
            self.look_home(&look, line, &facts, &mut says);
        }
        if self.told.get(name) != Some(&line) {
            self.told.insert(name.clone(), line);
            says.out.push(Output::Told(Box::new(Telling { site: name.clone(), line, facts })));
        }
        out.extend(says.out);
    }

    /// What concerns all sites at once.
    pub(super) fn look_at_all(
        &mut self,
        now: Boot,
        state: &State,
        watch: &Watch,
        retry: &mut Retry,
        out: &mut VecDeque<Output>,
    ) {
        let mut says = Says { now, watch, retry, out: Vec::new() };
        self.give_places(state, &mut says);
        out.extend(says.out);
    }

    /// All is well, as it was: by far the most looks end here.
    fn nothing_new(&self, look: &Look<'_>) -> bool {
        let (site, timers) = (look.site, &look.watch.settings.timers);
        self.told.get(look.name) == Some(&Line::Well)
            && !site.is_away()
            && site.round.is_none()
            && site.plan.is_none()
            && site.drill.is_none()
            && site.assisted.is_empty()
            && look.watch.fitness.unfit(look.now).is_none()
            && look.holder.is_fresh(look.now, timers)
            && matches!(look.holder.arrival(), Some(Arrival::Direct(_)))
            && look.stalled().is_empty()
            && !look.state.frozen().contains(look.name)
    }

    /// Everything the verdict is read from.
    fn facts(&self, look: &Look<'_>) -> Facts {
        let Look { now, site, state, watch, holder, .. } = *look;
        let timers = &watch.settings.timers;
        // A round of an earlier reign leads to nothing: it has to be asked anew.
        let round = self.round(site);
        let silent = round.map(|open| open.silent.clone()).unwrap_or_default();
        let candidate = site.candidate();
        let answers = holder.answers(now, timers).filter(|answers| Some(&answers.host) == candidate).cloned();
        let counts = |node: &&NodeId| state.nodes().get(node).is_some_and(|node| !node.removed);
        let said = silent.keys().filter(counts).copied().collect();
        Facts {
            holder: site.holder().clone(),
            plan: if site.is_away() { None } else { site.plan.clone() },
            unfit: watch.fitness.unfit(now),
            hearing: self.hearing(look),
            stalled: look.stalled(),
            round: round.map(|open| open.round),
            tallies: if round.is_some() { state.membership().count(&said) } else { Vec::new() },
            candidate_silent: candidate
                .and_then(|host| voter_on(state, host))
                .is_none_or(|node| silent.contains_key(&node)),
            settled: answers
                .as_ref()
                .is_some_and(|answers| answers.unbroken.is_some_and(|held| held >= timers.reopen_wait)),
            long: holder.silent_for(now) >= timers.long,
            listened: look.known.asked.as_ref().is_some_and(|asked| now.since(asked.at) >= timers.listen),
            answers,
            silent,
        }
    }

    /// Who hears the recorder that has authority?
    fn hearing(&self, look: &Look<'_>) -> Hearing {
        let timers = &look.watch.settings.timers;
        let relayed = |arrival: &Arrival| matches!(arrival, Arrival::Relayed { .. });
        if look.holder.is_fresh(look.now, timers) {
            return match look.holder.arrival() {
                Some(arrival) if relayed(arrival) => Hearing::Relayed,
                _ => Hearing::Here,
            };
        }
        match &look.known.heard {
            _ if self.round(look.site).is_some() => Hearing::Nobody,
            Some(heard) if self.still_heard(look, heard) && relayed(&heard.arrival) => Hearing::Relayed,
            Some(heard) if self.still_heard(look, heard) => Hearing::Elsewhere,
            _ => Hearing::Nobody,
        }
    }

    /// The open round, if it was opened in this reign.
    fn round<'a>(&self, site: &'a Site) -> Option<&'a OpenRound> {
        site.round.as_ref().filter(|open| open.term == self.term)
    }

    /// Does whoever closed the last round by hearing still hear, as far as is known? It would hint if not; and
    /// a beat that came here since makes what was then irrelevant.
    fn still_heard(&self, look: &Look<'_>, heard: &HeardBy) -> bool {
        heard.by != self.me
            && !heard.over
            && look.now.since(heard.at) < look.watch.settings.heard_retry
            && look.holder.last_beat().is_none_or(|beat| beat < heard.at)
    }

    /// Ends a plan whose time is over: maintenance that nobody ended, a restart that took too long.
    fn end_plan(&self, look: &Look<'_>, says: &mut Says<'_>) {
        let over = match &look.site.plan {
            Some(Plan::Maintenance { until, .. }) => {
                look.watch.wall(look.now).is_some_and(|wall| wall >= *until)
            }
            Some(Plan::Bye { bye, .. }) => look.restart_over(*bye),
            None => false,
        };
        if over {
            let site = look.name.clone();
            says.propose(look.name, Wish::Declare, || Command::Declare { site, plan: None });
        }
    }

    /// A beat showed an epoch this log never gave.
    fn raise_epoch(&mut self, look: &Look<'_>, says: &mut Says<'_>) {
        let Some(epoch) = look.known.foreign.filter(|shown| *shown > look.site.epoch) else { return };
        let (site, salt) = (look.name.clone(), self.random.next_u64());
        says.propose(look.name, Wish::Seen, || Command::SeenEpoch { site, epoch, salt });
    }
}

/// The node that this host is, if its word counts.
fn voter_on(state: &State, host: &HostId) -> Option<NodeId> {
    let HostKind::Node(node) = state.hosts().get(host)?.spec.kind else { return None };
    let counts =
        state.membership().contains(node) && state.nodes().get(&node).is_some_and(|node| !node.removed);
    counts.then_some(node)
}

impl Look<'_> {
    /// Cameras that answer and don't progress at home, as far as that is the recorder's fault: a camera with
    /// one session can't progress while somebody else has it.
    fn stalled(&self) -> BTreeSet<CameraId> {
        let (now, timers) = (self.now, &self.watch.settings.timers);
        let mut stalled = self.known.home.stalled(now, timers);
        if stalled.is_empty() {
            return stalled;
        }
        let answers = self.known.home.answers(now, timers);
        let busy = |camera: &CameraId| {
            answers.is_some_and(|answers| answers.cameras.get(camera) == Some(&Answer::Busy))
        };
        let one_session =
            |camera: &CameraId| self.site.cameras.get(camera).is_some_and(|spec| spec.single_session);
        stalled.retain(|camera| !one_session(camera) || !(self.site.is_away() || busy(camera)));
        stalled
    }

    /// Has a stated restart taken longer than stated, or than anybody waits? Other goodbyes end when another
    /// run beats.
    fn restart_over(&self, bye: Bye) -> bool {
        let Bye::Restart { back_in } = bye else { return false };
        let wait = back_in.min(self.watch.settings.restart_max);
        self.known.plan_since.is_some_and(|since| self.now.since(since) >= wait)
    }
}
