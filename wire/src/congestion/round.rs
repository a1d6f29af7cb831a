//! What is counted between two acknowledgements, and in a round.

/// From an acknowledgement of something sent to the first acknowledgement of something sent after it.
#[derive(Clone, Debug)]
pub(super) struct Round {
    pub(super) started: f64,
    /// When the newest packet acknowledged before it was sent.
    pub(super) newest: f64,
    pub(super) acked: f64,
    /// Bytes × round trip, summed.
    pub(super) waited: f64,
    pub(super) lost: f64,
    pub(super) min_rtt: f64,
    pub(super) samples: u32,
    pub(super) app_limited: bool,
    /// An outage falls into it: its rate says nothing.
    pub(super) broken: bool,
}

/// What one acknowledgement covers.
#[derive(Clone, Debug, Default)]
pub(super) struct Batch {
    pub(super) bytes: f64,
    /// Bytes × round trip, summed.
    pub(super) waited: f64,
    pub(super) newest: f64,
    pub(super) app_limited: bool,
}

impl Round {
    pub(super) fn new(started: f64, newest: f64) -> Self {
        Self {
            started,
            newest,
            acked: 0.0,
            waited: 0.0,
            lost: 0.0,
            min_rtt: f64::INFINITY,
            samples: 0,
            app_limited: false,
            broken: false,
        }
    }

    pub(super) fn take(&mut self, batch: &Batch, rtt: f64, app_limited: bool) {
        self.acked += batch.bytes;
        self.waited += batch.waited;
        self.min_rtt = self.min_rtt.min(rtt);
        self.samples += 1;
        self.app_limited |= app_limited;
    }
}
