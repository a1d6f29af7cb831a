//! What a hub tells a site of ledgers that the site hasn't got, or not all of: those the hub's standbys wrote, what it
//! salvaged, and, for a box that was replaced, what earlier runs at the site wrote.
//!
//! Entries only, in order, ledger by ledger. What the site then wants of the bytes it fetches by itself. If both sides'
//! digests agree nothing is listed; else the site lists what it knows. The hub goes on telling what is added for as long
//! as the stream lasts. Pure: no clock, no archive.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use crate::chain::Head;
use crate::id::{LedgerId, NameError, Seq};
use crate::proto;

use super::settled::{Digest, Names, Settled};

/// Ledgers in one Recall: keeps the message far below the frame limit.
const LEDGERS_MAX: usize = 1000;
/// Entries told in one step.
const ENTRIES_MAX: u64 = 512;

/// What a side knows: each ledger's head, in one.
pub fn digest<'a>(ledgers: impl IntoIterator<Item = (&'a LedgerId, Head)>) -> Digest {
    let mut all = Settled::default();
    ledgers.into_iter().for_each(|(ledger, head)| all.insert(ledger, &head));
    all.digest()
}

/// What a site says that it knows, once it is asked; the last message says so.
pub fn known(ledgers: &[(LedgerId, Seq)]) -> Vec<proto::Recall> {
    let one = |ledgers: &[(LedgerId, Seq)]| {
        let mut names = Names::default();
        let state = |(ledger, next): &(LedgerId, Seq)| proto::RecallState {
            ledger: Some(names.write(ledger)),
            next: next.0,
        };
        proto::Recall { known: ledgers.iter().map(state).collect(), ..Default::default() }
    };
    let mut messages: Vec<_> = ledgers.chunks(LEDGERS_MAX).map(one).collect();
    if messages.is_empty() {
        messages.push(proto::Recall::default());
    }
    if let Some(last) = messages.last_mut() {
        last.last = true;
    }
    messages
}

/// What is to be told next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Of which ledger.
    pub ledger: LedgerId,
    /// Is this the first that is told of it? Then what it is comes before its entries.
    pub new: bool,
    /// Which entries.
    pub seqs: Range<u64>,
}

/// The hub's side.
#[derive(Debug, Default)]
pub struct Teller {
    ledgers: BTreeMap<LedgerId, Told>,
    /// Those of which there is more to tell.
    due: BTreeSet<LedgerId>,
}

#[derive(Debug, Default)]
struct Told {
    /// Entries there are.
    next: u64,
    /// Entries the site has, or was told.
    told: u64,
    /// Was the site told what the ledger is?
    named: bool,
}

impl Teller {
    /// The site says what it knows. What is not the hub's to tell of is left alone, and costs nothing.
    pub fn knows(&mut self, recall: &proto::Recall) -> Result<(), NameError> {
        let mut names = Names::default();
        for state in &recall.known {
            let ledger = names.read(state.ledger.as_ref())?;
            if let Some(told) = self.ledgers.get_mut(&ledger) {
                told.told = told.told.max(state.next);
                told.named = true;
                if told.told >= told.next {
                    self.due.remove(&ledger);
                }
            }
        }
        Ok(())
    }

    /// The site knows all that there is.
    pub fn knows_all(&mut self) {
        for told in self.ledgers.values_mut() {
            told.told = told.next;
            told.named = true;
        }
        self.due.clear();
    }

    /// A ledger has so many entries. It may be a new one.
    pub fn grown(&mut self, ledger: LedgerId, next: Seq) {
        let told = self.ledgers.entry(ledger.clone()).or_default();
        told.next = told.next.max(next.0);
        if told.told < told.next {
            self.due.insert(ledger);
        }
    }

