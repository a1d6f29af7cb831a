//! The operator's command line, and the demo.
//!
//! | module | holds |
//! |---|---|
//! | [`init`] | certificates and configurations |
//! | [`commands`] | what an operator asks of a running hub or site, and of an export |
//! | [`client`] | the HTTP surfaces, as a client |
//! | [`oracle`] | what cameras logged against what archives hold |
//! | [`rig`] | a whole installation on one machine |
//! | [`demo`] | the main job, shown |

pub mod client;
pub mod commands;
pub mod demo;
pub mod init;
mod length;
pub mod oracle;
pub mod rig;
