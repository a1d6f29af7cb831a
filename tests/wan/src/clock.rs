//! The one module here that reads the machine's clocks; a [`crate::Path`] only ever sees arguments.
#![allow(clippy::disallowed_methods)]

use std::time::{Duration, Instant};

/// The monotonic clock.
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// The processor time the calling thread has used.
pub(crate) fn thread_cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    let (seconds, nanos) = (u64::try_from(time.tv_sec), u32::try_from(time.tv_nsec));
    Duration::new(seconds.unwrap_or(0), nanos.unwrap_or(0))
}
