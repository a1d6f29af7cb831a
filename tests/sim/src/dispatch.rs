//! What happens when an event's time has come, and to whom: what was meant for a process that died is dropped,
//! what comes to a frozen one waits.

use crate::conn::End;
use crate::event::Event;
use crate::node::NodeIx;
use crate::place::PlaceIx;
use crate::reach::State;
use crate::vault::VaultIx;
use crate::world::World;

impl World {
    /// Whose process an event is for, and of which life, if it matters.
    fn addressee(&self, event: &Event) -> Option<(NodeIx, Option<u32>)> {
        let place = |ix: &PlaceIx| self.places[ix.index()].node;
        let vault = |ix: &VaultIx| self.vaults[ix.index()].node;
        match event {
            Event::Connect { place: ix, life, .. }
            | Event::Fragment { place: ix, life, .. }
            | Event::Synced { place: ix, life, .. }
            | Event::Commit { place: ix, life }
            | Event::Dial { place: ix, life }
            | Event::Beat { place: ix, life }
            | Event::EpochTold { place: ix, life, .. }
            | Event::Connected { place: ix, life, .. } => Some((place(ix), Some(*life))),
            Event::ProbeDone { hub, life, .. }
            | Event::Step { hub, life, .. }
            | Event::Wake { hub, life }
            | Event::Apply { hub, life, .. } => Some((self.hub_node(*hub), Some(*life))),
            Event::BeatArrives { hub, .. }
            | Event::AnswersArrive { hub, .. }
            | Event::Hint { to: hub, .. }
            | Event::Depose { hub, .. }
            | Event::QuorumLost { hub } => Some((self.hub_node(*hub), None)),
            Event::Effect { node, life, .. } => Some((*node, Some(*life))),
            Event::Journal { vault: ix, life }
            | Event::Index { vault: ix, life }
            | Event::Assembled { vault: ix, life, .. } => Some((vault(ix), Some(*life))),
            Event::ToHub { conn, .. } => Some((self.stage.conns[conn.0 as usize].hub_node, None)),
            Event::ToSite { conn, .. } => Some((self.stage.conns[conn.0 as usize].site_node, None)),
            Event::Idle { conn, end } => {
                let conn = &self.stage.conns[conn.0 as usize];
                Some((if *end == End::Site { conn.site_node } else { conn.hub_node }, None))
            }
            Event::Fault(_)
            | Event::Heal(_)
            | Event::Quiet
            | Event::Still
            | Event::Finish
            | Event::Start(_)
            | Event::Proposed { .. }
            | Event::ProposedAgain { .. }
            | Event::Hasty { .. }
            | Event::Commitment { .. }
            | Event::Elect { .. }
            | Event::LeaveJoint
            | Event::EffectArrives { .. }
            | Event::CamerasGiveUp { .. }
            | Event::TakeoverDue { .. } => None,
        }
    }

    /// Lets it happen.
    pub fn handle(&mut self, event: Event) {
        if let Some((node, life)) = self.addressee(&event) {
            let machine = self.stage.node_mut(node);
            if life.is_some_and(|life| !machine.up || machine.life != life) {
                return;
            }
            if machine.paused {
                return machine.deferred.push(event);
            }
        }
        match event {
            Event::Fault(index) => self.fault_begins(index),
            Event::Heal(index) => self.fault_ends(index),
            Event::Quiet => self.quiet(),
            Event::Still => self.still(),
            Event::Finish => self.finish(),
            Event::Start(node) => self.start_process(node),
            Event::Connect { place, stream, .. } => self.connect_camera(place, stream.into()),
            Event::Fragment { place, stream, session, .. } => {
                self.fragment_ends(place, stream.into(), session)
            }
            Event::Synced { place, stream, sync, .. } => {
                self.file_synced(place, stream.into(), sync.0, sync.1)
            }
            Event::Commit { place, .. } => self.commit_step(place),
            Event::Dial { place, .. } => self.dial(place),
            Event::Connected { place, hub_life, .. } => self.connected(place, hub_life),
            Event::ToHub { conn, lane } => {
                if let Some(message) = self.stage.arrives_up(conn, lane) {
                    self.hub_hears(conn, message);
                }
            }
            Event::ToSite { conn } => {
                if let Some(message) = self.stage.arrives_down(conn) {
                    self.site_hears(conn, message);
                }
            }
            Event::Idle { conn, end } => {
                if self.stage.is_idle(conn, end) {
                    let one_sided = self.stage.conns[conn.0 as usize].site_open
                        && self.stage.conns[conn.0 as usize].hub_open;
                    self.stage.reach.note_if(one_sided, State::OneSided);
                    match end {
                        End::Site => self.uplink_lost(conn),
                        End::Hub => self.downlink_lost(conn),
                    }
                }
            }
            Event::Beat { place, .. } => self.beat(place),
            Event::BeatArrives { hub, message } => self.beat_arrives(hub, &message),
            Event::EpochTold { place, told, .. } => self.epoch_told(place, told.0, told.1),
            Event::ProbeDone { hub, site, reached, .. } => self.probe_done(hub, site, reached),
            Event::AnswersArrive { hub, answers } => self.answers_arrive(hub, &answers),
            Event::Step { hub, site, .. } => self.next_camera(hub, site),
            Event::Wake { hub, .. } => self.woken(hub),
            Event::Hint { to, from, hint } => {
                self.with_core(to, |core, now, _| core.handle_hint(now, from.id(), &hint));
            }
            Event::Proposed { proposal } => self.proposed(proposal.0, proposal.1),
            Event::ProposedAgain { command } => self.propose_by_hand(*command),
            Event::Hasty { site } => self.hasty_verdict(site),
            Event::Commitment { term } => self.commitment(term),
            Event::Apply { hub, end, .. } => self.apply_log(hub, end),
            Event::Elect { forced } => self.elect(forced),
            Event::Depose { hub, term } => self.deposed(hub, term),
            Event::QuorumLost { hub } => self.quorum_lost(hub),
            Event::LeaveJoint => self.leave_joint(),
            Event::Effect { node, site, .. } => self.effect(node, site),
            Event::EffectArrives { node, site, epoch } => self.effect_arrives(node, site, *epoch),
            Event::CamerasGiveUp { node, life } => self.cameras_give_up(node, life),
            Event::TakeoverDue { site, died } => self.takeover_due(site, died),
            Event::Journal { vault, .. } => self.journal_synced(vault),
            Event::Index { vault, .. } => self.index_synced(vault),
            Event::Assembled { vault, assembly, .. } => self.assembled(vault, *assembly),
        }
    }
}
