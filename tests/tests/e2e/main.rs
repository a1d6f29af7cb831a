//! Holdfast end to end: real daemons, real cameras, networks that are cut, processes that are killed. At the
//! end of each test everything is stopped and accounted for, frame by frame.
//!
//! Run with `ops/test.sh`; needs root, for networks of its own.

mod agent_crash;
mod beats;
mod cameras;
mod cluster_drills;
mod disk_full;
mod drills;
mod export;
mod holds;
mod hosted;
mod http;
mod hub_crash;
mod identity;
mod intruders;
mod keyframe;
mod long;
mod neighbours;
mod nodes;
mod partitions;
mod policies;
mod reconcile;
mod restore;
mod restore_log;
mod revoke;
mod rot;
mod second_path;
mod standby;
mod wan;
