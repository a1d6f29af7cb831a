//! How fast to send: a delivery-rate model behind quinn's congestion controller.
//!
//! [`Model`] decides, and is pure: no clock, no socket, no quinn. [`HoldfastConfig`] is what the transport's
//! settings hand to quinn, [`metrics`] what status asks for. The tests run the model over a path in virtual
//! time; `docs/design/congestion.md` has goals, arithmetic and results.
//!
//! Start reading at `model`, then `phases` (what an acknowledgement does), `rounds` (what a round trip does) and
//! `window`; `filters`, `losses` and `limit` are what it remembers, `compete` is the mode beside somebody who
//! keeps the queue full.
//!
//! It never knows what is sent, nor to whom.

mod compete;
pub mod controller;
mod filters;
mod limit;
mod losses;
pub mod model;
pub mod pace;
mod phases;
mod round;
mod rounds;
#[cfg(test)]
mod tests;
mod window;

pub use controller::{Holdfast, HoldfastConfig, Metrics, metrics};
pub use model::{Estimate, Model, Phase};
pub use pace::Pace;
