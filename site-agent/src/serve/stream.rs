//! Sends what a blocking reader produces: a few pieces ahead of the client, never more.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::Shared;
use super::answer::Refusal;

/// Pieces read ahead of the client.
const AHEAD: usize = 4;
/// A client that takes nothing for this long is dropped.
const PATIENCE: Duration = Duration::from_secs(60);

/// Room for one reader; given back when it is dropped.
pub(super) type Room = tokio::sync::OwnedSemaphorePermit;

/// Takes room for one reader.
pub(super) fn room(shared: &Shared) -> Result<Room, Refusal> {
    shared.readers.clone().try_acquire_owned().map_err(|_| Refusal::busy())
}

/// A body of these pieces. After an error the connection is broken off, so that the client knows that
/// what it has is not all.
pub(super) fn body<E>(room: Room, pieces: impl Iterator<Item = Result<Bytes, E>> + Send + 'static) -> Body
where
    E: std::error::Error + Send + Sync + 'static,
{
    let (sender, receiver) = mpsc::channel(AHEAD);
    let handle = Handle::current();
    tokio::task::spawn_blocking(move || {
        let _room = room;
        for piece in pieces {
            if let Err(error) = &piece {
                tracing::warn!(%error, "an answer breaks off");
            }
            let last = piece.is_err();
            let sent = handle.block_on(async { tokio::time::timeout(PATIENCE, sender.send(piece)).await });
            if last || !matches!(sent, Ok(Ok(()))) {
                return;
            }
        }
    });
    Body::from_stream(ReceiverStream::new(receiver))
}