    /// What is to be told now, if anything.
    pub fn next_step(&mut self) -> Option<Step> {
        let ledger = self.due.first().cloned()?;
        let told = self.ledgers.get_mut(&ledger)?;
        let seqs = told.told..told.next.min(told.told + ENTRIES_MAX);
        let new = !std::mem::replace(&mut told.named, true);
        told.told = seqs.end;
        if told.told >= told.next {
            self.due.remove(&ledger);
        }
        Some(Step { ledger, new, seqs })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::id::OriginId;

    fn ledger(run: u8) -> LedgerId {
        LedgerId { origin: OriginId([run; 16]), stream: "till-1/main".parse().unwrap() }
    }

    fn steps(teller: &mut Teller) -> Vec<Step> {
        std::iter::from_fn(|| teller.next_step()).collect()
    }

    #[test]
    fn who_knows_nothing_is_told_everything_in_order() {
        let mut teller = Teller::default();
        teller.grown(ledger(1), Seq(1000));
        teller.grown(ledger(2), Seq(3));
        known(&[]).iter().for_each(|recall| teller.knows(recall).unwrap());
        let step = |run, new, seqs| Step { ledger: ledger(run), new, seqs };
        assert_eq!(
            steps(&mut teller),
            [step(1, true, 0..512), step(1, false, 512..1000), step(2, true, 0..3)]
        );
        teller.grown(ledger(2), Seq(5));
        assert_eq!(steps(&mut teller), [step(2, false, 3..5)]);
    }

    #[test]
    fn a_site_that_knows_more_is_told_nothing() {
        let mut teller = Teller::default();
        teller.grown(ledger(1), Seq(3));
        known(&[(ledger(1), Seq(7)), (ledger(9), Seq(2))]).iter().for_each(|r| teller.knows(r).unwrap());
        assert!(steps(&mut teller).is_empty());
        teller.grown(ledger(1), Seq(8));
        assert_eq!(steps(&mut teller).len(), 1, "but what comes then");
    }

    #[test]
    fn digests_say_whether_anything_is_to_be_listed() {
        let heads = |next: u8| [(ledger(1), Head([next; 32])), (ledger(2), Head([7; 32]))];
        let of = |heads: &[(LedgerId, Head)]| digest(heads.iter().map(|(ledger, head)| (ledger, *head)));
        assert_eq!(of(&heads(1)), of(&heads(1)));
        assert_ne!(of(&heads(1)), of(&heads(2)));
        assert_ne!(of(&heads(1)), of(&heads(1)[..1]));
    }

    proptest! {
        /// Whatever a site knows, it is told the rest once, in order, with a name before the first entry of each it
        /// has never heard of; and what grows meanwhile too.
        #[test]
        fn what_is_told_and_what_was_known_are_all(
            there in proptest::collection::btree_map(0u8..40, 0u64..1500, 0..20),
            knows in proptest::collection::btree_map(0u8..40, 0u64..1500, 0..20),
            grows in proptest::collection::vec((0u8..40, 0u64..1500), 0..20),
        ) {
            let mut teller = Teller::default();
            there.iter().for_each(|(run, next)| teller.grown(ledger(*run), Seq(*next)));
            let list: Vec<_> = knows.iter().map(|(run, next)| (ledger(*run), Seq(*next))).collect();
            for recall in known(&list) {
                teller.knows(&recall).unwrap();
            }
            let mut has: BTreeMap<_, u64> = list.iter()
                .filter(|(id, _)| there.keys().any(|run| ledger(*run) == *id))
                .map(|(id, next)| (id.clone(), next.0)).collect();
            let mut want: BTreeMap<_, u64> = there.iter().map(|(run, next)| (ledger(*run), *next)).collect();
            let mut grows = grows.into_iter();
            loop {
                while let Some(step) = teller.next_step() {
                    prop_assert_eq!(step.new, !has.contains_key(&step.ledger));
                    let next = has.entry(step.ledger).or_default();
                    prop_assert_eq!(step.seqs.start, *next);
                    prop_assert!(step.seqs.end > step.seqs.start);
                    *next = step.seqs.end;
                }
                let Some((run, next)) = grows.next() else { break };
                teller.grown(ledger(run), Seq(next));
                let known = want.entry(ledger(run)).or_default();
                *known = (*known).max(next);
            }
            for (ledger, next) in want {
                prop_assert!(has.get(&ledger).copied().unwrap_or(0) >= next);
            }
        }
    }
}
