//! Randomness: one generator per component, all split off the run's seed, so that a change in one
//! component's draws leaves the others' as they were.

use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::time::micros;

/// One component's generator.
#[derive(Clone, Debug)]
pub struct Chance(SmallRng);

impl Chance {
    /// The generator of `component` in the run of `seed`.
    pub fn of(seed: u64, component: &str) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&seed.to_le_bytes());
        hasher.update(component.as_bytes());
        Self(SmallRng::from_seed(*hasher.finalize().as_bytes()))
    }

    /// True in so many of a thousand cases.
    pub fn permille(&mut self, of_thousand: u32) -> bool {
        of_thousand > 0 && self.0.random_range(0..1000) < of_thousand
    }

    /// True or false.
    pub fn coin(&mut self) -> bool {
        self.0.random()
    }

    /// A number of `0..end`; 0 if that is empty.
    pub fn below(&mut self, end: usize) -> usize {
        if end == 0 { 0 } else { self.0.random_range(0..end) }
    }

    /// A number from `low` up to and including `high`.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        self.0.random_range(low..=high.max(low))
    }

    /// A duration from `low` up to and including `high`.
    pub fn span(&mut self, low: Duration, high: Duration) -> Duration {
        Duration::from_micros(self.between(micros(low), micros(high)))
    }

    /// How long until the next of events that come every `mean` on average.
    pub fn until_next(&mut self, mean: Duration) -> Duration {
        let unit: f64 = self.0.random_range(1e-9..1.0);
        mean.mul_f64(-unit.ln())
    }

    /// One of `choices`.
    pub fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len())]
    }

    /// Sixteen bytes that nobody else has drawn.
    pub fn id(&mut self) -> [u8; 16] {
        self.0.random()
    }

    /// A seed for a core of its own.
    pub fn seed(&mut self) -> u64 {
        self.0.random()
    }
}
