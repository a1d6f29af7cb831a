//! The one loop that drives the core.

use std::collections::BTreeSet;
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use control_log::{Applied, ControlLog, Follow};
use decide::beat::{Arrival, Beat};
use decide::control::{Event, HostKind, Site, State};
use decide::detector::{Unfit, Vitals};
use decide::evidence::Answers;
use decide::quorum::{Node, Output};
use decide::{Boot, HostId, NodeId, PathId, SiteId};
use site_agent::retention;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::beside::Besides;
use super::proposals::Proposals;
use super::register::{Own, Register, home};
use super::told::Told;
use super::{Parts, Protections, Standings};
use crate::beats::{Beside, Heard, HeardReceiver};
use crate::drills::Mark;
use crate::peers::{Cast, HubPeers, To};
use crate::standby::StandbyHost;

/// On which way beats of virtual servers at hub nodes come.
const AMONG_NODES: &str = "hub";

/// Between two looks at how well cameras are protected, which are for people.
const SHOW: Duration = Duration::from_secs(1);
/// The control log's disk is looked at so often.
const LOOK: Duration = Duration::from_millis(500);
/// Whoever leads tells the other nodes so many verdicts again in this time, one site after the other: a node that was
/// not there when one changed knows it after a while.
const RETELL: Duration = Duration::from_secs(1);
const RETOLD: usize = 64;
/// What is heard is gathered for so long, then looked at together: thousands of sites beat twice a second, and each look
/// costs about the same whatever it finds.
const GATHER: Duration = Duration::from_millis(5);

/// Decides until `cancel`, or until the log is closed; then ends what is recorded here.
pub(super) async fn run(
    parts: Parts,
    (told, shown): (Arc<Told>, watch::Sender<Protections>),
    main: Handle,
    cancel: CancellationToken,
) {
    let Parts {
        me,
        host,
        log,
        peers,
        mut casts,
        mut heard,
        standby,
        mut facts,
        policy,
        standings,
        marks,
        clock,
        settings,
    } = parts;
    let (standby, outputs) = standby.unzip();
    let (mut answers, mut beats) = outputs.map(|outputs| (outputs.answers, outputs.beats)).unzip();
    let full = standby.is_some();
    let mut task = Task {
        node: Node::new(me, settings, boot(), wire::clock::seed()),
        register: Register::new(Own { node: me, host: host.clone(), full, policy }),
        drilled: log.state().sites().values().any(|site| site.drill.is_some()),
        state: log.state(),
        proposals: Proposals::new(log.clone(), main.clone()),
        handing_over: HandingOver { main, under_way: Arc::default() },
        leader: None,
        me,
        host,
        peers,
        standby,
        standings,
        besides: Besides::default(),
        marks,
        clock,
        revoked: BTreeSet::new(),
        told,
        shown,
        shown_at: Boot(0),
        retold: None,
        retold_at: Boot(0),
    };
    task.cut_revoked();
    let mut follow: Follow = log.follow();
    let (mut leadership, mut members) = (log.leadership(), log.members());
    leadership.mark_changed();
    members.mark_changed();
    let mut looks = tokio::time::interval(LOOK);
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut looked_at = wire::clock::now();
    loop {
        task.carry_out();
        tokio::select! {
            first = gathered(&mut heard, looked_at + GATHER) => {
                task.heard(&first);
                while let Some(more) = heard.try_recv() {
                    task.heard(&more);
                }
                looked_at = wire::clock::now();
            }
            Some((from, cast)) = casts.recv() => task.cast(from, cast),
            seen = next(&mut answers) => task.seen(seen),
            (site, beat) = next(&mut beats) => task.own_beat(site, beat),
            Some(known) = facts.recv() => task.register.heard(known),
            applied = follow.next() => match applied {
                Some(applied) => task.applied(applied),
                None => break,
            },
            Ok(()) = leadership.changed() => {
                let now = *leadership.borrow_and_update();
                task.leader = now.leader;
                task.node.handle_leadership(boot(), now.mine);
            }
            Ok(()) = members.changed() => task.standings.members(members.borrow_and_update().clone()),
            _ = looks.tick() => task.look_at_disk(&log),
            () = tokio::time::sleep(task.pause()) => task.timeout(),
            () = cancel.cancelled() => break,
        }
    }
    if let Some(standby) = task.standby {
        standby.stop().await;
    }
}

/// What was heard first, once there has been time for more.
async fn gathered(heard: &mut HeardReceiver, ready: Instant) -> Heard {
    tokio::time::sleep_until(ready.into()).await;
    heard.recv().await
}

/// What comes out next; never, of a part that this node doesn't have or that has ended.
async fn next<T>(receiver: &mut Option<mpsc::Receiver<T>>) -> T {
    match receiver {
        Some(receiver) => match receiver.recv().await {
            Some(item) => item,
            None => pending().await,
        },
        None => pending().await,
    }
}

