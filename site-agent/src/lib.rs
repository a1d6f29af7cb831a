//! The site: cameras recorded into an archive of its own, and streamed to the hub.
//!
//! | module | holds | never knows |
//! |---|---|---|
//! | [`config`] | the TOML, its checks | what runs with it |
//! | [`camera`] | RTSP by retina: frames in, with the reasons when there are none | archives, networks beyond the camera's |
//! | [`virtual_server`] | cameras → archive; one origin per run | the hub |
//! | [`archive`] | segment files and their index; commit, recovery, verify | cameras, networks |
//! | [`reconcile`] | what is to cross to the hub, how long that takes, what is lost before | who sends it |
//! | [`retention`] | what is freed, when and why | cameras, networks |
//! | [`scrub`] | everything re-read in time, and what becomes of what is damaged | cameras, networks |
//! | [`holds`] | what the hub asked this site to keep: on disk before it is confirmed | who asked, and why |
//! | [`live`] | what is being recorded right now | disks |
//! | [`coverage`] | the timeline: recorded where, or why not (pure) | disks, networks |
//! | [`failpoint`] | steps at which a test lets a daemon die | why |
//! | [`private_file`] | a file replaced whole, for this user only | what is in it |
//! | [`renew`] | ends a daemon whose disk failed and works again | what is on the disk |
//! | [`serve`] | timeline, live, playlist, export over HTTP | who records |
//! | [`uplink`] | the archive → the hub | cameras |
//! | [`beats`] | that the recorder is well → every voter of the hub | why they want to know |

pub mod archive;
pub mod beats;
pub mod camera;
pub mod cli;
pub mod config;
pub mod coverage;
pub mod daemon;
pub mod failpoint;
pub mod forecast;
pub mod holds;
pub mod live;
pub mod neighbour;
pub mod private_file;
pub mod probe;
pub mod reconcile;
pub mod reload;
pub mod renew;
pub mod replication;
pub mod retention;
pub mod scrub;
pub mod serve;
pub mod uplink;
pub mod virtual_server;
