//! What a standby is, where it has its place, what it records and when it gives back.
//!
//! [`life`] is the edge table of a virtual server; [`place`] finds hosts, [`admission`] says for whom and with what room, [`ramp`] fits cameras into an uplink,
//! [`prober`] turns answers of cameras into evidence, [`runner`] says what one host does for one site.
//!
//! It never knows who voted.

pub mod admission;
pub mod life;
pub mod place;
pub mod prober;
pub mod ramp;
pub mod runner;
#[cfg(test)]
mod tests;

pub use life::{EDGES, Life, Mode, NoSuchEdge, Stage, checked_transition};
pub use place::{HostRoom, Placement, SiteNeed, Unplaced, place};
pub use prober::Prober;
pub use ramp::{LeftOut, Protection, Ramp, Stream, ramp};
pub use runner::{Act, Runner, RunnerSettings};
