//! What is on a stream between hub nodes: a length of four bytes, big-endian, and so many bytes.

use std::io;

use bytes::Bytes;
use quinn::{RecvStream, SendStream, VarInt};
use tokio::io::AsyncReadExt;

/// A request or an answer: a snapshot of the control log is the largest.
pub(super) const MESSAGE_MAX: u32 = 64 << 20;
/// A cast: answers of all of a site's cameras are the largest.
pub(super) const CAST_MAX: u32 = 1 << 18;
/// Why a connection is closed: who calls is nobody here.
pub(super) const NOT_A_MEMBER: VarInt = VarInt::from_u32(3);

pub(super) async fn write(stream: &mut SendStream, message: &[u8]) -> io::Result<()> {
    let length = u32::try_from(message.len()).map_err(io::Error::other)?;
    stream.write_all(&length.to_be_bytes()).await?;
    Ok(stream.write_all(message).await?)
}

/// The next message; `None` at the end of the stream.
pub(super) async fn read(stream: &mut RecvStream, max: u32) -> io::Result<Option<Bytes>> {
    let length = match stream.read_u32().await {
        Ok(length) if length <= max => length,
        Ok(length) => {
            return Err(io::Error::other(format!("a message of {length} bytes; {max} are allowed")));
        }
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut message = Vec::new();
    // Memory grows with what arrives, not with what was announced.
    stream.take(length.into()).read_to_end(&mut message).await?;
    match message.len() == length as usize {
        true => Ok(Some(message.into())),
        false => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}
