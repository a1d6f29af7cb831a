//! Asks one camera over and over whether it is there.
//!
//! Every 500 ms, with 500 ms for the answer, over one connection that stands for as long as the camera lets it.
//! Each camera is asked by a task of its own: one that doesn't answer delays nobody.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use decide::CameraId;
use decide::evidence::Answer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior};

use super::rtsp;

/// From one question to the next.
pub(super) const EVERY: Duration = Duration::from_millis(500);
/// An answer that takes longer is none: a break of the path is to be noticed within a second.
pub(super) const DEADLINE: Duration = Duration::from_millis(500);
/// Names looked up at the same time: the system's resolver can take seconds, on a thread that others need.
static LOOKUPS: Semaphore = Semaphore::const_new(8);

/// Whom to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) camera: CameraId,
    pub(super) host: String,
    pub(super) port: u16,
}

/// What came of one question; `None` if no answer came in time.
pub(super) type Asked = (CameraId, Option<Answer>);

/// Asks until nobody listens any more. The first question comes after `wait`, so that not all are asked at once.
pub(super) async fn ask_for_ever(target: Arc<Target>, wait: Duration, asked: mpsc::Sender<Asked>) {
    let mut ticks = tokio::time::interval_at(Instant::from_std(wire::clock::now()) + wait, EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut camera = Camera { target: target.clone(), lookup: None, line: None, cseq: 0 };
    loop {
        ticks.tick().await;
        let answer = tokio::time::timeout(DEADLINE, camera.ask()).await;
        let answer = answer.ok().and_then(|answer| answer.inspect_err(|why| tracing::trace!(%why)).ok());
        if answer.is_none() {
            camera.line = None; // what may still come would be taken for the answer to the next question
        }
        if asked.send((target.camera.clone(), answer)).await.is_err() {
            return;
        }
    }
}

struct Camera {
    target: Arc<Target>,
    /// A look-up that is under way: never two for one camera.
    lookup: Option<JoinHandle<std::io::Result<SocketAddr>>>,
    line: Option<TcpStream>,
    cseq: u32,
}

impl Camera {
    async fn ask(&mut self) -> std::io::Result<Answer> {
        self.cseq = self.cseq.wrapping_add(1);
        if let Some(line) = &mut self.line {
            match question(line, &self.target, self.cseq).await {
                Ok(answer) => return Ok(answer),
                // Cameras that close a connection after one answer, or after a minute.
                Err(_) => self.line = None,
            }
        }
        let address = self.address().await?;
        let line = self.line.insert(TcpStream::connect(address).await?);
        line.set_nodelay(true)?;
        question(line, &self.target, self.cseq).await
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

async fn look_up(target: Arc<Target>) -> std::io::Result<SocketAddr> {
    let _turn = LOOKUPS.acquire().await.map_err(std::io::Error::other)?;
    let found = tokio::net::lookup_host((target.host.as_str(), target.port)).await?.next();
    found.ok_or_else(|| std::io::Error::other("the name has no address"))
}

async fn question(line: &mut TcpStream, target: &Target, cseq: u32) -> std::io::Result<Answer> {
    let authority = format!("{}:{}", bracketed(&target.host), target.port);
    line.write_all(rtsp::options(&authority, cseq).as_bytes()).await?;
    let mut bytes = Vec::with_capacity(512);
    loop {
        if line.read_buf(&mut bytes).await? == 0 {
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
