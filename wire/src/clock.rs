//! The one module that asks the machine for the time and for randomness.
//!
//! Everything that decides takes `now` and a seed as arguments; a lint (`clippy.toml`) keeps it so.
#![allow(clippy::disallowed_methods)]

use std::time::{Instant, SystemTime};

use crate::time::UnixMicros;

/// The wall clock. It can step: never measure durations with it.
pub fn wall() -> UnixMicros {
    match SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => UnixMicros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX)),
        Err(before) => UnixMicros(-i64::try_from(before.duration().as_micros()).unwrap_or(i64::MAX)),
    }
}

/// The monotonic clock. It never steps, and means nothing on another machine.
pub fn now() -> Instant {
    Instant::now()
}

/// Microseconds since boot (CLOCK_BOOTTIME): never steps, and goes on while the machine sleeps.
#[allow(unsafe_code)]
pub fn boot_us() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call writes one timespec, to the one it is given; it fails only for clocks the kernel
    // does not have, and every kernel this runs on has this one.
    unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &raw mut time) };
    let (seconds, nanos) = (u64::try_from(time.tv_sec), u64::try_from(time.tv_nsec));
    seconds.unwrap_or(0) * 1_000_000 + nanos.unwrap_or(0) / 1_000
}

/// A seed for a generator that is then passed on.
pub fn seed() -> u64 {
    rand::random()
}

/// Sixteen bytes nobody else has drawn.
pub fn random_id() -> [u8; 16] {
    rand::random()
}
