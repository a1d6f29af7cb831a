//! The operator's command line, and the demo.

pub mod init;
