//! Which congestion controller, as configurations name it.

use wire::transport::{Congestion, Settings};

use super::check::{Check, Choice};
use super::leaf::{Number, Text};

/// The name of a congestion controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Controller {
    /// Our own.
    Holdfast,
    /// quinn's CUBIC.
    Cubic,
}

impl Default for Controller {
    /// What the transport's settings say.
    fn default() -> Self {
        match Settings::default().congestion {
            Congestion::Holdfast { .. } => Self::Holdfast,
            Congestion::Cubic => Self::Cubic,
        }
    }
}

impl Choice for Controller {
    const WORDS: &'static [(&'static str, Self)] = &[("holdfast", Self::Holdfast), ("cubic", Self::Cubic)];
}

impl Controller {
    /// As configurations write it.
    pub fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(_, value)| *value == self).map_or("", |(word, _)| word)
    }
}

/// A controller and, if one is given, the contracted rate that it may not exceed, in bits a second on the line.
pub fn check(
    check: &mut Check,
    (controller_key, controller): (&str, Option<Text>),
    (rate_key, rate): (&str, Option<Number>),
) -> Congestion {
    let controller = check.choice(controller_key, controller);
    let rate = check.number(rate_key, rate, super::defaults::RATE_MBIT_RANGE);
    match controller {
        Controller::Holdfast => {
            Congestion::Holdfast { ceiling: rate.map(|mbit| Settings::default().udp_rate(mbit * 1e6) as u64) }
        }
        Controller::Cubic => {
            if rate.is_some() {
                check.problem(
                    rate_key,
                    format!("needs {controller_key} = \"holdfast\": cubic knows no ceiling"),
                );
            }
            Congestion::Cubic
        }
    }
}
