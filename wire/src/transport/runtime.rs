//! QUIC's own threads.
//!
//! quinn does everything on tasks that it hands to a runtime: one for the socket, one for each connection.
//! Among tasks that hash, wait for disks or answer HTTP they come too late, and a driver that comes 10 ms too
//! late has lost packets at 1 Gbit/s (its socket's buffer is full) and acknowledges late at any rate, which
//! the other side takes for a longer path. So they get threads nobody else uses, and the main runtime may be
//! as busy as it likes: what it is late for then is its own data, not the connection's life.
//!
//! quinn starts a connection's task from wherever somebody dials or accepts. That is why this is a
//! [`quinn::Runtime`] with a handle of its own, and not a runtime that one must remember to be in.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use quinn::{AsyncTimer, AsyncUdpSocket, TokioRuntime};
use tokio::runtime::{Builder, Handle, Runtime};

/// The threads of QUIC. They live as long as this does: keep it until the last connection is closed.
pub struct QuicThreads {
    /// Taken at the end only.
    runtime: Option<Runtime>,
}

impl QuicThreads {
    /// Starts `workers` threads. One does for a site's connection (some 8 Gbit/s over loopback); a hub, with a
    /// task for each site, wants two.
    pub fn start(workers: usize) -> io::Result<Self> {
        let mut builder = Builder::new_multi_thread();
        let runtime = builder.worker_threads(workers).thread_name("quic").enable_all().build()?;
        Ok(Self { runtime: Some(runtime) })
    }

    /// What endpoints are made with.
    pub fn handle(&self) -> QuicHandle {
        match &self.runtime {
            Some(runtime) => QuicHandle(runtime.handle().clone()),
            None => unreachable!("it is taken when this is dropped"),
        }
    }
}

impl Drop for QuicThreads {
    /// Without waiting: whoever drops this may be on a thread that must not wait.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl fmt::Debug for QuicThreads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("QuicThreads")
    }
}

/// Puts quinn's tasks, timers and sockets on the threads it is of.
#[derive(Clone, Debug)]
pub struct QuicHandle(Handle);

impl From<Handle> for QuicHandle {
    /// On somebody else's threads: for tests and tools that have nothing to keep apart.
    fn from(handle: Handle) -> Self {
        Self(handle)
    }
}

impl QuicHandle {
    /// The threads themselves: for tasks that answer packets with packets and wait for nothing else. A thread more
    /// between those costs more than such a task does.
    pub fn threads(&self) -> &Handle {
        &self.0
    }
}

impl quinn::Runtime for QuicHandle {
    fn new_timer(&self, at: Instant) -> Pin<Box<dyn AsyncTimer>> {
        let _within = self.0.enter();
        TokioRuntime.new_timer(at)
    }

    fn spawn(&self, future: Pin<Box<dyn Future<Output = ()> + Send>>) {
        self.0.spawn(future);
    }

    fn wrap_udp_socket(&self, socket: std::net::UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        let _within = self.0.enter();
        TokioRuntime.wrap_udp_socket(socket)
    }

    fn now(&self) -> Instant {
        TokioRuntime.now()
    }
}
