//! Daemons that die under load: at any moment, and at every step of what they do.

use std::time::Duration;

use holdfast_tests::account::settle;
use holdfast_tests::scene::{QUICK, Scene, Side, try_play};
use serde_json::{Value, json};
use site_agent::failpoint::{HUB_STEPS, SITE_STEPS, VARIABLE};

use crate::ledger_of_acks::{Acked, Fate};
use crate::wear::{self, Worn};
use crate::{Victim, chance, moment, p99_ms, sites};

/// A step is come to within this time, or the moment is as good as any.
const STEP: Duration = Duration::from_secs(8);

/// How a daemon dies.
#[derive(Clone, Copy, Debug)]
enum Death {
    /// Whatever it does.
    AnyMoment,
    /// When it comes to this step so many times.
    At(&'static str, u32),
}

/// What came of it.
#[derive(Debug)]
pub struct Outcome {
    kills: u32,
    /// Of these, at a step that was asked for.
    at_steps: u32,
    fate: Fate,
    starts: Vec<Duration>,
    /// The deaths at steps of deleting, repairing and salvaging.
    worn: Worn,
}

/// Kills each daemon `times` times, half of them at steps; and then either as often at steps of deleting, repairing and
/// salvaging.
pub fn run(times: u32, seed: u64) -> anyhow::Result<Outcome> {
    let outcome = under_load(times, seed)?;
    Ok(Outcome { worn: wear::run(times, seed)?, ..outcome })
}

fn under_load(times: u32, seed: u64) -> anyhow::Result<Outcome> {
    let mut chance = chance(seed);
    try_play(&sites(), &QUICK, |scene| {
        scene.start()?;
        let (mut acked, mut starts, mut at_steps) = (Acked::default(), Vec::new(), 0);
        for turn in 0..2 * times {
            let victim = Victim::of(turn);
            let death = Death::of(victim, turn / 2);
            at_steps += u32::from(die(scene, victim, death, moment(&mut chance, 2.5), &mut acked)?);
            starts.push(victim.start(scene)?);
            scene.await_recording(0)?;
            eprintln!("{}/{}: {victim:?} {death:?}", turn + 1, 2 * times);
        }
        let last = wire::clock::wall();
        scene.await_recorded(Side::Hub, 0, last, 3.0)?;
        acked.note(scene)?;
        let accounts = settle(scene)?;
        anyhow::ensure!(accounts.iter().all(|account| account.site.sent > 0), "nothing was recorded");
        Ok(Outcome { kills: 2 * times, at_steps, fate: acked.fate(scene)?, starts, worn: Worn::default() })
    })
}

impl Death {
    fn of(victim: Victim, turn: u32) -> Self {
        let steps: &[&'static str] = match victim {
            Victim::Agent => &SITE_STEPS,
            Victim::Hub => &HUB_STEPS,
        };
        let round = turn / 2;
        if turn.is_multiple_of(2) {
            return Self::AnyMoment;
        }
        Self::At(steps[round as usize % steps.len()], 1 + round / steps.len() as u32 % 3)
    }
}

/// Lets it die; tells whether it died at the step that was asked for.
fn die(
    scene: &mut Scene,
    victim: Victim,
    death: Death,
    seconds: f64,
    acked: &mut Acked,
) -> anyhow::Result<bool> {
    let from = wire::clock::wall();
    scene.await_recorded(Side::Site, 0, from, seconds)?;
    acked.note(scene)?;
    let Death::At(step, times) = death else {
        victim.kill(scene)?;
        return Ok(false);
    };
    // It is told where to die when it starts; some steps are come to only then.
    victim.kill(scene)?;
    scene.rig.environment = vec![format!("{VARIABLE}={step}:{times}")];
    let started = victim.start(scene);
    scene.rig.environment.clear();
    let died = started.is_err() || victim.await_end(scene, STEP);
    if !died {
        victim.kill(scene)?;
    }
    Ok(died)
}

impl Outcome {
    /// Does what was promised hold?
    pub fn holds(&self) -> bool {
        [self.fate, self.worn.fate].iter().all(|fate| fate.acked > 0 && fate.lost == 0 && fate.altered == 0)
    }

    /// The figures.
    pub fn json(&self) -> Value {
        json!({
            "kills": self.kills, "at_steps": self.at_steps,
            "acked": self.fate.acked, "lost": self.fate.lost, "altered": self.fate.altered,
            "worn": {
                "kills": self.worn.kills, "at_steps": self.worn.at_steps,
                "acked": self.worn.fate.acked, "lost": self.worn.fate.lost, "altered": self.worn.fate.altered,
                "expired": self.worn.expired, "salvaged": self.worn.salvaged, "rotted": self.worn.rotted,
            },
            "recover_ms_p99": p99_ms(self.starts.clone()), "ok": self.holds(),
        })
    }
}
