//! Proposals that nobody should have made: apply() has to hold against them.
//!
//! A leader acts on what it believes, and belief may be early, late or of another reign; a proposal whose outcome
//! was unknown is made again and may be committed twice, long after. The real cores look before they propose,
//! so without this the guards of the log would hardly ever be asked.

use decide::Round;
use decide::control::{Command, Event as Happened, Finding, Verdict};

use super::HubIx;
use crate::event::Event;
use crate::node::SiteIx;
use crate::time::{ms, secs};
use crate::world::World;

impl World {
    /// A proposal may turn up a second time, much later, with whoever leads then.
    pub fn propose_again(&mut self, command: &Command) {
        if self.stage.chance.log.permille(self.stage.params.twice_permille) {
            let wait = self.stage.chance.log.span(ms(1), secs(20));
            self.stage.after(wait, Event::ProposedAgain { command: Box::new(command.clone()) });
        }
    }

    /// A round was opened: somebody may not wait for its outcome.
    pub fn hurry(&mut self, events: &[Happened]) {
        for event in events {
            let Happened::RoundOpened { site, .. } = event else { continue };
            for _ in 0..2 {
                if !self.stage.chance.log.permille(self.stage.params.hasty_permille) {
                    continue;
                }
                let site = self.names.site(site);
                let wait = self.stage.chance.log.span(ms(1), ms(3_000));
                self.stage.after(wait, Event::Hasty { site });
            }
            // The leader may lose its reign when the words are in, and the next one may believe in what it finds.
            if self.stage.chance.log.permille(self.stage.params.hasty_permille / 8) {
                let elected = self.stage.chance.log.span(ms(100), ms(1_000));
                self.stage.after(elected, Event::Elect { forced: true });
                let site = self.names.site(site);
                let wait = self.stage.chance.log.span(ms(1), ms(300));
                self.stage.after(elected + wait, Event::Hasty { site });
            }
        }
    }

    /// Proposes a verdict on the round that is open, or on the one before it.
    pub fn hasty_verdict(&mut self, site: SiteIx) {
        let name = self.names.sites[site.index()].clone();
        let Some(leader) = self.log.leader else { return };
        let state = self.newest_state();
        let Some(known) = state.site(&name) else { return };
        let Some(round) = known.round.as_ref().map(|open| open.round) else { return };
        let Some(host) = known.placement.as_ref().map(|host| self.names.node(host)) else { return };
        let expected = known.epoch;
        let Some(watching) = self.hub_of(host) else { return };
        let now = self.boot(host);
        let Some(prober) = self.hubs[watching.index()].probers.get(site.index()) else { return };
        let answers = prober.report(now);
        let earlier = self.stage.chance.log.permille(300);
        let round = if earlier { Round(round.0.saturating_sub(1)) } else { round };
        let finding = Finding::RecorderLost { answers };
        let proposer = HubIx(leader.0).id();
        self.propose_by_hand(Command::Verdict(Verdict { site: name, round, expected, proposer, finding }));
    }
}
