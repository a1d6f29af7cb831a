//! How a node's log is opened: whose, where, and with which timers.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use decide::NodeId;
use openraft::{Config, SnapshotPolicy};

/// Entries between two snapshots: a replay of at most so many at start.
const SNAPSHOT_EVERY: u64 = 4096;
/// Entries kept behind a snapshot, so that a node that was away for a moment needs no snapshot.
const KEEP: u64 = 1024;
/// For a snapshot: some megabytes, on a line that is also used otherwise.
const SNAPSHOT_MS: u64 = 30_000;

/// What [`ControlLog::open`](crate::ControlLog::open) wants to know.
#[derive(Clone, Debug)]
pub struct Options {
    /// Whose replica this is.
    pub me: NodeId,
    /// Where it is kept: a folder nobody else uses.
    pub dir: PathBuf,
    /// How fast it is noticed that a leader is gone.
    pub timing: Timing,
}

/// Timers; `docs/design/control-log.md` has the arithmetic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// The leader says so often that it is there.
    pub heartbeat: Duration,
    /// A follower asks to be elected when it has heard nothing for the lease, and for a time drawn between
    /// this…
    pub election_min: Duration,
    /// …and this. It is the lease too: for so long a follower elects nobody else, and a leader that hears no
    /// majority takes proposals.
    pub election_max: Duration,
    /// After so long the outcome of a proposal is called unknown.
    pub propose: Duration,
    /// So long a new node may take to catch up before [`add_node`](crate::ControlLog::add_node) gives up.
    pub catch_up: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_millis(250),
            election_min: Duration::from_millis(750),
            election_max: Duration::from_millis(1500),
            propose: Duration::from_secs(5),
            catch_up: Duration::from_secs(60),
        }
    }
}

impl Timing {
    /// openraft's configuration.
    pub(crate) fn config(&self) -> Result<Arc<Config>, String> {
        let election_max = millis(self.election_max);
        let config = Config {
            cluster_name: "holdfast".to_owned(),
            heartbeat_interval: millis(self.heartbeat),
            election_timeout_min: millis(self.election_min),
            election_timeout_max: election_max,
            install_snapshot_timeout: SNAPSHOT_MS,
            snapshot_policy: SnapshotPolicy::LogsSinceLast(SNAPSHOT_EVERY),
            max_in_snapshot_log_to_keep: KEEP,
            replication_lag_threshold: 2 * SNAPSHOT_EVERY,
            // Without the first, a node that was cut off comes back with a higher term and deposes a leader who
            // is well; without the second, a leader that hears nobody keeps those who hear it from electing.
            enable_pre_vote: Some(true),
            quorum_loss_probe_interval: Some(2 * election_max),
            // A restarted leader is elected anew: what it knew to be committed may not have reached its disk.
            enable_leader_restore: Some(false),
            // A node that can't be reached is tried again: soon, since hub nodes are few.
            backoff: "100ms 200ms ...500ms".to_owned(),
            ..Config::default()
        };
        config.validate().map(Arc::new).map_err(|error| error.to_string())
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