struct Task {
    node: Node,
    register: Register,
    state: Arc<State>,
    proposals: Proposals,
    handing_over: HandingOver,
    leader: Option<NodeId>,
    me: NodeId,
    host: HostId,
    peers: HubPeers,
    standby: Option<StandbyHost>,
    standings: Arc<Standings>,
    besides: Besides,
    marks: mpsc::Sender<Mark>,
    /// Whether this machine's clock is to be believed.
    clock: Arc<retention::Status>,
    /// Nodes that are trusted no more.
    revoked: BTreeSet<String>,
    /// Was anything rehearsed until just now?
    drilled: bool,
    told: Arc<Told>,
    shown: watch::Sender<Protections>,
    shown_at: Boot,
    /// The site whose verdict was told again last, and when.
    retold: Option<SiteId>,
    retold_at: Boot,
}

impl Task {
    fn heard(&mut self, heard: &Heard) {
        let now = boot();
        match heard {
            Heard::Beat { site, arrival, beat } => {
                // A site that the log doesn't know yet has nobody to decide over.
                let Some(home) = self.state.site(site).map(|known| known.spec.home.clone()) else { return };
                self.node.handle_beat(now, site, &home, arrival, beat);
                if let Some(standby) = &self.standby {
                    standby.handle_home_beat(site);
                }
            }
            Heard::Beside { machine, arrival, said } => self.beside(now, machine, arrival, said),
            Heard::Bye { site, origin, bye } => self.node.handle_bye(now, site, *origin, *bye),
            Heard::Holds { site, digest } => self.register.keeps(site.clone(), *digest),
        }
    }

    /// A site's machine says what it does for other sites that named it.
    fn beside(&mut self, now: Boot, machine: &SiteId, arrival: &Arrival, said: &[Beside]) {
        let Some(host) = home(machine) else { return };
        let state = self.state.clone();
        let named = |one| -> Option<(&Beside, &Site)> {
            let one: &Beside = one;
            Some((one, state.site(&one.site).filter(|site| site.neighbours.contains(&host))?))
        };
        let said: Vec<_> = said.iter().filter_map(named).collect();
        if said.is_empty() {
            return;
        }
        let Some(way) = self.besides.heard(now, &host, arrival) else { return };
        for (one, site) in said {
            if state.watches(&one.site, &host) {
                let answers = self.besides.answers(now, (&one.site, site), &host, &way, one);
                self.node.handle_answers(now, &answers);
                self.show(now);
            }
            if let Some(beat) = &one.beat {
                self.node.handle_beat(now, &one.site, &host, arrival, beat);
                self.standings.recorded(&one.site, self.node.recorded_away(&one.site));
            }
        }
    }

    /// Another node said something. It speaks for its own host only.
    fn cast(&mut self, from: NodeId, cast: Cast) {
        match cast {
            Cast::Hint(hint) => self.node.handle_hint(boot(), from, &hint),
            Cast::Answers(answers) if self.is_host_of(&answers.host, from) => {
                self.node.handle_answers(boot(), &answers);
            }
            Cast::Beat { site, host, beat } if self.is_host_of(&host, from) => {
                self.standby_beat(&site, &host, &beat);
            }
            Cast::Telling(telling) if self.leader == Some(from) => self.told.telling(*telling),
            Cast::Telling(_) => {} // of somebody who led until just now
            Cast::Answers(_) | Cast::Beat { .. } => {
                tracing::warn!(%from, "it spoke for another host: not heard")
            }
        }
    }

    fn is_host_of(&self, host: &HostId, node: NodeId) -> bool {
        self.state.hosts().get(host).is_some_and(|known| known.spec.kind == HostKind::Node(node))
    }

    /// The host here saw a site's cameras, or didn't.
    fn seen(&mut self, answers: Answers) {
        let now = boot();
        self.node.handle_answers(now, &answers);
        self.show(now);
        // A host that would not learn that it is to record is no candidate.
        if self.node.unfit(now).is_none() {
            self.peers.cast(To::All, &Cast::Answers(answers));
        }
    }

    fn show(&mut self, now: Boot) {
        if now.since(self.shown_at) >= SHOW {
            self.shown_at = now;
            let mut protection = self.standby.as_ref().map(StandbyHost::protection).unwrap_or_default();
            protection.extend(self.besides.protection().map(|(camera, how)| (camera.clone(), how)));
            self.shown.send_replace(Arc::new(protection));
        }
    }

    /// A virtual server that runs here is well.
    fn own_beat(&mut self, site: SiteId, beat: Beat) {
        self.standby_beat(&site, &self.host.clone(), &beat);
        self.peers.cast(To::All, &Cast::Beat { site, host: self.host.clone(), beat });
    }

    fn standby_beat(&mut self, site: &SiteId, host: &HostId, beat: &Beat) {
        self.node.handle_beat(boot(), site, host, &among_nodes(), beat);
        self.standings.recorded(site, self.node.recorded_away(site));
    }

