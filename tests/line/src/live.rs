//! A live stream before the bulk: pieces at even times, each with the time it was made.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result};
use quinn::{Connection, RecvStream};

use crate::ours;
use crate::run::Stage;

/// Made when, and on its way for how long.
pub(crate) type Delivered = Mutex<Vec<(Duration, Duration)>>;

/// The first byte of its stream.
pub(crate) const KIND: u8 = 1;

/// Time it was made, and how many bytes follow.
const HEAD: usize = 12;

/// Sends until the connection ends.
pub(crate) async fn send(connection: Connection, stage: Arc<Stage>, kbit: f64) -> Result<()> {
    let every = Duration::from_secs_f64(stage.options.live_chunk_ms / 1000.0);
    let bytes = (kbit * 125.0 * every.as_secs_f64()) as u32;
    let zeros = vec![0_u8; bytes as usize];
    let mut stream = connection.open_uni().await.context("open the live stream")?;
    stream.set_priority(1)?;
    stream.write_all(&[KIND]).await?;
    let mut due = stage.now();
    loop {
        due += every;
        stage.until(due).await;
        let mut head = [0; HEAD];
        head[..8].copy_from_slice(&u64::try_from(due.as_nanos())?.to_be_bytes());
        head[8..].copy_from_slice(&bytes.to_be_bytes());
        stream.write_all(&head).await?;
        stream.write_all(&zeros).await?;
    }
}

/// Reads until the stream ends.
pub(crate) async fn receive(mut stream: RecvStream, stage: Arc<Stage>) -> Result<()> {
    let mut piece = Vec::new();
    loop {
        let mut head = [0; HEAD];
        stream.read_exact(&mut head).await?;
        let (made, bytes) = head.split_at(8);
        let made = Duration::from_nanos(u64::from_be_bytes(made.try_into()?));
        piece.resize(u32::from_be_bytes(bytes.try_into()?) as usize, 0);
        stream.read_exact(&mut piece).await?;
        let now = stage.now();
        stage.ours.arrivals.count(now, (HEAD + piece.len()) as u64);
        ours::locked(&stage.ours.live).push((made, now.saturating_sub(made)));
    }
}
