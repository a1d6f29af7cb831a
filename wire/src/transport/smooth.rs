//! A socket whose packets leave as far apart as the congestion controller wants them.
//!
//! quinn paces too, but ten packets at a time. On a line of 6 Mbit/s that is a burst every 20 ms, and beside
//! somebody who keeps the queue full a burst finds room for its first packets only. So where the controller asks
//! for it, the socket says that it can't be written to until the next packet is due: quinn keeps one that is
//! ready and comes back, as it does for a socket whose buffer is full.
//!
//! For an endpoint with one connection, as a site's is: others on it would wait for each other's packets.

use std::fmt;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, UdpPoller};
use tokio::time::{Sleep, sleep};

use super::runtime::QuicHandle;
use crate::clock;
use crate::congestion::pace::{Pace, Spacing};

/// The socket. See the module.
#[derive(Debug)]
pub(super) struct Smooth {
    inner: Arc<dyn AsyncUdpSocket>,
    quic: QuicHandle,
    pace: Arc<Pace>,
    spacing: Mutex<Spacing>,
    /// The largest packet it carries, in bytes of UDP payload.
    packet: f64,
}

impl Smooth {
    /// `inner`, at `pace`; packets are `packet` bytes at most.
    pub(super) fn new(
        inner: Arc<dyn AsyncUdpSocket>,
        quic: &QuicHandle,
        pace: Arc<Pace>,
        packet: u16,
    ) -> Arc<Self> {
        let spacing = Mutex::default();
        Arc::new(Self { inner, quic: quic.clone(), pace, spacing, packet: f64::from(packet) })
    }

    fn spacing(&self) -> MutexGuard<'_, Spacing> {
        self.spacing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsyncUdpSocket for Smooth {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        let inner = Arc::clone(&self.inner).create_io_poller();
        let timer = {
            let _within = self.quic.threads().enter();
            Box::pin(sleep(Duration::ZERO))
        };
        Box::pin(Poller { socket: self, inner, timer })
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.inner.try_send(transmit)?;
        self.spacing().spend(clock::now(), transmit.contents.len(), self.pace.get());
        Ok(())
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        self.inner.poll_recv(cx, bufs, meta)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        let most = self.inner.max_transmit_segments();
        self.pace.get().map_or(most, |rate| Spacing::at_once(self.packet, rate).clamp(1, most))
    }

    fn max_receive_segments(&self) -> usize {
        self.inner.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.inner.may_fragment()
    }
}

/// Waits for the kernel, then for the next packet's time.
struct Poller {
    socket: Arc<Smooth>,
    inner: Pin<Box<dyn UdpPoller>>,
    timer: Pin<Box<Sleep>>,
}

impl fmt::Debug for Poller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Poller").field("socket", &self.socket).finish_non_exhaustive()
    }
}

impl UdpPoller for Poller {
    fn poll_writable(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.inner.as_mut().poll_writable(cx))?;
        let due = self.socket.spacing().wait(clock::now());
        let Some(due) = due else { return Poll::Ready(Ok(())) };
        self.timer.as_mut().reset(due.into());
        self.timer.as_mut().poll(cx).map(Ok)
    }
}
