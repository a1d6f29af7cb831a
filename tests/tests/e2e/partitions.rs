//! Three nodes that vote: cut from each other, frozen, and back again. Whatever happens, one of them has authority at
//! most, and who comes back late changes nothing.

use std::time::Duration;

use anyhow::ensure;
use holdfast_tests::cluster::{Cluster, Parts, play, play_with, recorder};
use wire::UnixMicros;

/// A way to cut a WAN.
type Cut = fn(&Cluster) -> anyhow::Result<()>;

/// Longer than silence alone is waited for.
const LONG_S: f64 = 20.0;
/// Until a place that says nothing is given to another, and all timers besides.
const TAKEOVER: Duration = Duration::from_secs(50);

#[test]
fn a_minority_activates_nothing_and_the_majority_does() {
    play(3, 1, |cluster| {
        let lone = cluster.leader()?;
        let others: Vec<usize> = (0..3).filter(|hub| *hub != lone).collect();
        others.iter().try_for_each(|other| cluster.hubs[lone].cut(&cluster.hubs[*other]))?;
        let killed = cluster.sites[0].kill()?;
        let standby = cluster.await_standby((others[0], 0))?;
        ensure!(standby != lone, "the node that was cut off has authority");
        let taken = wire::clock::wall();
        ensure!(taken.since(killed) < TAKEOVER, "it took {:?}", taken.since(killed));
        cluster.await_recorded(&cluster.hubs[standby], 0, taken, 3.0)?;
        let lone_knows = cluster.why(lone, 0)?["known"].clone();
        ensure!(recorder(&lone_knows).is_none(), "alone it moved authority: {lone_knows:#}");
        let own = cluster.recorded_s(&cluster.hubs[lone], 0, killed + Duration::from_secs(2))?;
        ensure!(own == 0.0, "alone it recorded {own} s");
        cluster.hubs.iter().try_for_each(|hub| hub.heal())?;
        let agreed = cluster.await_agreement(0)?;
        ensure!(recorder(&agreed) == Some(&cluster.hubs[standby].name), "{agreed:#}");
        come_home(cluster, others[0], 2)
    });
}

#[test]
fn a_leader_that_was_frozen_changes_nothing_when_it_is_back() {
    play(3, 1, |cluster| {
        let frozen = cluster.leader()?;
        let witness = (frozen + 1) % 3;
        cluster.hubs[frozen].freeze()?;
        let killed = cluster.sites[0].kill()?;
        let standby = cluster.await_standby((witness, 0))?;
        ensure!(standby != frozen, "a node that stands still has authority");
        let taken = wire::clock::wall();
        ensure!(taken.since(killed) < TAKEOVER, "it took {:?}", taken.since(killed));
        cluster.await_recorded(&cluster.hubs[standby], 0, taken, 3.0)?;
        let before = cluster.why(witness, 0)?["known"]["epoch"].clone();
        cluster.hubs[frozen].thaw()?;
        let thawed = wire::clock::wall();
        let agreed = cluster.await_agreement(0)?;
        cluster.await_recorded(&cluster.hubs[standby], 0, thawed, 5.0)?;
        ensure!(agreed["epoch"] == before, "the epoch moved: {agreed:#}");
        ensure!(cluster.moves(witness, 0)? == 1, "{:#}", cluster.why(witness, 0)?);
        come_home(cluster, witness, 2)
    });
}

#[test]
fn a_leader_whose_disk_hangs_gives_way() {
    play_with(Parts { hubs: 3, sites: 1, own_disks: true, ..Parts::default() }, |cluster| {
        let hanging = cluster.leader()?;
        let witness = (hanging + 1) % 3;
        cluster.hubs[hanging].disk()?.hang()?;
        let killed = cluster.sites[0].kill()?;
        let standby = cluster.await_standby((witness, 0))?;
        ensure!(standby != hanging, "a node that can't write has authority");
        let taken = wire::clock::wall();
        ensure!(taken.since(killed) < TAKEOVER, "it took {:?}", taken.since(killed));
        cluster.await_recorded(&cluster.hubs[standby], 0, taken, 3.0)?;
        cluster.hubs[hanging].disk()?.go_on()?;
        let agreed = cluster.await_agreement(0)?;
        ensure!(recorder(&agreed) == Some(&cluster.hubs[standby].name), "{agreed:#}");
        come_home(cluster, witness, 2)
    });
}

