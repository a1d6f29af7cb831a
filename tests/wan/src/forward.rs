//! The thread of one direction: reads from one TUN, asks the path, writes to the other.
//!
//! When idle it sleeps until a packet comes or is due (`ppoll`, in nanoseconds). When busy it rests a moment
//! between rounds, so that packets go in small batches: at 500 Mbit/s that saves half the processor time, and
//! costs at most the rest in punctuality. It never spins: on two cores the measured programs need the rest.

use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context;
use hdrhistogram::Histogram;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fd::OwnedFd;
use rustix::io::Errno;

use crate::clock;
use crate::orders::{Obeyer, Orders, orders};
use crate::path::{Departure, Path, Verdict};
use crate::priority;
use crate::report::WayReport;
use crate::settings::PathSettings;
use crate::tun::{MTU, Tun};

/// Reads before what is due is written.
const BATCH: usize = 32;

/// Between two rounds that had something to do.
const REST: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000 };

/// What the handle asks for.
enum Order {
    /// A new path, new figures; time starts now.
    Begin(Box<PathSettings>, u64, SyncSender<()>),
    Change(Box<PathSettings>),
    Cut(bool),
    Report(SyncSender<WayReport>),
    Queue(SyncSender<Option<Duration>>),
    Stop,
}

/// The handle of a direction's thread.
pub(crate) struct Forwarder {
    orders: Orders<Order>,
    bell: Arc<OwnedFd>,
    thread: Option<JoinHandle<()>>,
}