    fn applied(&mut self, applied: Applied) {
        let Applied { index, state, events } = applied;
        self.told.applied(index, &events);
        self.standings.applied(state.clone());
        if let Some(standby) = &self.standby {
            standby.handle_state(state.clone());
        }
        self.besides.applied(&state);
        self.mark(&state, &events);
        self.node.handle_applied(boot(), &state, &events);
        self.state = state;
        self.cut_revoked();
        for event in events.iter() {
            if let Event::NewPasswords { site, needed: true } = event {
                tracing::error!(%site, "its cameras need new passwords: a node that is revoked may have theirs");
            }
        }
    }

    /// Has nothing to do any more with nodes that are trusted no more.
    fn cut_revoked(&mut self) {
        let revoked: BTreeSet<_> = self.state.revoked_nodes().map(ToString::to_string).collect();
        if revoked == self.revoked {
            return;
        }
        for node in revoked.difference(&self.revoked) {
            match node == self.host.as_str() {
                true => {
                    tracing::error!("this node is revoked, for ever: the others and its sites are leaving it")
                }
                false => tracing::warn!(node, "a hub node is revoked: its connections end"),
            }
        }
        self.peers.revoke(revoked.clone());
        self.revoked = revoked;
    }

    /// A node whose disk hangs decides nothing and learns of nothing that is decided: it lets another lead.
    fn look_at_disk(&mut self, log: &ControlLog) {
        let (now, disk) = (boot(), log.slowest_write());
        let was = self.node.unfit(now);
        self.node.handle_vitals(now, Vitals { lag: Duration::ZERO, disk, canaries: (0, 0) });
        let Some(Unfit::Disk(slow)) = self.node.unfit(now) else { return };
        if was.is_none() {
            tracing::error!(
                ?slow,
                "the control log's disk is slow: this node abstains, and lets others lead and stand by"
            );
        }
        if self.leader == Some(self.me) {
            self.handing_over.begin(log);
        }
    }

    /// Tells who follows drills what was applied, while anything is rehearsed.
    fn mark(&mut self, state: &Arc<State>, events: &Arc<[Event]>) {
        let drilled: Vec<_> =
            state.sites().iter().filter(|(_, site)| site.drill.is_some()).map(|(name, _)| name).collect();
        if std::mem::replace(&mut self.drilled, !drilled.is_empty()) || self.drilled {
            let (wall, now) = (wire::clock::wall(), boot());
            let last_beat =
                |name: &&SiteId| Some(((*name).clone(), wall - now.since(self.node.last_beat(name)?)));
            let last_beats = drilled.iter().filter_map(last_beat).collect();
            let mark = Mark { at: wall, state: state.clone(), events: events.clone(), last_beats };
            if self.marks.try_send(mark).is_err() {
                tracing::warn!("who follows drills is too slow: the report misses something");
            }
        }
    }

    fn timeout(&mut self) {
        let now = boot();
        if now >= self.node.poll_timeout() {
            self.node.handle_timeout(now, &self.state);
        }
    }

    /// Until something may be to do.
    fn pause(&self) -> Duration {
        self.node.poll_timeout().min(self.register.poll_timeout()).since(boot())
    }

    fn carry_out(&mut self) {
        for command in self.register.look(boot(), self.clock.trusted_wall(), &self.state) {
            self.proposals.put(command);
        }
        while let Some(output) = self.node.poll_output() {
            match output {
                Output::Propose(command) => self.proposals.put(command),
                Output::Hint(hint) => match self.leader {
                    Some(leader) if leader == self.me => self.node.handle_hint(boot(), self.me, &hint),
                    Some(leader) => self.peers.cast(To::Node(leader), &Cast::Hint(hint)),
                    None => {}
                },
                // Sites don't relay for each other yet.
                Output::AskPeers { .. } => {}
                Output::Told(telling) => {
                    self.told.telling((*telling).clone());
                    self.peers.cast(To::All, &Cast::Telling(telling));
                }
            }
        }
        self.retell();
    }

    fn retell(&mut self) {
        let now = boot();
        if self.leader != Some(self.me) || now.since(self.retold_at) < RETELL {
            return;
        }
        self.retold_at = now;
        let next = self.told.verdicts_after(self.retold.as_ref(), RETOLD);
        self.retold = next.last().map(|telling| telling.site.clone());
        next.into_iter().for_each(|telling| self.peers.cast(To::All, &Cast::Telling(Box::new(telling))));
    }
}

/// Lets another node lead, one attempt at a time.
struct HandingOver {
    main: Handle,
    under_way: Arc<AtomicBool>,
}

impl HandingOver {
    fn begin(&self, log: &ControlLog) {
        if self.under_way.swap(true, Ordering::Relaxed) {
            return;
        }
        let (log, under_way) = (log.clone(), self.under_way.clone());
        self.main.spawn(async move {
            log.hand_over().await;
            under_way.store(false, Ordering::Relaxed);
        });
    }
}

fn among_nodes() -> Arrival {
    Arrival::Direct(PathId::new(AMONG_NODES).unwrap_or_else(|_| unreachable!("a slug")))
}

fn boot() -> Boot {
    Boot(wire::clock::boot_us())
}
