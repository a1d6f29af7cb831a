//! Who proposes what to the control log, and when.
//!
//! [`Node`] is what a shell drives on every hub node. Inside it a voter answers rounds from what it hears
//! itself, and a leader, while this node leads, opens rounds, draws verdicts and brings sites home. Both only
//! propose: every guard is in `control`. [`table`] is the verdict as a function of what was committed and seen.
//!
//! Nothing here is durable. A node that restarts hears anew, waits the long timer first, and loses nothing but
//! time; a proposal whose outcome is unknown is proposed again until the state shows it.
//!
//! It never knows how commands, beats or hints travel.

mod leader;
mod node;
pub mod output;
mod retry;
mod settings;
pub mod table;
mod voter;
mod watch;

#[cfg(test)]
mod tests;

pub use node::Node;
pub use output::{Hint, Output, Telling};
pub use settings::Settings;
pub use table::{Facts, Hearing, Line, read};
