//! Every setting of a node, with its default.

use std::time::Duration;

use crate::detector::Timers;
use crate::detector::correlated::Correlation;
use crate::detector::fitness::FitnessBounds;

/// How a node goes about it. The same on all nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// When silence means something.
    pub timers: Timers,
    /// When silence of many is one event.
    pub correlation: Correlation,
    /// When a node abstains.
    pub fitness: FitnessBounds,
    /// A proposal that doesn't show in the state is made again after this.
    pub retry: Duration,
    /// Everything is looked at at least this often.
    pub tick: Duration,
    /// After somebody heard a recorder that the leader doesn't, the leader asks again no earlier than this,
    /// unless that voter hints that it fell silent there too.
    pub heard_retry: Duration,
    /// Other sites are given a new nonce after this, while a home is silent here.
    pub nonce_again: Duration,
    /// A stated restart is waited for no longer than this.
    pub restart_max: Duration,
    /// A healed site whose beats stop for this long has relapsed.
    pub relapse: Duration,
    /// A candidate host that reports nothing for this long is no candidate.
    pub host_mute: Duration,
    /// While the recorder it would stand by for is silent too, this is long enough.
    pub host_mute_in_doubt: Duration,
    /// A mute host is tried again after this.
    pub host_again: Duration,
    /// A drill whose site is not heard again ends so long after its time is over; what comes then is no drill.
    pub drill_grace: Duration,
    /// A site that is heard again may take so long to have its authority back; then the drill ends without that.
    pub drill_return_max: Duration,
    /// A recorder must have stalled, or progressed again, for this long before a standby helps, or stops.
    pub assist_settle: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            timers: Timers::default(),
            correlation: Correlation::default(),
            fitness: FitnessBounds::default(),
            retry: Duration::from_millis(500),
            tick: Duration::from_secs(1),
            heard_retry: Duration::from_secs(30),
            nonce_again: Duration::from_secs(10),
            restart_max: Duration::from_secs(600),
            relapse: Duration::from_secs(5),
            host_mute: Duration::from_secs(15),
            host_mute_in_doubt: Duration::from_secs(3),
            host_again: Duration::from_secs(60),
            drill_grace: Duration::from_secs(60),
            drill_return_max: Duration::from_secs(300),
            assist_settle: Duration::from_secs(10),
        }
    }
}
