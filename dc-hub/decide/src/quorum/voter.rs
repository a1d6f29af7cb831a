//! A voter's side: it answers rounds from what it hears itself, and says so when it hears nothing though
//! nobody asks.

use rand::RngCore;

use super::output::{Hint, Output};
use super::retry::{Retry, Wish};
use super::watch::Watch;
use crate::beat::Arrival;
use crate::control::{Command, OpenRound, Plan, Site, State};
use crate::ids::{NodeId, SiteId};
use crate::time::Boot;

/// Looks at one site, and utters what a voter has to.
pub(super) fn look(
    (me, now): (NodeId, Boot),
    (name, site): (&SiteId, &Site),
    state: &State,
    watch: &mut Watch,
    (retry, random): (&mut Retry, &mut dyn RngCore),
    out: &mut Vec<Output>,
) {
    if site.revoked || !state.membership().contains(me) {
        return;
    }
    declare(now, (name, site), watch, retry, out);
    ask_peers(now, name, watch, random, out);
    match &site.round {
        Some(open) => answer((me, now), (name, open), watch, retry, out),
        None => hint(now, (name, site), watch, retry, out),
    }
}

/// A beat came after the round was applied here: whatever else is known, the round is to be closed.
pub(super) fn heard(
    (me, now): (NodeId, Boot),
    name: &SiteId,
    watch: &Watch,
    retry: &mut Retry,
) -> Option<Output> {
    let asked = watch.sites.get(name)?.asked.as_ref()?;
    let arrival = asked.heard.clone()?;
    retry.due(now, watch.settings.retry, name, Wish::Heard).then(|| {
        Output::Propose(Command::Heard { site: name.clone(), round: asked.round, voter: me, arrival })
    })
}

fn answer(
    (me, now): (NodeId, Boot),
    (name, open): (&SiteId, &OpenRound),
    watch: &Watch,
    retry: &mut Retry,
    out: &mut Vec<Output>,
) {
    if let Some(heard) = heard((me, now), name, watch, retry) {
        out.push(heard);
        return;
    }
    if watch.fitness.unfit(now).is_some() {
        return;
    }
    let (timers, every) = (&watch.settings.timers, watch.settings.retry);
    let Some(known) = watch.sites.get(name) else { return };
    if known.asked.as_ref().is_none_or(|asked| asked.heard.is_some()) {
        return;
    }
    let Some(detector) = known.detector(&open.holder) else { return };
    let quiet = detector.quiet(now, timers);
    let Some(quiet) = quiet else { return };
    if !open.silent.contains_key(&me) && retry.due(now, every, name, Wish::Silent) {
        let (site, round) = (name.clone(), open.round);
        out.push(Output::Propose(Command::Silent { site, round, voter: me, quiet }));
    }
}

/// The home is silent here: other sites may hear it. Asked before the silence means anything, so that their
/// answer is there in time.
fn ask_peers(now: Boot, name: &SiteId, watch: &mut Watch, random: &mut dyn RngCore, out: &mut Vec<Output>) {
    let (timers, again) = (&watch.settings.timers, watch.settings.nonce_again);
    let Some(known) = watch.sites.get_mut(name) else { return };
    let asked = known.nonce.is_some_and(|(_, at)| now.since(at) < again);
    let direct = matches!(known.home.arrival(), Some(Arrival::Direct(_))) && known.home.is_fresh(now, timers);
    if asked || direct || known.home.silent_for(now) < timers.ask_peers && known.nonce.is_none() {
        return;
    }
    let nonce = random.next_u64();
    known.nonce = Some((nonce, now));
    out.push(Output::AskPeers { site: name.clone(), nonce });
}

/// Nobody asks, and the recorder is silent here: whoever leads may not know.
fn hint(now: Boot, (name, site): (&SiteId, &Site), watch: &Watch, retry: &mut Retry, out: &mut Vec<Output>) {
    let Some(detector) = watch.sites.get(name).and_then(|known| known.detector(site.holder())) else {
        return;
    };
    if watch.fitness.unfit(now).is_none()
        && detector.quiet(now, &watch.settings.timers).is_some()
        && retry.due(now, watch.settings.tick, name, Wish::Hint)
    {
        out.push(Output::Hint(Hint::Silent { site: name.clone(), holder: site.holder().clone() }));
    }
}

/// Puts a goodbye into the log, and takes it out again when another run beats.
fn declare(
    now: Boot,
    (name, site): (&SiteId, &Site),
    watch: &mut Watch,
    retry: &mut Retry,
    out: &mut Vec<Output>,
) {
    let (timers, every) = (&watch.settings.timers, watch.settings.retry);
    let Some(known) = watch.sites.get_mut(name) else { return };
    let plan = match (&known.bye, &site.plan) {
        (Some(_), Some(_)) => {
            known.bye = None;
            return;
        }
        (Some((origin, bye)), None) => Some(Plan::Bye { origin: *origin, bye: *bye }),
        (None, Some(Plan::Bye { origin, .. }))
            if known.home.is_fresh(now, timers) && known.home.origin() != Some(*origin) =>
        {
            None
        }
        _ => return,
    };
    if retry.due(now, every, name, Wish::Declare) {
        out.push(Output::Propose(Command::Declare { site: name.clone(), plan }));
    }
}
