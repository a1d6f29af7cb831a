//! How soon our connection follows what the line does.
//!
//! Means are over windows of 300 ms, or two round trips if that is longer.

use std::time::Duration;

use serde::Serialize;

use crate::arrivals::Arrivals;
use crate::line::{Line, PAYLOAD};
use crate::options::Options;
use crate::spread::Spread;

/// A queue that is back to normal after a step, in ms.
const CALM: f64 = 25.0;

/// After a step of the line's rate.
#[derive(Clone, Debug, Serialize)]
pub struct Settled {
    /// When.
    pub at_s: f64,
    /// To what.
    pub to_mbit: f64,
    /// Until the first window with 90 % of what the new rate leaves for streams.
    pub settle_s: Option<f64>,
    /// Until the last window with less. Random loss and probing may make single ones.
    pub held_s: Option<f64>,
    /// Until the queue of a window was first under 25 ms.
    pub queue_s: Option<f64>,
}

/// After an outage.
#[derive(Clone, Debug, Serialize)]
pub struct Resumed {
    /// When it was healed.
    pub healed_s: f64,
    /// From then to the first byte.
    pub first_s: Option<f64>,
    /// From then to the first window with 85 % of what the rate leaves for streams.
    pub full_s: Option<f64>,
}

/// What reactions are read from.
pub(crate) struct Reactions<'a> {
    pub(crate) arrivals: &'a Arrivals,
    pub(crate) queue: &'a [(f64, Option<Duration>)],
    pub(crate) line: &'a Line,
    pub(crate) options: &'a Options,
}

impl Reactions<'_> {
    /// To a new rate, from when until when.
    pub(crate) fn to_step(&self, (at, end, mbit): (f64, f64, f64)) -> Settled {
        let window = self.options.window();
        // What arrives was let through half a round trip ago.
        let begin = at + self.options.path.rtt_ms / 2000.0;
        let enough = |mean: f64| mean >= 0.9 * mbit * PAYLOAD;
        let windows = || self.arrivals.windows(begin, end, window);
        let last_short = windows().filter(|(_, mean)| !enough(*mean)).last().map(|(last, _)| last);
        let short_at_end = last_short.is_some_and(|last| last + 0.02 > end);
        let mut later = (0..).map(|step| at + f64::from(step) * 0.05).take_while(|from| from + window <= end);
        let calm =
            later.find(|&from| Spread::of(queue_ms(self.queue, from, from + window).collect()).mean < CALM);
        Settled {
            at_s: at,
            to_mbit: mbit,
            settle_s: first(windows(), enough).map(|end| end - begin),
            held_s: (!short_at_end).then(|| last_short.map_or(0.0, |last| last - begin)),
            queue_s: calm.map(|from| from - at),
        }
    }

    /// To the end of an outage.
    pub(crate) fn to_heal(&self, healed: f64) -> Resumed {
        let end = self.options.for_s;
        let enough = 0.85 * PAYLOAD * self.line.mbit(healed, end);
        let windows = self.arrivals.windows(healed, end, self.options.window());
        Resumed {
            healed_s: healed,
            first_s: self.arrivals.first_after(healed).map(|first| first - healed),
            full_s: first(windows, |mean| mean >= enough).map(|end| end - healed),
        }
    }
}

/// Lengths of the line's queue between two times, while anything passed.
pub(crate) fn queue_ms(looks: &[(f64, Option<Duration>)], from: f64, to: f64) -> impl Iterator<Item = f64> {
    let looks = looks.iter().filter(move |(at, _)| (from..to).contains(at));
    looks.filter_map(|(_, queue)| Some(queue.as_ref()?.as_secs_f64() * 1e3))
}

fn first(mut windows: impl Iterator<Item = (f64, f64)>, enough: impl Fn(f64) -> bool) -> Option<f64> {
    windows.find(|(_, mean)| enough(*mean)).map(|(end, _)| end)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 10 s: what arrives in each second, in Mbit/s, and how long the queue is.
    fn reactions(words: &str, mbit: [f64; 10], queue_ms: [u64; 10], check: impl Fn(&Reactions<'_>)) {
        let options = Options::parse(words.split(' ')).unwrap();
        let (arrivals, mut queue) = (Arrivals::new(Duration::from_secs(10)), Vec::new());
        for step in 0..1000_u16 {
            let second = usize::from(step / 100);
            arrivals.count(Duration::from_millis(u64::from(step) * 10 + 5), (mbit[second] * 1250.0) as u64);
            queue.push((f64::from(step) * 0.01, Some(Duration::from_millis(queue_ms[second]))));
        }
        let line = Line::new(&options.wan().unwrap());
        check(&Reactions { arrivals: &arrivals, queue: &queue, line: &line, options: &options });
    }

    fn near(found: Option<f64>, expected: f64) {
        assert!((found.unwrap() - expected).abs() < 0.05, "{found:?}, not {expected}");
    }

    #[test]
    fn a_step_is_settled_when_the_rate_is_there_and_held_when_it_stays() {
        let words = "--mbit 50 --for 10 --step 2:10,6:50";
        let mbit = [48.0, 48.0, 2.0, 9.5, 5.0, 9.5, 9.5, 20.0, 20.0, 20.0];
        let queue = [5, 5, 200, 80, 5, 5, 5, 5, 5, 5];
        reactions(words, mbit, queue, |reactions| {
            let steps = reactions.line.steps(reactions.options);
            let [down, up] = [steps[0], steps[1]].map(|step| reactions.to_step(step));
            // 90 % of 9.58 Mbit/s with most of the window in the fourth second; the fifth is short again.
            near(down.settle_s, 1.27);
            near(down.held_s, 3.26);
            near(down.queue_s, 1.95);
            assert_eq!((up.settle_s, up.held_s), (None, None));
            near(up.queue_s, 0.0);
        });
    }

    #[test]
    fn a_heal_is_followed_by_a_first_byte_and_then_by_all() {
        let mbit = [19.0, 19.0, 0.0, 0.0, 0.0, 0.0, 5.0, 19.0, 19.0, 19.0];
        reactions("--mbit 20 --for 10 --outage 2:3", mbit, [0; 10], |reactions| {
            let resumed = reactions.to_heal(5.0);
            near(resumed.first_s, 1.0);
            near(resumed.full_s, 2.24);
        });
    }
}
