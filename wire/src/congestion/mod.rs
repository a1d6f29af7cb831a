//! Congestion control (work in progress).

mod compete;
mod filters;
pub mod model;
#[cfg(test)]
mod tests;

pub use model::{Estimate, Model, Phase};
