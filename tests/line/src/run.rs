//! One run: the line, the ends, the flows, and those who watch.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread::ScopedJoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use wan::prove::Lab;
use wan::{End, Wan};
use wire::clock;

use crate::arrivals::Arrivals;
use crate::beside;
use crate::keys::Keys;
use crate::line::Line;
use crate::options::Options;
use crate::ours::{self, Ours};
use crate::outcome::{self, Outcome};
use crate::watch::watch;

/// Where the hub's end listens; the namespace is its own.
const PORT: u16 = 4433;

/// Everything that the threads of a run share. Time is that of the line.
pub(crate) struct Stage {
    // Before the namespaces: its devices are in them.
    pub(crate) wan: Wan,
    pub(crate) lab: Lab,
    pub(crate) options: Options,
    pub(crate) keys: Keys,
    pub(crate) ours: Ours,
    pub(crate) beside: Vec<Arrivals>,
    began: Instant,
}

impl Stage {
    pub(crate) fn now(&self) -> Duration {
        clock::now().saturating_duration_since(self.began)
    }

    pub(crate) async fn until(&self, at: Duration) {
        tokio::time::sleep_until((self.began + at).into()).await;
    }

    pub(crate) fn sleep_until(&self, at: Duration) {
        std::thread::sleep(at.saturating_sub(self.now()));
    }
}

/// Needs root, for the namespaces.
pub fn run(options: &Options) -> Result<Outcome> {
    let settings = options.wan()?;
    let lab = Lab::new()?;
    let wan = lab.start(&settings)?;
    let stage = Arc::new(Stage {
        wan,
        lab,
        options: options.clone(),
        keys: Keys::new()?,
        ours: Ours::new(options),
        beside: options.beside.iter().map(|_| Arrivals::new(options.end())).collect(),
        began: clock::now(),
    });
    let hub = SocketAddr::from((stage.lab.b.address, PORT));
    let (ready, is_ready) = sync_channel(1);
    let seen = std::thread::scope(|scope| {
        let receive = || quic(&stage.lab.b, ours::receive(Arc::clone(&stage), hub, ready));
        let receiver = named("line-receive").spawn_scoped(scope, receive)?;
        if is_ready.recv().is_err() {
            joined(receiver).context("start the receiving end")?;
            bail!("the receiving end ended before it began");
        }
        let send = || quic(&stage.lab.a, ours::send(Arc::clone(&stage), hub));
        let sender = named("line-send").spawn_scoped(scope, send)?;
        let flow = |index| {
            let stage = &stage;
            named("line-tcp").spawn_scoped(scope, move || beside::flow(stage, index))
        };
        let flows: Vec<_> = (0..stage.beside.len()).map(flow).collect::<Result<_, _>>()?;
        let watcher = named("line-watch").spawn_scoped(scope, || wan::priority::raised(|| watch(&stage)))?;
        let seen = joined(watcher).context("watch the line")?;
        joined(receiver).context("receive")?;
        joined(sender).context("send")?;
        for flow in flows {
            joined(flow).context("send by TCP")?;
        }
        anyhow::Ok(seen)
    })?;
    let line = Line::new(&settings);
    outcome::judge(&stage, &line, &seen)
}

fn joined<T>(thread: ScopedJoinHandle<'_, Result<T>>) -> Result<T> {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn named(name: &str) -> std::thread::Builder {
    std::thread::Builder::new().name(name.to_owned())
}

/// Runs one end of our connection in its namespace, on a thread and a runtime of its own.
fn quic(end: &End, work: impl Future<Output = Result<()>> + Send) -> Result<()> {
    end.netns.inside(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.context("start a runtime")?.block_on(work)
    })?
}
