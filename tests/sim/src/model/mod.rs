//! What the cores stand on, as models: disks, networks, clocks, cameras. Each is as bad as the real thing may
//! be, and no better.

pub mod camera;
pub mod clock;
pub mod disk;
pub mod log_file;
pub mod net;
