//! The order in which SRV targets are dialled (RFC 2782): by priority, and within one at random by weight.

use rand::Rng;

/// One SRV record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SrvTarget {
    /// Lower comes first.
    pub(super) priority: u16,
    /// Share of the first places among equal priorities.
    pub(super) weight: u16,
    /// The UDP port.
    pub(super) port: u16,
    /// The host's name.
    pub(super) host: String,
}

/// Puts targets into the order in which to dial them.
pub(super) fn dial_order(mut targets: Vec<SrvTarget>, rng: &mut impl Rng) -> Vec<SrvTarget> {
    // Whatever order the server sends them in, the same seed gives the same result. Weight 0 comes first,
    // as the RFC wants: then it has a small chance, instead of none, beside others.
    targets.sort_by(|a, b| {
        (a.priority, a.weight, &a.host, a.port).cmp(&(b.priority, b.weight, &b.host, b.port))
    });
    let mut ordered = Vec::with_capacity(targets.len());
    while let Some(first) = targets.first() {
        let priority = first.priority;
        let peers = targets.iter().take_while(|target| target.priority == priority).count();
        let total: u64 = targets[..peers].iter().map(|target| u64::from(target.weight)).sum();
        let drawn = rng.random_range(0..=total);
        let mut sum = 0;
        let chosen = targets[..peers].iter().position(|target| {
            sum += u64::from(target.weight);
            sum >= drawn
        });
        // The running sum ends at `total`, so somebody is always chosen.
        ordered.push(targets.remove(chosen.unwrap_or(0)));
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    fn target(priority: u16, weight: u16, port: u16) -> SrvTarget {
        SrvTarget { priority, weight, port, host: format!("hub{port}") }
    }

    proptest! {
        #[test]
        fn nobody_is_lost_and_priorities_rise(
            targets in prop::collection::vec((0..4u16, any::<u16>(), any::<u16>()), 0..12),
            seed in any::<u64>(),
        ) {
            let targets: Vec<_> = targets.into_iter().map(|(p, w, port)| target(p, w, port)).collect();
            let ordered = dial_order(targets.clone(), &mut StdRng::seed_from_u64(seed));
            prop_assert!(ordered.is_sorted_by_key(|target| target.priority));
            prop_assert_eq!(ordered.len(), targets.len());
            prop_assert!(targets.iter().all(|target| ordered.contains(target)));
        }
    }

    #[test]
    fn weights_share_out_the_first_place() {
        let mut rng = StdRng::seed_from_u64(7);
        let targets = vec![target(1, 30, 1), target(1, 10, 2), target(1, 0, 3), target(0, 0, 4)];
        let mut firsts = [0; 4];
        for _ in 0..4000 {
            let ordered = dial_order(targets.clone(), &mut rng);
            assert_eq!(ordered[0].port, 4);
            firsts[usize::from(ordered[1].port)] += 1;
        }
        assert!((2700..3100).contains(&firsts[1]), "{firsts:?}");
        assert!((850..1100).contains(&firsts[2]), "{firsts:?}");
        assert!((40..200).contains(&firsts[3]), "{firsts:?}");
    }
}
