//! Long: ten minutes of everything, in an order drawn from a seed. `ops/test.sh --long` runs it.

use std::collections::BTreeSet;
use std::time::Duration;

use holdfast_tests::account::{settle, still_held};
use holdfast_tests::scene::{QUICK, Scene, Side, camera, play, site};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use wire::UnixMicros;

const LENGTH: Duration = Duration::from_secs(600);

#[test]
#[ignore = "long"]
fn nothing_is_lost_in_ten_minutes_of_trouble() {
    let seed = match std::env::var("HOLDFAST_SEED") {
        Ok(seed) => seed.parse().unwrap(),
        Err(_) => wire::clock::seed(),
    };
    println!("HOLDFAST_SEED={seed} draws the same trouble again");
    let mut random = StdRng::seed_from_u64(seed);
    play(&[site("shop-1", vec![camera("till-1"), camera("door-1")])], &QUICK, |scene| {
        scene.start()?;
        let began = wire::clock::wall();
        let start = wire::clock::now();
        let mut acked = BTreeSet::new();
        while start.elapsed() < LENGTH {
            for id in ["till-1", "door-1"] {
                acked.extend(scene.acked(0, id, began)?);
            }
            let lasts = random.random_range(0.5..20.0);
            let trouble = random.random_range(0..6);
            println!("{:4} s: trouble {trouble} for {lasts:.1} s", start.elapsed().as_secs());
            make(scene, trouble, lasts)?;
            let calm = random.random_range(0.5..8.0);
            scene.await_recorded(Side::Site, 0, wire::clock::wall(), calm)?;
        }
        scene.await_recording(0)?;
        let ended: UnixMicros = wire::clock::wall();
        scene.await_acked(0, (began, ended))?;
        settle(scene)?;
        still_held(&scene.rig, 0, &acked)
    });
}

fn make(scene: &mut Scene, trouble: u32, lasts: f64) -> anyhow::Result<()> {
    let from = wire::clock::wall();
    match trouble {
        0 => {
            scene.rig.sites[0].cable.cut()?;
            scene.await_recorded(Side::Site, 0, from, lasts)?;
            scene.rig.sites[0].cable.heal()
        }
        1 => {
            scene.rig.kill_hub()?;
            scene.await_recorded(Side::Site, 0, from, lasts)?;
            scene.rig.start_hub()
        }
        2 => {
            scene.rig.kill_agent(0)?;
            scene.rig.start_agent(0)
        }
        3 => {
            scene.rig.kill_hub()?;
            scene.rig.kill_agent(0)?;
            scene.rig.start_agent(0)?;
            scene.await_recorded(Side::Site, 0, from, lasts)?;
            scene.rig.start_hub()
        }
        4 => {
            scene.rig.sites[0].cable.cut()?;
            scene.await_recorded(Side::Site, 0, from, lasts)?;
            scene.rig.kill_agent(0)?;
            scene.rig.start_agent(0)?;
            scene.rig.sites[0].cable.heal()
        }
        _ => {
            scene.rig.stop_agent(0)?;
            scene.rig.start_agent(0)?;
            scene.rig.stop_hub()?;
            scene.rig.start_hub()
        }
    }
}
