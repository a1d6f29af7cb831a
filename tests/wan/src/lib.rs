//! A WAN in a box: two network namespaces joined by a path with delay, jitter, a rate with a stated queue,
//! seeded loss, policers, reordering, cuts and schedules. UDP and TCP alike, since whole IP packets pass.
//!
//! [`Path`] is one direction, a state machine in its own time: no clock, no socket, no thread. [`Wan`] is
//! the shell around two of them: a TUN device in each namespace and one thread per direction.
//!
//! What it guarantees: a packet is never early, never over the rate, and the fate that chance has for the
//! n-th packet of a direction depends on the seed and n alone. What it cannot guarantee is being punctual
//! on a busy machine, so it says how late it was ([`WayReport`]), and refuses rates it could not carry.
//!
//! It knows nothing of Holdfast's protocols or daemons.

mod chance;
mod clock;
mod delay;
mod forward;
mod headroom;
mod link;
pub mod netns;
pub mod options;
mod orders;
mod path;
mod policer;
pub mod priority;
pub mod prove;
mod report;
mod settings;
mod tun;
mod wan;

pub use chance::Losses;
pub use path::{Cause, Departure, Path, Verdict};
pub use report::{Drops, Report, WayReport};
pub use settings::{
    CapacityStep, GilbertElliott, Headroom, Jitter, Outage, PathSettings, Policer, Queue, Reorder, Settings,
    SettingsError,
};
pub use tun::MTU;
pub use wan::{End, Wan, WanError, Way};
