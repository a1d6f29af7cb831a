use proptest::prelude::*;

use super::*;

const HUB: &str = "hub.example.test:7443";

fn site() -> SiteId {
    SiteId::new("shop-1").unwrap()
}

fn hold(id: u64) -> proto::Hold {
    proto::Hold {
        id,
        from_us: 10,
        to_us: 20,
        until_us: 1000 + id as i64,
        reason: "theft".into(),
        ..Default::default()
    }
}

fn told(generation: u64, revision: u64, ids: &[u64]) -> proto::Holds {
    proto::Holds { generation, salt: 7, revision, holds: ids.iter().copied().map(hold).collect() }
}

/// A run: what it keeps, and what retention obeys of it (by the ids that are in the ends).
fn run(dir: &Path, hub: &str) -> (Kept, Arc<Holds>) {
    let obeyed = Arc::<Holds>::default();
    (Kept::load(dir, &site(), hub, obeyed.clone()), obeyed)
}

fn ids(obeyed: &Holds) -> Vec<i64> {
    let mut ids: Vec<_> = obeyed.now().iter().map(|hold| hold.until.0 - 1000).collect();
    ids.sort_unstable();
    ids
}

#[test]
fn what_is_confirmed_is_obeyed_also_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let (kept, obeyed) = run(dir.path(), HUB);
    assert_eq!((kept.confirms(), ids(&obeyed)), (None, vec![]));
    assert!(kept.take(&told(1, 5, &[4, 5])).unwrap());
    assert_eq!(kept.confirms(), Some(Digest::of(&told(1, 5, &[4, 5]))));
    assert_eq!(ids(&obeyed), [4, 5]);
    let (kept, obeyed) = run(dir.path(), HUB);
    assert_eq!(kept.confirms(), Some(Digest::of(&told(1, 5, &[4, 5]))));
    assert_eq!(ids(&obeyed), [4, 5]);
}

#[test]
fn a_node_that_lags_behind_takes_nothing_away_and_a_newer_word_does() {
    let dir = tempfile::tempdir().unwrap();
    let (kept, obeyed) = run(dir.path(), HUB);
    kept.take(&told(1, 5, &[4, 5])).unwrap();
    assert!(!kept.take(&told(1, 4, &[4])).unwrap());
    assert!(!kept.take(&told(1, 5, &[4, 5])).unwrap());
    assert_eq!(ids(&obeyed), [4, 5]);
    assert!(kept.take(&told(1, 6, &[5])).unwrap());
    assert_eq!(ids(&obeyed), [5]);
}

#[test]
fn a_hub_restored_from_a_backup_or_another_hub_ends_no_hold() {
    let dir = tempfile::tempdir().unwrap();
    let (kept, obeyed) = run(dir.path(), HUB);
    kept.take(&told(1, 9, &[4, 9])).unwrap();
    kept.take(&told(2, 4, &[4])).unwrap();
    assert_eq!(kept.confirms(), Some(Digest::of(&told(2, 4, &[4]))), "what it was told, and no more");
    assert_eq!(ids(&obeyed), [4, 9], "9 was placed after the backup");
    kept.take(&told(2, 5, &[])).unwrap();
    assert_eq!(ids(&obeyed), [9], "4 was lifted");
    let (kept, obeyed) = run(dir.path(), "elsewhere.example.test:7443");
    assert_eq!((kept.confirms(), ids(&obeyed)), (None, vec![9]));
    kept.take(&told(0, 1, &[1])).unwrap();
    assert_eq!(ids(&obeyed), [1, 9]);
}

#[test]
fn what_cannot_be_written_is_obeyed_and_not_confirmed() {
    let dir = tempfile::tempdir().unwrap();
    let (kept, obeyed) = run(dir.path(), HUB);
    kept.take(&told(1, 5, &[5])).unwrap();
    // A folder in its place, with something in it: neither replaced nor deleted.
    std::fs::create_dir_all(dir.path().join("holds.json.new/full")).unwrap();
    assert!(kept.take(&told(1, 6, &[5, 6])).is_err());
    assert_eq!((kept.confirms(), ids(&obeyed)), (None, vec![5, 6]));
    assert!(kept.shown()["trouble"].is_string());
    std::fs::remove_dir_all(dir.path().join("holds.json.new")).unwrap();
    assert!(kept.take(&told(1, 6, &[5, 6])).unwrap(), "told again");
    assert_eq!(kept.confirms(), Some(Digest::of(&told(1, 6, &[5, 6]))));
}

#[test]
fn a_file_that_cannot_be_read_keeps_everything_until_the_hub_has_told_anew() {
    let dir = tempfile::tempdir().unwrap();
    let (kept, _) = run(dir.path(), HUB);
    kept.take(&told(1, 5, &[5])).unwrap();
    let file = dir.path().join(FILE);
    let whole = std::fs::read(&file).unwrap();
    std::fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    // And still so at the next start: it was not replaced by one that says nothing.
    for _ in 0..2 {
        let (kept, obeyed) = run(dir.path(), HUB);
        assert!(obeyed.is_unknown() && kept.confirms().is_none() && kept.shown()["trouble"].is_string());
    }
    let (kept, obeyed) = run(dir.path(), HUB);
    kept.take(&told(1, 5, &[5])).unwrap();
    assert_eq!((ids(&obeyed), obeyed.is_unknown()), (vec![5], false));
    assert!(kept.shown()["trouble"].is_null());
}

#[test]
fn more_than_the_limits_is_refused_whole() {
    let dir = tempfile::tempdir().unwrap();
    let (kept, obeyed) = run(dir.path(), HUB);
    kept.take(&told(1, 5, &[5])).unwrap();
    let many: Vec<u64> = (0..33).collect();
    assert!(kept.take(&told(1, 6, &many)).is_err());
    assert_eq!((kept.confirms(), ids(&obeyed)), (Some(Digest::of(&told(1, 5, &[5]))), vec![5]));
}

proptest! {
    /// Tellings in any order, with restarts between: what is confirmed is the newest, and what any history asked for is
    /// obeyed unless the same history took it back.
    #[test]
    fn the_newest_telling_counts_and_no_history_takes_another_ones_holds(
        tellings in proptest::collection::vec((0u64..3, 1u64..12, any::<bool>()), 1..20),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let (mut kept, mut obeyed) = run(dir.path(), HUB);
        // Of each history: its newest telling that was taken. A telling of revision r names r and r + 100 * generation.
        let mut newest: Option<(u64, u64)> = None;
        let mut left: std::collections::BTreeSet<u64> = Default::default();
        let of = |generation: u64, revision: u64| [revision + 100 * generation, 1000 + generation];
        for (generation, revision, restart) in tellings {
            let ids_told = of(generation, revision);
            kept.take(&told(generation, revision, &ids_told)).unwrap();
            if newest.is_none_or(|newest| (generation, revision) > newest) {
                if let Some(before) = newest.filter(|newest| newest.0 != generation) {
                    left.extend(of(before.0, before.1));
                }
                newest = Some((generation, revision));
            }
            if restart {
                (kept, obeyed) = run(dir.path(), HUB);
            }
            let (generation, revision) = newest.unwrap();
            let now = of(generation, revision);
            prop_assert_eq!(kept.confirms(), Some(Digest::of(&told(generation, revision, &now))));
            let expected: std::collections::BTreeSet<i64> = left.iter().chain(&now).map(|id| *id as i64).collect();
            prop_assert_eq!(ids(&obeyed), expected.into_iter().collect::<Vec<_>>());
        }
    }
}
