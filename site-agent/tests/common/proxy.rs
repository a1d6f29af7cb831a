//! A proxy between a recorder and a camera that counts, alters and loses.

use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

/// What is done to each connection.
#[derive(Clone, Default)]
pub(crate) struct Meddling {
    /// In what the camera answers, this text is replaced by that one of the same length.
    pub(crate) replace: Option<(&'static str, &'static str)>,
    /// These packets of the first interleaved channel, counted from 0 in each connection, are lost.
    pub(crate) lose: Range<usize>,
    /// After so many packets of it nothing comes any more, though the connection stays.
    pub(crate) stall_after: Option<usize>,
}

/// What was seen.
#[derive(Clone, Default)]
pub(crate) struct Seen {
    /// How many connections were made.
    pub(crate) connections: usize,
    /// The requests' methods, in order.
    pub(crate) methods: Vec<String>,
    /// How many DESCRIBE requests brought credentials.
    pub(crate) log_ins: usize,
}

/// A listening proxy; ends when dropped.
pub(crate) struct Proxy {
    port: u16,
    seen: Arc<Mutex<Seen>>,
    task: tokio::task::JoinHandle<()>,
}

impl Proxy {
    /// Listens at a free port for the camera server at `port`.
    pub(crate) async fn start(port: u16, meddling: Meddling) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("listen");
        let own = listener.local_addr().expect("an address").port();
        let seen = Arc::<Mutex<Seen>>::default();
        let task = tokio::spawn(serve(listener, port, meddling, seen.clone()));
        Self { port: own, seen, task }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// What was seen so far.
    pub(crate) fn seen(&self) -> Seen {
        lock(&self.seen).clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().expect("no test panics while it counts")
}

async fn serve(listener: TcpListener, port: u16, meddling: Meddling, seen: Arc<Mutex<Seen>>) {
    let mut connections = tokio::task::JoinSet::new(); // ends them with the proxy
    while let Ok((client, _)) = listener.accept().await {
        lock(&seen).connections += 1;
        let Ok(camera) = TcpStream::connect(("127.0.0.1", port)).await else { continue };
        let ((from_client, to_client), (from_camera, to_camera)) = (client.into_split(), camera.into_split());
        connections.spawn(requests(from_client, to_camera, seen.clone()));
        connections.spawn(answers(from_camera, to_client, meddling.clone()));
    }
}

async fn requests(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, seen: Arc<Mutex<Seen>>) {
    let mut pending = Vec::new();
    while from.read_buf(&mut pending).await.is_ok_and(|read| read > 0) {
        while let Some(end) = find(&pending, b"\r\n\r\n") {
            let request: Vec<u8> = pending.drain(..end + 4).collect();
            note(&String::from_utf8_lossy(&request), &mut lock(&seen));
            if to.write_all(&request).await.is_err() {
                return;
            }
        }
    }
}

fn note(request: &str, seen: &mut Seen) {
    let method = request.split(' ').next().unwrap_or_default();
    seen.log_ins += usize::from(method == "DESCRIBE" && request.contains("\r\nAuthorization:"));
    seen.methods.push(method.to_owned());
}

async fn answers(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, meddling: Meddling) {
    let (mut pending, mut packets) = (Vec::new(), 0);
    while from.read_buf(&mut pending).await.is_ok_and(|read| read > 0) {
        while let Some(length) = message_length(&pending) {
            let mut message: Vec<u8> = pending.drain(..length).collect();
            if message[..2] == [b'$', 0] {
                packets += 1;
                if meddling.lose.contains(&(packets - 1)) {
                    continue;
                }
            } else if let Some((old, new)) = meddling.replace
                && message[0] != b'$'
            {
                while let Some(at) = find(&message, old.as_bytes()) {
                    message[at..at + old.len()].copy_from_slice(new.as_bytes());
                }
            }
            if meddling.stall_after.is_some_and(|most| packets > most) {
                continue;
            }
            if to.write_all(&message).await.is_err() {
                return;
            }
        }
    }
}

/// How long the complete message at the beginning is, if it is complete.
fn message_length(pending: &[u8]) -> Option<usize> {
    let length = if pending.first() == Some(&b'$') {
        4 + usize::from(u16::from_be_bytes([*pending.get(2)?, *pending.get(3)?]))
    } else {
        let head = find(pending, b"\r\n\r\n")? + 4;
        let text = String::from_utf8_lossy(&pending[..head]).to_ascii_lowercase();
        let body = text.lines().find_map(|line| line.strip_prefix("content-length:"));
        head + body.map_or(0, |length| length.trim().parse().expect("a length"))
    };
    (pending.len() >= length).then_some(length)
}

fn find(data: &[u8], text: &[u8]) -> Option<usize> {
    data.windows(text.len()).position(|window| window == text)
}
