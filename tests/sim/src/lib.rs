//! The simulator: the real cores, under one seeded scheduler, in virtual time.
//!
//! Everything a run does follows from its seed. [`world::World`] holds it all; [`event::Event`] is what can
//! happen; [`model`] is what the cores stand on; [`place`] and [`vault`] are the shells around the real
//! replication sessions; [`fault`] is what goes wrong; [`oracle`] knows what really happened;
//! [`invariants`] are the rules. `docs/design/simulator.md` says what is modelled and what is not.

pub mod chance;
pub mod conn;
pub mod content;
pub mod control;
pub mod dispatch;
pub mod ending;
#[allow(missing_docs)] // fields of variants say what they are
pub mod event;
pub mod fault;
pub mod invariants;
pub mod model;
pub mod mutant;
pub mod node;
pub mod oracle;
pub mod params;
pub mod place;
pub mod process;
pub mod queue;
pub mod reach;
pub mod run;
pub mod scenario;
pub mod stage;
pub mod story;
pub mod time;
pub mod trace;
pub mod vault;
pub mod watched;
pub mod world;
