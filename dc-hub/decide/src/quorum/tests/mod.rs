//! Nodes over a log: each line of the verdict table and each way home, with the schedule that it is for.

mod bound;
mod drill;
mod home;
mod silence;
mod table;
mod world;

use world::World;
