use rand::rngs::SmallRng;
use rand::seq::IteratorRandom;
use rand::{Rng, SeedableRng};

use super::*;
use crate::id::OriginId;

fn ledger(n: u64) -> LedgerId {
    let origin = blake3::hash(&n.to_le_bytes());
    let origin = OriginId(origin.as_bytes()[..16].try_into().unwrap());
    LedgerId { origin, stream: "till-1/main".parse().unwrap() }
}

fn settled(heads: &BTreeMap<u64, Head>) -> Settled {
    let mut settled = Settled::default();
    heads.iter().for_each(|(n, head)| settled.insert(&ledger(*n), head));
    settled
}

/// So many ledgers, each of one entry.
fn many(count: u64) -> BTreeMap<u64, Head> {
    (0..count).map(|n| (n, Head::genesis(&ledger(n)).after(b"entry"))).collect()
}

/// What a site finds that differs from the hub, ledgers by number, and how many bytes the hub's tellings have.
fn find(ours: &BTreeMap<u64, Head>, theirs: &BTreeMap<u64, Head>) -> (Vec<u64>, usize, u32) {
    use prost::Message;
    let (site, hub) = (settled(ours), settled(theirs));
    let (mut ask, mut offered, mut bytes, mut rounds) = (vec![Bucket::ALL], Vec::new(), 0, 0);
    if site.digest() == hub.digest() {
        return (Vec::new(), 0, 0);
    }
    while !ask.is_empty() {
        rounds += 1;
        let splits: Vec<_> = ask.iter().map(|bucket| hub.split(*bucket, false)).collect();
        bytes += splits.iter().map(Message::encoded_len).sum::<usize>();
        let mut differs = Differs::default();
        splits.iter().for_each(|split| differs.extend(site.compare(split)));
        offered.extend(ours.keys().copied().filter(|n| differs.offers(&ledger(*n))));
        ask = differs.split;
    }
    offered.sort_unstable();
    (offered, bytes, rounds)
}

#[test]
fn whatever_differs_is_found_and_costs_what_differs() {
    let mut random = SmallRng::seed_from_u64(11);
    for round in 0..40 {
        let count = [0, 1, 33, 3000, 20_000][round % 5];
        let ours = many(count);
        let mut theirs = ours.clone();
        let mut wanted = Vec::new();
        for _ in 0..random.random_range(0..6) {
            let Some(n) = ours.keys().copied().choose(&mut random) else { break };
            wanted.push(n);
            if random.random() {
                theirs.remove(&n);
            } else {
                theirs.insert(n, Head::genesis(&ledger(n)).after(b"another"));
            }
        }
        // What only the hub has is not offered; what is in its bucket is.
        let more = random.random_range(0..3);
        theirs.extend((0..more).map(|n| (count + n, Head([7; 32]))));
        let (offered, bytes, rounds) = find(&ours, &theirs);
        let most = (wanted.len() + more as usize) * OFFERED_WHOLE as usize;
        assert!(wanted.iter().all(|n| offered.contains(n)), "{wanted:?} of {count}: {offered:?}");
        assert!(offered.len() <= most, "{} for {wanted:?}", offered.len());
        assert!(rounds <= 3 && bytes <= 1250 * (1 + 9 * 2), "{bytes} bytes in {rounds} rounds");
    }
}

#[test]
fn two_that_have_nothing_in_common_find_it_out_at_less_than_the_offer_costs() {
    let ours = many(20_000);
    let theirs = (20_000..40_000).map(|n| (n, Head::genesis(&ledger(n)))).collect();
    let (offered, bytes, _) = find(&ours, &theirs);
    assert_eq!(offered.len(), 20_000);
    assert!(bytes < 20_000 * 30, "{bytes}");
    let (offered, bytes, rounds) = find(&ours, &BTreeMap::new());
    assert!(offered.len() == 20_000 && bytes < 1200 && rounds == 1, "{bytes} bytes in {rounds} rounds");
}

#[test]
fn a_digest_depends_on_every_ledger_and_on_every_entry_and_not_on_their_order() {
    let heads = many(100);
    let whole = settled(&heads).digest();
    for n in heads.keys() {
        let mut other = heads.clone();
        let head = other[n];
        other.insert(*n, head.after(b"one entry more"));
        assert_ne!(settled(&other).digest(), whole);
        other.remove(n);
        assert_ne!(settled(&other).digest(), whole);
    }
    let mut backwards = Settled::default();
    heads.iter().rev().for_each(|(n, head)| backwards.insert(&ledger(*n), head));
    assert_eq!(backwards.digest(), whole);
    let except: Vec<_> = (0..30).map(ledger).collect();
    let without = backwards.digest_without(&except);
    except.iter().for_each(|ledger| backwards.remove(ledger));
    assert_eq!(backwards.digest(), without);
}

#[test]
fn what_is_freed_counts_as_settled_and_what_is_missing_does_not() {
    let (held, gone) = (RangeSet::from(0..5), RangeSet::from(5..8));
    assert!(is_settled(Seq(8), &held.union(&gone)));
    assert!(!is_settled(Seq(8), &held) && !is_settled(Seq(8), &gone));
    assert!(is_settled(Seq(0), &RangeSet::new()));
}

#[test]
fn buckets_that_make_no_sense_are_not_read() {
    let read = |bits, prefix| Bucket::from_proto(&proto::Bucket { bits, prefix });
    assert_eq!(read(0, 0), Some(Bucket::ALL));
    assert!(read(6, 1 << 58).is_some() && read(60, 1 << 4).is_some());
    assert!(read(6, 1).is_none() && read(7, 0).is_none() && read(66, 0).is_none() && read(0, 1).is_none());
    assert!(read(60, 0).unwrap().split().is_none());
}

#[test]
fn names_are_read_as_they_were_written() {
    let other = LedgerId { stream: "till-2/main".parse().unwrap(), ..ledger(1) };
    let ledgers = [ledger(1), other, ledger(2), ledger(1)];
    let mut names = Names::default();
    let written: Vec<_> = ledgers.iter().map(|ledger| names.write(ledger)).collect();
    assert!(written[1].origin.is_empty() && !written[3].origin.is_empty());
    let mut names = Names::default();
    let read: Vec<_> = written.iter().map(|name| names.read(Some(name)).unwrap()).collect();
    assert_eq!(read, ledgers);
    assert!(Names::default().read(Some(&written[1])).is_err(), "no ledger before it");
}
