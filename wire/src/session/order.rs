//! Whose bytes go next, of all that are wanted, and how many are under way at once.
//!
//! What the hub asked for goes first, beside what is under way already. Of the rest: what whoever foretells what
//! retention destroys has given a turn, in that order; then, for what it did not speak of, the higher priority, then what
//! is oldest, ledgers of ended runs before others. Equals take turns, by how much of each is under way.

use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};

use super::ledger::Ledger;
use crate::id::{LedgerId, Seq};

/// Segments under way as backlog.
#[derive(Debug, Default)]
pub(super) struct Jobs {
    asked: usize,
    others: usize,
    turns: VecDeque<(LedgerId, Seq)>,
}

impl Jobs {
    /// Is none under way?
    pub(super) fn is_idle(&self) -> bool {
        self.asked + self.others == 0
    }

    /// This is to go next, the first first; what was said before counts no more.
    pub(super) fn set_turns(&mut self, turns: VecDeque<(LedgerId, Seq)>) {
        self.turns = turns;
    }

    /// The next segment to be sent, and whether it was asked for; it is under way from now on. `most` is how many may
    /// be, of either kind; `window` says whether those of scheduled streams may.
    pub(super) fn next(
        &mut self,
        ledgers: &mut BTreeMap<LedgerId, Ledger>,
        (most, window): (usize, bool),
    ) -> Option<(LedgerId, u64, bool)> {
        if self.asked < most
            && let Some((ledger, seq)) = first(ledgers, Ledger::asked)
        {
            self.asked += 1;
            begin(ledgers, &ledger, seq, true);
            return Some((ledger, seq, true));
        }
        if self.others >= most {
            return None;
        }
        let turn = self.turn(ledgers, window);
        let (ledger, seq) = turn.or_else(|| first(ledgers, |view| view.wanted(window)))?;
        self.others += 1;
        begin(ledgers, &ledger, seq, false);
        Some((ledger, seq, false))
    }

    /// The first that has a turn and is still to be sent.
    fn turn(&mut self, ledgers: &BTreeMap<LedgerId, Ledger>, window: bool) -> Option<(LedgerId, u64)> {
        while let Some((ledger, Seq(seq))) = self.turns.pop_front() {
            if ledgers.get(&ledger).is_some_and(|view| view.wants(seq, window)) {
                return Some((ledger, seq));
            }
        }
        None
    }

    /// One is not under way any more.
    pub(super) fn done(&mut self, view: &mut Ledger, seq: u64) {
        let jobs = if view.rushed.contains(seq) { &mut self.asked } else { &mut self.others };
        *jobs = jobs.saturating_sub(1);
        for set in [&mut view.under_way, &mut view.rushed] {
            set.remove(seq..seq + 1);
        }
    }
}

/// The first of what each ledger would send.
fn first(
    ledgers: &BTreeMap<LedgerId, Ledger>,
    of: impl Fn(&Ledger) -> Option<u64>,
) -> Option<(LedgerId, u64)> {
    ledgers
        .values()
        .filter_map(|view| of(view).map(|seq| (view, seq)))
        .min_by_key(|(view, seq)| {
            (Reverse(view.policy.priority), !view.facts.ended, view.under_way.len(), *seq)
        })
        .map(|(view, seq)| (view.facts.ledger.clone(), seq))
}

fn begin(ledgers: &mut BTreeMap<LedgerId, Ledger>, ledger: &LedgerId, seq: u64, asked: bool) {
    let Some(view) = ledgers.get_mut(ledger) else { return };
    view.under_way.insert_one(seq);
    if asked {
        view.rushed.insert_one(seq);
    }
}