#[test]
#[ignore = "long: a minute; ops/test.sh --long"]
fn a_standby_that_was_frozen_is_replaced_and_gives_way() {
    play(3, 1, |cluster| {
        cluster.sites[0].kill()?;
        let first = cluster.await_standby((cluster.leader()?, 0))?;
        cluster.await_recorded(&cluster.hubs[first], 0, wire::clock::wall(), 2.0)?;
        cluster.hubs[first].freeze()?;
        let witness = (first + 1) % 3;
        let name = cluster.hubs[first].name.clone();
        cluster.await_known((witness, 0), "another standby has authority", |known| {
            recorder(known).is_some_and(|host| host != name)
        })?;
        let second = cluster.await_standby((witness, 0))?;
        cluster.await_recorded(&cluster.hubs[second], 0, wire::clock::wall(), 3.0)?;
        cluster.hubs[first].thaw()?;
        let agreed = cluster.await_agreement(0)?;
        ensure!(recorder(&agreed) == Some(&cluster.hubs[second].name), "{agreed:#}");
        // It knows by now; what it records from here on it should not.
        let known = wire::clock::wall() + Duration::from_secs(2);
        cluster.await_recorded(&cluster.hubs[second], 0, known, 4.0)?;
        // If it keeps the vault it has what the other one brings.
        let theirs = cluster.origins(&cluster.hubs[second], 0, known)?;
        let still = cluster.origins(&cluster.hubs[first], 0, known)?;
        ensure!(still.is_subset(&theirs), "the old standby recorded more: {still:?}, {theirs:?}");
        if cluster.keeper(0)? != first {
            let still = cluster.recorded_s(&cluster.hubs[first], 0, known)?;
            ensure!(still == 0.0, "the old standby recorded {still} s more");
        }
        come_home(cluster, witness, 3)
    });
}

#[test]
#[ignore = "long: four cuts of 20 s; ops/test.sh --long"]
fn a_wan_that_is_cut_in_any_way_moves_nothing() {
    play(3, 2, |cluster| {
        let ways: [(&str, Cut); 4] = [
            ("both ways, from all nodes", |cluster| {
                cluster.hubs.iter().try_for_each(|hub| hub.cut(&cluster.sites[0]))
            }),
            ("from the site to the nodes", |cluster| {
                cluster.hubs.iter().try_for_each(|hub| hub.deafen(&cluster.sites[0]))
            }),
            ("from the nodes to the site", |cluster| {
                cluster.hubs.iter().try_for_each(|hub| cluster.sites[0].deafen(hub))
            }),
            ("from all nodes but one", |cluster| {
                cluster.hubs[..2].iter().try_for_each(|hub| hub.cut(&cluster.sites[0]))
            }),
        ];
        for (way, cut) in ways {
            let began = wire::clock::wall();
            cut(cluster)?;
            cluster.await_recorded(&cluster.sites[0], 0, began, LONG_S)?;
            heal_all(cluster)?;
            cluster.await_home(0)?;
            for hub in 0..3 {
                for site in 0..2 {
                    let moves = cluster.moves(hub, site)?;
                    ensure!(moves == 0, "cut {way}: {:#}", cluster.why(hub, site)?);
                }
            }
        }
        for (site, account) in cluster.account()? {
            ensure!(account.holes.is_empty(), "{site}: {:?}", account.holes);
        }
        Ok(())
    });
}

fn heal_all(cluster: &Cluster) -> anyhow::Result<()> {
    cluster.hubs.iter().chain(&cluster.sites).try_for_each(|machine| machine.heal())
}

/// The site's recorder comes back, gets its authority, and all there is of its camera is there but for the time
/// nobody had it.
fn come_home(cluster: &mut Cluster, witness: usize, moves: usize) -> anyhow::Result<()> {
    cluster.start_site(0)?;
    cluster.await_home(0)?;
    let seen = cluster.moves(witness, 0)?;
    ensure!(seen == moves, "authority moved {seen} times: {:#}", cluster.why(witness, 0)?);
    let home: UnixMicros = wire::clock::wall();
    cluster.await_recorded(&cluster.sites[0], 0, home, 2.0)?;
    for (site, account) in cluster.account()? {
        // Each move but the one home may have cost one.
        ensure!(account.holes.len() < moves, "{site}: {:?}", account.holes);
    }
    Ok(())
}
