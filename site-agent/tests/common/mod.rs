//! What several tests need: real cameras, their logs, and a network that misbehaves.
#![allow(dead_code)] // no test uses all of it

pub(crate) mod camera;
pub(crate) mod proxy;
