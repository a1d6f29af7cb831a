//! Asks one camera over and over whether it is there: for whoever may record it for another.
//!
//! Every 500 ms, with 500 ms for the answer, over one connection that stands for as long as the camera lets it.
//! Each camera is asked by a task of its own: one that doesn't answer delays nobody.

mod rtsp;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, MissedTickBehavior};

use crate::config::Camera;

/// From one question to the next.
pub const EVERY: Duration = Duration::from_millis(500);
/// An answer that takes longer is none: a break of the path is to be noticed within a second.
pub const DEADLINE: Duration = Duration::from_millis(500);
/// Names looked up at the same time: the system's resolver can take seconds, on a thread that others need.
static LOOKUPS: Semaphore = Semaphore::const_new(8);

/// What an answer is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The camera is there.
    Free,
    /// It is, but says that it has no session to give away.
    Busy,
}

/// Whom to ask: `id` is the asker's name for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target<I> {
    id: I,
    host: String,
    port: u16,
}

impl<I> Target<I> {
    /// A camera is asked where its main stream is.
    pub fn of(id: I, camera: &Camera) -> Option<Self> {
        let url = &camera.streams.first()?.url;
        let host = url.host_str()?.trim_matches(['[', ']']).to_owned();
        Some(Self { id, host, port: url.port().unwrap_or(554) })
    }

    /// Whom.
    pub fn id(&self) -> &I {
        &self.id
    }
}

/// What came of one question to whom; `None` if no answer came in time.
pub type Asked<I> = (I, Option<Answer>);

/// Asks all of them, for as long as what is returned is kept. Not all at once: they take turns within [`EVERY`].
pub fn ask_all<I>(targets: &[Arc<Target<I>>], asked: &mpsc::Sender<Asked<I>>) -> JoinSet<()>
where
    I: Clone + Send + Sync + 'static,
{
    let mut asking = JoinSet::new();
    for (at, target) in targets.iter().enumerate() {
        let wait = EVERY.mul_f64(at as f64 / targets.len() as f64);
        asking.spawn(ask_for_ever(target.clone(), wait, asked.clone()));
    }
    asking
}

/// Asks until nobody listens any more. The first question comes after `wait`, so that not all are asked at once.
async fn ask_for_ever<I>(target: Arc<Target<I>>, wait: Duration, asked: mpsc::Sender<Asked<I>>)
where
    I: Clone + Send + Sync + 'static,
{
    let mut ticks = tokio::time::interval_at(Instant::from_std(wire::clock::now()) + wait, EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut line = Line { target: target.clone(), lookup: None, connection: None, cseq: 0 };
    loop {
        ticks.tick().await;
        let answer = tokio::time::timeout(DEADLINE, line.ask()).await;
        let answer = answer.ok().and_then(|answer| answer.inspect_err(|why| tracing::trace!(%why)).ok());
        if answer.is_none() {
            line.connection = None; // what may still come would be taken for the answer to the next question
        }
        if asked.send((target.id.clone(), answer)).await.is_err() {
            return;
        }
    }
}

struct Line<I> {
    target: Arc<Target<I>>,
    /// A look-up that is under way: never two for one camera.
    lookup: Option<JoinHandle<std::io::Result<SocketAddr>>>,
    connection: Option<TcpStream>,
    cseq: u32,
}

impl<I: Send + Sync + 'static> Line<I> {
    async fn ask(&mut self) -> std::io::Result<Answer> {
        self.cseq = self.cseq.wrapping_add(1);
        if let Some(connection) = &mut self.connection {
            match question(connection, &self.target, self.cseq).await {
                Ok(answer) => return Ok(answer),
                // Cameras that close a connection after one answer, or after a minute.
                Err(_) => self.connection = None,
            }
        }
        let address = self.address().await?;
        let connection = self.connection.insert(TcpStream::connect(address).await?);
        connection.set_nodelay(true)?;
        question(connection, &self.target, self.cseq).await
    }

    async fn address(&mut self) -> std::io::Result<SocketAddr> {
        if let Ok(address) = self.target.host.parse::<IpAddr>() {
            return Ok((address, self.target.port).into());
        }
        let target = self.target.clone();
        let lookup = self.lookup.get_or_insert_with(|| tokio::spawn(look_up(target)));
        let found = lookup.await;
        self.lookup = None;
        found.map_err(std::io::Error::other)?
    }
}

async fn look_up<I>(target: Arc<Target<I>>) -> std::io::Result<SocketAddr> {
    let _turn = LOOKUPS.acquire().await.map_err(std::io::Error::other)?;
    let found = tokio::net::lookup_host((target.host.as_str(), target.port)).await?.next();
    found.ok_or_else(|| std::io::Error::other("the name has no address"))
}

async fn question<I>(connection: &mut TcpStream, target: &Target<I>, cseq: u32) -> std::io::Result<Answer> {
    let authority = format!("{}:{}", bracketed(&target.host), target.port);
    connection.write_all(rtsp::options(&authority, cseq).as_bytes()).await?;
    let mut bytes = Vec::with_capacity(512);
    loop {
        if connection.read_buf(&mut bytes).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        match rtsp::answer(&bytes) {
            Ok(Some((answer, _))) => return Ok(answer),
            Ok(None) => {}
            Err(rtsp::NotRtsp) => return Err(std::io::Error::other("what answers is no camera")),
        }
    }
}

fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}
