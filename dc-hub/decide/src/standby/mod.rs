//! What a standby is told to do, and where.
//!
//! It never knows who voted.

pub mod life;

pub use life::{EDGES, Life, Mode, NoSuchEdge, Stage, checked_transition};
