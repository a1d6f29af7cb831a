//! Threads that run before ordinary ones: what measures or carries packets must not wait for what is measured.

/// Of the threads that carry packets.
pub(crate) const FORWARDING: libc::c_int = 2;

/// Of the threads that prove the WAN: punctual, but behind what they measure.
pub(crate) const PROVING: libc::c_int = 1;

/// Raises the calling thread, and those it starts; false if the machine does not allow it.
#[allow(unsafe_code)]
pub(crate) fn raise(sched_priority: libc::c_int) -> bool {
    let wanted = libc::sched_param { sched_priority };
    // SAFETY: 0 is the calling thread, and the call reads one sched_param.
    unsafe { libc::sched_setscheduler(0, libc::SCHED_RR, &raw const wanted) == 0 }
}

/// Does `work` on a raised thread of its own: punctual, but behind the WAN.
pub fn raised<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let thread = || {
        raise(PROVING);
        work()
    };
    let done = std::thread::scope(|scope| scope.spawn(thread).join());
    done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
