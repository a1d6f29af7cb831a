//! Rounds: asked, answered, closed, and what may follow from one.

use std::collections::BTreeSet;

use super::{Applied, Call, Closed, Event, Mutant, Refusal, Site, Stamp, State, close, go};
use crate::beat::Arrival;
use crate::control::command::{Finding, Verdict};
use crate::control::state::OpenRound;
use crate::control::why::{Ground, Silence, Why};
use crate::detector::Quiet;
use crate::epoch::Round;
use crate::evidence::Answers;
use crate::ids::{HostId, NodeId, SiteId};
use crate::standby::{Life, Mode};

impl State {
    pub(super) fn suspect(
        &mut self,
        at: Stamp,
        name: &SiteId,
        holder: &HostId,
        answers: Option<&Answers>,
    ) -> Applied {
        let site = self.site_mut(name)?;
        if site.holder() != holder {
            let holder_now = site.holder().clone();
            return Err(Refusal::NotTheHolder {
                site: name.clone(),
                asked: holder.clone(),
                holder: holder_now,
            });
        }
        if let Some(open) = site.round.as_ref().filter(|open| open.term == at.term) {
            return Err(Refusal::RoundOpen(open.round));
        }
        let mut events: Vec<Event> = close(name, site, Closed::Superseded).into_iter().collect();
        let round = Round(at.index);
        let (term, asked) = (at.term, holder.clone());
        site.round = Some(OpenRound { round, term, holder: asked.clone(), silent: Default::default() });
        if site.life == Life::Home {
            events.push(go(name, site, Life::Suspect)?);
        }
        let answers = answers.cloned().map(Box::new);
        events.push(Event::RoundOpened { site: name.clone(), round, holder: asked, answers });
        Ok(events)
    }

    pub(super) fn silent(&mut self, name: &SiteId, round: Round, voter: NodeId, quiet: Quiet) -> Applied {
        self.node_ok(voter)?;
        let any_round = self.rules.enabled(Mutant::StaleRound);
        let site = self.site_mut(name)?;
        let open = site.round.as_mut().filter(|open| open.round == round || any_round);
        let open = open.ok_or(Refusal::NoRound(round))?;
        if open.silent.insert(voter, quiet).is_some() {
            return Err(Refusal::AlreadySo);
        }
        Ok(Vec::new())
    }

    pub(super) fn heard(&mut self, name: &SiteId, round: Round, voter: NodeId, arrival: &Arrival) -> Applied {
        self.node_ok(voter)?;
        let ignored = self.rules.enabled(Mutant::HealRace);
        let site = self.site_mut(name)?;
        if ignored || site.round.as_ref().is_none_or(|open| open.round != round) {
            return Err(Refusal::NoRound(round));
        }
        let closed = Closed::Heard { by: voter, arrival: arrival.clone() };
        let mut events: Vec<Event> = close(name, site, closed).into_iter().collect();
        // Authority never left home: there is nothing to give back. Anywhere else the life goes on as it was:
        // it was the standby's recorder that was asked about.
        if site.life == Life::Suspect || site.is_armed() {
            events.push(go(name, site, Life::Home)?);
        }
        self.frozen.remove(name);
        Ok(events)
    }

    pub(super) fn verdict(&mut self, at: Stamp, verdict: &Verdict) -> Applied {
        let name = &verdict.site;
        let site = self.site_ok(name)?;
        let silence = self.silence(at, site, verdict)?;
        self.expect_epoch(site, verdict.expected)?;
        match &verdict.finding {
            Finding::RecorderLost { answers } => self.recorder_lost(at, name, answers, silence),
            Finding::Dark { host } => self.dark(at, name, host.as_ref(), silence),
        }
    }

    /// What the round brought, if it is open, of this term, and a majority of the configured voters said
    /// Silent in it.
    fn silence(&self, at: Stamp, site: &Site, verdict: &Verdict) -> Result<Silence, Refusal> {
        let any_round = self.rules.enabled(Mutant::StaleRound);
        let open = site.round.as_ref().filter(|open| open.round == verdict.round || any_round);
        let open = open.ok_or(Refusal::NoRound(verdict.round))?;
        if open.term != at.term && !any_round {
            return Err(Refusal::StaleTerm { round: open.round, opened: open.term, now: at.term });
        }
        let mut said = self.who_count(open);
        if self.rules.enabled(Mutant::ProposerCounts) {
            said.insert(verdict.proposer);
        }
        let tallies = self.membership.count(&said);
        let one_is_enough = self.rules.enabled(Mutant::Majority) && !said.is_empty();
        if !self.membership.is_majority(&said) && !one_is_enough {
            return Err(Refusal::NoMajority(tallies));
        }
        Ok(Silence {
            round: open.round,
            holder: open.holder.clone(),
            silent: open.silent.clone(),
            tallies,
            proposer: verdict.proposer,
            answers: None,
        })
    }

    /// The voters whose word counts: at this index, not when they spoke.
    fn who_count(&self, open: &OpenRound) -> BTreeSet<NodeId> {
        let counts = |node: &NodeId| self.nodes.get(node).is_some_and(|node| !node.removed);
        open.voters().into_iter().filter(counts).collect()
    }

    fn recorder_lost(&mut self, at: Stamp, name: &SiteId, answers: &Answers, silence: Silence) -> Applied {
        if answers.site != *name || !answers.any() {
            return Err(Refusal::NoAnswers(name.clone()));
        }
        let host = &answers.host;
        self.eligible_anew(name, host)?;
        let ground = Ground::Silence(Silence { answers: Some(answers.clone()), ..silence });
        self.move_authority(at, name, host, ground)
    }

    /// Arms a host, or tells that there is none. Authority stays where it was, and so does the epoch: an
    /// isolated site's effects are good when it comes back.
    fn dark(&mut self, at: Stamp, name: &SiteId, host: Option<&HostId>, silence: Silence) -> Applied {
        if self.frozen.contains(name) {
            return Err(Refusal::Frozen(name.clone()));
        }
        match host {
            Some(host) => self.eligible(name, host)?,
            None if self.site_ok(name)?.was_told_of(silence.round) => return Err(Refusal::AlreadySo),
            None => {}
        }
        let site = self.site_mut(name)?;
        let epoch = site.epoch;
        let why = Why {
            index: at.index,
            term: at.term,
            stamped: at.time,
            before: epoch,
            after: epoch,
            ground: Ground::Silence(silence),
        };
        let mut events = Vec::new();
        match host {
            Some(host) if site.is_armed() && site.life.standby() == Some(host) => {
                return Err(Refusal::AlreadySo);
            }
            Some(host) => {
                let armed = Life::Standby { epoch, host: host.clone(), mode: Mode::Armed };
                events.push(go(name, site, armed)?);
            }
            None => events.push(Event::CallPerson(Call::Unprotected { site: name.clone() })),
        }
        let why = Box::new(why);
        site.why = Some(why.clone());
        events.push(Event::Armed { site: name.clone(), host: host.cloned(), why });
        Ok(events)
    }
}
