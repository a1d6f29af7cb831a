//! While authority is at home: rounds, verdicts, takeovers that were planned, help with stalled cameras.

use std::collections::BTreeSet;

use super::{Leader, Look, Says};
use crate::control::{Command, Finding, TakeOverGround, Verdict};
use crate::epoch::Round;
use crate::ids::{CameraId, SiteId};
use crate::quorum::retry::Wish;
use crate::quorum::table::{Facts, Hearing, Line};
use crate::time::Boot;

impl Leader {
    pub(super) fn look_home(&mut self, look: &Look<'_>, line: Line, facts: &Facts, says: &mut Says<'_>) {
        match line {
            Line::Abstain => return,
            Line::Planned => self.take_over(look, facts, says),
            Line::RecorderLost => self.activate(look, facts, says),
            Line::Dark => self.arm(look, facts, says),
            Line::Open => self.ask(look, facts, says),
            Line::Well | Line::Gray if look.state.frozen().contains(look.name) => self.thaw(look, says),
            Line::Well | Line::Gray | Line::PathFault | Line::Isolated => {}
        }
        if facts.hearing != Hearing::Nobody {
            self.assist(look, &facts.stalled, says);
        }
    }

    /// Opens a round, if this node or another hears nothing for as long as it asks for, and nothing of this
    /// reign is open.
    pub(super) fn ask(&mut self, look: &Look<'_>, facts: &Facts, says: &mut Says<'_>) {
        let (timers, tick) = (&look.watch.settings.timers, look.watch.settings.tick);
        let hinted = self.hinted.get(look.name).is_some_and(|at| look.now.since(*at) <= 2 * tick);
        let silent = hinted || look.holder.quiet(look.now, timers).is_some();
        if facts.round.is_some() || !silent || facts.is_restarting() {
            return;
        }
        says.propose(look.name, Wish::Suspect, || Command::Suspect {
            site: look.name.clone(),
            holder: facts.holder.clone(),
            answers: facts.answers.clone(),
        });
    }

    /// Verdict recorder-lost: the candidate that sees cameras answer takes over.
    pub(super) fn activate(&mut self, look: &Look<'_>, facts: &Facts, says: &mut Says<'_>) {
        let (Some(round), Some(answers)) = (facts.round, facts.answers.clone()) else { return };
        if look.state.eligible(look.name, &answers.host).is_err() {
            return;
        }
        self.verdict(look, round, Finding::RecorderLost { answers }, says);
    }

    /// Verdict dark: the candidate is armed, unless this is one event of many.
    fn arm(&mut self, look: &Look<'_>, facts: &Facts, says: &mut Says<'_>) {
        let Some(round) = facts.round else { return };
        let done = match look.site.candidate() {
            Some(host) => look.site.life.standby() == Some(host),
            None => look.site.is_armed() || look.site.was_told_of(round),
        };
        if done || look.state.frozen().contains(look.name) || self.freeze(look, says) {
            return;
        }
        let host = look.site.candidate().filter(|host| look.state.eligible(look.name, host).is_ok()).cloned();
        self.verdict(look, round, Finding::Dark { host }, says);
    }

    fn verdict(&self, look: &Look<'_>, round: Round, finding: Finding, says: &mut Says<'_>) {
        says.propose(look.name, Wish::Verdict, || {
            Command::Verdict(Verdict {
                site: look.name.clone(),
                round,
                expected: look.site.epoch,
                proposer: self.me,
                finding,
            })
        });
    }

    /// If this site fell silent together with many, freezes those of them with no camera answering. Says
    /// whether it did, or just has.
    fn freeze(&mut self, look: &Look<'_>, says: &mut Says<'_>) -> bool {
        let (now, settings) = (look.now, &look.watch.settings);
        let silent = self.silent_sites(look);
        let mut fell: Vec<Boot> = silent.iter().map(|(_, at)| *at).collect();
        fell.sort_unstable();
        let Some(pivot) = silent.iter().find(|(site, _)| *site == look.name).map(|(_, at)| *at) else {
            return false;
        };
        let of = look.state.sites().values().filter(|site| !site.revoked).count();
        if !settings.correlation.is_one_event(pivot, &fell, of) {
            return false;
        }
        if self.freezing.is_some_and(|at| now.since(at) < settings.retry) {
            return true;
        }
        self.freezing = Some(now);
        let with_it = silent.iter().filter(|(_, at)| settings.correlation.near(*at, pivot));
        let dark = with_it.filter(|(site, _)| self.is_dark(look, site));
        let sites: BTreeSet<SiteId> = dark.map(|(site, _)| (*site).clone()).collect();
        says.propose(look.name, Wish::Freeze, || Command::Freeze { sites, of });
        true
    }

    /// Sites whose recorder is silent at home, with the instant of its last beat.
    fn silent_sites<'a>(&self, look: &Look<'a>) -> Vec<(&'a SiteId, Boot)> {
        let (now, timers) = (look.now, &look.watch.settings.timers);
        let at_home = look.state.sites().iter().filter(|(_, site)| !site.is_away() && !site.revoked);
        let known = at_home.filter_map(|(name, _)| Some((name, look.watch.sites.get(name)?)));
        known
            .filter(|(_, known)| !known.home.is_fresh(now, timers))
            .map(|(name, known)| (name, now - known.home.silent_for(now)))
            .collect()
    }

    fn is_dark(&self, look: &Look<'_>, site: &SiteId) -> bool {
        let known = look.watch.sites.get(site);
        known.is_some_and(|known| known.home.answers(look.now, &look.watch.settings.timers).is_none())
    }

    fn thaw(&mut self, look: &Look<'_>, says: &mut Says<'_>) {
        let sites = BTreeSet::from([look.name.clone()]);
        says.propose(look.name, Wish::Thaw, || Command::Thaw { sites, by: None });
    }

    /// What was planned: the standby takes over while the site may still record, if it can see cameras.
    fn take_over(&mut self, look: &Look<'_>, facts: &Facts, says: &mut Says<'_>) {
        let Some(answers) = &facts.answers else { return };
        if facts.unfit.is_some() || look.state.eligible(look.name, &answers.host).is_err() {
            return;
        }
        says.propose(look.name, Wish::TakeOver, || Command::TakeOver {
            site: look.name.clone(),
            expected: look.site.epoch,
            host: answers.host.clone(),
            ground: TakeOverGround::Planned,
        });
    }

    /// The standby records what stalls, at once; it stops when all has been well for a while.
    fn assist(&mut self, look: &Look<'_>, stalled: &BTreeSet<CameraId>, says: &mut Says<'_>) {
        let helped = &look.site.assisted;
        if stalled == helped {
            self.unsettled.remove(look.name);
            return;
        }
        let more = !stalled.is_subset(helped);
        let since = *self.unsettled.entry(look.name.clone()).or_insert(look.now);
        if !more && look.now.since(since) < look.watch.settings.assist_settle {
            return;
        }
        let cameras = if more { stalled.union(helped).cloned().collect() } else { stalled.clone() };
        let site = look.name.clone();
        says.propose(look.name, Wish::Assist, || Command::Assist { site, cameras });
    }
}