impl Forwarder {
    /// Starts the thread, with a path that changes nothing.
    pub(crate) fn start(name: &str, from: Arc<Tun>, to: Arc<Tun>) -> anyhow::Result<Self> {
        let bell =
            Arc::new(eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC).context("make an eventfd")?);
        let (orders, obeyer) = orders();
        let direction = Direction {
            from,
            to,
            bell: Arc::clone(&bell),
            orders: obeyer,
            path: Path::new(PathSettings::default(), 0),
            began: clock::now(),
            cpu_before: Duration::ZERO,
            figures: WayReport::default(),
            late_ns: lateness(),
            realtime: false,
        };
        let thread = std::thread::Builder::new().name(name.to_owned());
        let thread = thread.spawn(move || direction.run()).context("start a thread")?;
        Ok(Self { orders, bell, thread: Some(thread) })
    }

    pub(crate) fn begin(&self, settings: PathSettings, seed: u64) {
        let (done, begun) = std::sync::mpsc::sync_channel(1);
        self.order(Order::Begin(Box::new(settings), seed, done));
        // Only a thread that is gone does not answer; its report says why.
        let _ = begun.recv();
    }

    pub(crate) fn change(&self, settings: PathSettings) {
        self.order(Order::Change(Box::new(settings)));
    }

    pub(crate) fn cut(&self, cut: bool) {
        self.order(Order::Cut(cut));
    }

    /// None if the thread is gone.
    pub(crate) fn report(&self) -> Option<WayReport> {
        self.ask(Order::Report)
    }

    /// None if the thread is gone, or nothing passes.
    pub(crate) fn queue(&self) -> Option<Duration> {
        self.ask(Order::Queue).flatten()
    }

    fn ask<T>(&self, order: impl FnOnce(SyncSender<T>) -> Order) -> Option<T> {
        let (answer, answered) = std::sync::mpsc::sync_channel(1);
        self.order(order(answer));
        answered.recv().ok()
    }

    fn order(&self, order: Order) {
        self.orders.give(order);
        let _ = rustix::io::write(&*self.bell, &1_u64.to_ne_bytes());
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        self.order(Order::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Direction {
    from: Arc<Tun>,
    to: Arc<Tun>,
    bell: Arc<OwnedFd>,
    orders: Obeyer<Order>,
    path: Path<Box<[u8]>>,
    began: Instant,
    cpu_before: Duration,
    figures: WayReport,
    late_ns: Histogram<u64>,
    realtime: bool,
}

impl Direction {
    fn run(mut self) {
        self.realtime = priority::raise(priority::FORWARDING);
        let mut running = true;
        while running {
            if let Err(error) = self.round() {
                self.figures.failed.get_or_insert(error.to_string());
                // Nothing can be carried any more; the handle still gets its answers.
                std::thread::sleep(Duration::from_millis(10));
            }
            running = self.obey();
        }
    }

    /// Carries what there is, then sleeps, unless there is more.
    fn round(&mut self) -> std::io::Result<()> {
        let moved_before = self.figures.packets_in + self.figures.packets_out;
        if self.read()? {
            return self.write();
        }
        self.write()?;
        if self.figures.packets_in + self.figures.packets_out > moved_before {
            poll(&mut [], Some(&REST)).or_else(ignore_interruption)?;
            return Ok(());
        }
        self.wait()
    }

    /// True if there may be more to read.
    fn read(&mut self) -> std::io::Result<bool> {
        // Longer than any packet, so that one that is too long shows.
        let mut buffer = [0; MTU + 100];
        for _ in 0..BATCH {
            let Some(bytes) = self.from.read(&mut buffer)? else { return Ok(false) };
            if bytes > MTU {
                return Err(std::io::Error::other(format!(
                    "the kernel handed out {bytes} bytes: offloads are on"
                )));
            }
            let size = u32::try_from(bytes).unwrap_or(u32::MAX);
            self.figures.packets_in += 1;
            self.figures.bytes_in += u64::from(size);
            if let Verdict::Dropped(cause) = self.path.push(self.now(), size, Box::from(&buffer[..bytes])) {
                self.figures.dropped.count(cause);
            }
            self.figures.queue_bytes_max = self.figures.queue_bytes_max.max(self.path.queue_bytes());
        }
        Ok(true)
    }

    fn write(&mut self) -> std::io::Result<()> {
        let mut now = self.now();
        while let Some(Departure { due, packet }) = self.path.pop(now) {
            match self.to.write(&packet) {
                Ok(()) => {
                    self.figures.packets_out += 1;
                    self.figures.bytes_out += packet.len() as u64;
                }
                Err(error) if error.raw_os_error() == Some(libc::EBADFD) => return Err(error),
                Err(_) => self.figures.refused += 1,
            }
            let late = now.saturating_sub(due);
            self.late_ns.saturating_record(u64::try_from(late.as_nanos()).unwrap_or(u64::MAX));
            now = self.now();
        }
        Ok(())
    }

    fn wait(&self) -> std::io::Result<()> {
        let left = self.path.poll_timeout().map(|due| due.saturating_sub(self.now()));
        let left = left.and_then(|left| Timespec::try_from(left).ok());
        let mut ready = [
            PollFd::from_borrowed_fd(self.from.fd(), PollFlags::IN),
            PollFd::new(&*self.bell, PollFlags::IN),
        ];
        poll(&mut ready, left.as_ref()).or_else(ignore_interruption)?;
        if ready[1].revents().contains(PollFlags::IN) {
            // Before the orders are looked at: one that comes later rings again.
            rustix::io::read(&*self.bell, &mut [0_u8; 8])?;
        }
        Ok(())
    }

    /// False if it is to end.
    fn obey(&mut self) -> bool {
        loop {
            match self.orders.take() {
                Some(Order::Begin(settings, seed, done)) => {
                    self.began = clock::now();
                    self.cpu_before = clock::thread_cpu();
                    self.path = Path::new(*settings, seed);
                    self.figures = WayReport::default();
                    self.late_ns = lateness();
                    let _ = done.send(());
                }
                Some(Order::Change(settings)) => self.path.reconfigure(self.now(), *settings),
                Some(Order::Cut(true)) => self.path.cut(),
                Some(Order::Cut(false)) => self.path.heal(),
                Some(Order::Report(answer)) => {
                    let _ = answer.send(self.report());
                }
                Some(Order::Queue(answer)) => {
                    let now = self.now();
                    let _ = answer.send(self.path.queue(now));
                }
                Some(Order::Stop) => return false,
                None => return true,
            }
        }
    }

    fn report(&self) -> WayReport {
        let cpu = clock::thread_cpu().saturating_sub(self.cpu_before);
        WayReport {
            packets_inside: self.path.packets_inside() as u64,
            late_us_p99: self.late_ns.value_at_quantile(0.99) / 1000,
            late_us_max: self.late_ns.max() / 1000,
            realtime: self.realtime,
            cpu_ms: u64::try_from(cpu.as_millis()).unwrap_or(u64::MAX),
            ..self.figures.clone()
        }
    }

    /// Time of the path.
    fn now(&self) -> Duration {
        clock::now().saturating_duration_since(self.began)
    }
}

fn ignore_interruption(error: Errno) -> Result<usize, Errno> {
    if error == Errno::INTR { Ok(0) } else { Err(error) }
}

/// Up to a minute, in nanoseconds, two digits.
fn lateness() -> Histogram<u64> {
    Histogram::new_with_max(60_000_000_000, 2)
        .unwrap_or_else(|_| unreachable!("the bounds are constant and valid"))
}
