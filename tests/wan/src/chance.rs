//! Seeded chance. The generator is written out here so that a seed means the same for ever, whatever
//! becomes of a library's default generator.

use crate::settings::{GilbertElliott, PathSettings};

/// SplitMix64 (Steele, Lea, Flood 2014).
#[derive(Clone, Debug)]
pub(crate) struct Chance(u64);

impl Chance {
    /// A stream of its own for each `purpose`, so that one stage's draws never shift another's.
    pub(crate) fn new(seed: u64, purpose: u64) -> Self {
        Self(mix(seed ^ mix(purpose)))
    }

    pub(crate) fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.0)
    }

    /// True with this probability; always takes one draw.
    pub(crate) fn happens(&mut self, share: f64) -> bool {
        unit(self.draw()) < share
    }

    /// The `index`-th number of a stream that is not advanced.
    pub(crate) fn at(&self, index: u64) -> u64 {
        mix(self.0.wrapping_add(index.wrapping_mul(0x9E37_79B9_7F4A_7C15)))
    }
}

fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ (bits >> 31)
}

/// From 0 up to, not including, 1.
pub(crate) fn unit(bits: u64) -> f64 {
    // 53 bits are what an f64 holds exactly.
    (bits >> 11) as f64 / (1_u64 << 53) as f64
}

/// Which packets of a direction chance takes: the n-th call is the n-th packet's fate.
///
/// Every packet that arrives has its draw, also those a cut takes, so what happens to the n-th does not
/// depend on when the others came.
#[derive(Clone, Debug)]
pub struct Losses {
    random: Chance,
    state: Chance,
    in_state: Chance,
    bad: bool,
}

/// How chance took a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loss {
    Random,
    Burst,
}

impl Losses {
    /// For one direction's seed ([`crate::Way::seed`]).
    pub fn new(seed: u64) -> Self {
        Self {
            random: Chance::new(seed, 1),
            state: Chance::new(seed, 2),
            in_state: Chance::new(seed, 3),
            bad: false,
        }
    }

    /// Is the next packet lost?
    pub fn next(&mut self, settings: &PathSettings) -> bool {
        self.draw(settings.loss, settings.burst).is_some()
    }

    pub(crate) fn draw(&mut self, share: f64, burst: Option<GilbertElliott>) -> Option<Loss> {
        let random = self.random.happens(share);
        let in_burst = burst.is_some_and(|burst| {
            self.bad = match self.bad {
                false => self.state.happens(burst.to_bad),
                true => !self.state.happens(burst.to_good),
            };
            self.in_state.happens(if self.bad { burst.loss_bad } else { burst.loss_good })
        });
        match (random, in_burst) {
            (true, _) => Some(Loss::Random),
            (false, true) => Some(Loss::Burst),
            (false, false) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_means_the_same_for_ever() {
        let mut chance = Chance::new(1, 1);
        let drawn = [chance.draw(), chance.draw(), chance.draw()];
        assert_eq!(drawn, EXPECTED, "drops of recorded runs can no longer be reproduced");
    }

    const EXPECTED: [u64; 3] =
        [2_837_033_464_341_919_905, 41_079_744_128_078_654, 17_174_375_652_205_655_575];

    #[test]
    fn shares_and_bursts_are_as_asked() {
        let burst = GilbertElliott::bursts(0.05, 8.0);
        let mut losses = Losses::new(7);
        let fates: Vec<bool> = (0..400_000).map(|_| losses.draw(0.0, Some(burst)).is_some()).collect();
        let lost = fates.iter().filter(|lost| **lost).count();
        let bursts = fates.windows(2).filter(|pair| !pair[0] && pair[1]).count();
        let share = lost as f64 / fates.len() as f64;
        let length = lost as f64 / bursts as f64;
        assert!((share - 0.05).abs() < 0.003, "share {share}");
        assert!((length - 8.0).abs() < 0.3, "mean length {length}");
    }
}
