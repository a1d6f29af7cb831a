//! One bulk QUIC connection over an emulated line, and what the congestion controller makes of it.
//!
//! [`run`] joins two network namespaces by a [`wan::Wan`], lets a connection of `wire`'s real transport send
//! as fast as it may, if asked beside kernel TCP flows and a live stream, and says what arrived, how long the
//! line's queue was and what was sent twice: an [`Outcome`]. Everything is in one process, so that one clock
//! measures it. [`matrix`] runs many lines one after the other.
//!
//! What it guarantees: bytes are counted when the receiving application has them, the queue is the emulated
//! line's own, and a run that the machine spoiled says so ([`Outcome::void`]).
//!
//! It knows nothing of sites' data, sessions or storage: what is sent is zeros.

mod arrivals;
mod beside;
mod keys;
mod line;
mod live;
pub mod matrix;
mod options;
mod ours;
mod outcome;
mod reactions;
mod run;
mod spread;
mod trace;
mod watch;

pub use options::{Congestion, Options};
pub use outcome::{LiveLatency, Outcome};
pub use reactions::{Resumed, Settled};
pub use run::run;
pub use spread::Spread;
