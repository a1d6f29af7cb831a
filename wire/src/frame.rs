//! Framing of messages on a byte stream: `u32` big endian length, then that many bytes of protobuf.
//!
//! One frame carries one message. [`read`] and [`write()`] work over any tokio stream (QUIC, TCP, a pipe);
//! [`Reader`] is the one to use inside `select!`, and [`Decoder`] is the same without I/O.
//!
//! Guarantees:
//! * a length above the reader's limit is refused before anything is allocated for it;
//! * a length is a promise, not a fact: memory grows with what has arrived, to at most twice that plus
//!   64 KiB;
//! * a stream that ends between two frames has ended well; one that ends inside a frame is an error;
//! * `Bytes` fields of a message are slices of the frame it came in, not copies.
//!
//! It never knows what a message means.

use std::io;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use prost::Message;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The longest message on a control stream. A reconciliation of a large site is split into several
/// messages well below it.
pub const CONTROL_BYTES_MAX: usize = 4 << 20;

/// The longest message on a data stream: a part with its key. No camera comes near it: it is more than
/// 300 Mbit/s for a whole second, the longest a fragment lasts.
pub const PART_BYTES_MAX: usize = 40 << 20;

/// Bytes in front of every message.
const HEAD_BYTES: usize = 4;

/// The least room made for a message whose bytes have not arrived yet.
const STEP_BYTES: usize = 64 << 10;

/// Why a message could not be read or written. After any of these the stream is of no more use, because
/// nobody knows where its next frame begins.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The message is longer than this stream allows.
    #[error("a message of {bytes} bytes is over the limit of {max} bytes: close this stream")]
    TooLong {
        /// What the frame claims.
        bytes: u64,
        /// What the reader allows.
        max: usize,
    },
    /// The stream ended inside a frame.
    #[error("the stream ended inside a message, after {got} of {want} bytes: connect again")]
    Truncated {
        /// Bytes of the frame that came, with its length.
        got: u64,
        /// Bytes the frame has, with its length.
        want: u64,
    },
    /// The frame is whole, but it is not the message that belongs here.
    #[error("a message of {bytes} bytes doesn't decode: {source}; do both sides speak the same version?")]
    Decode {
        /// Length of the message.
        bytes: usize,
        /// What prost says.
        source: prost::DecodeError,
    },
    /// The stream broke.
    #[error("the stream broke: {0}")]
    Io(#[from] io::Error),
}

/// Reads one message of at most `max` bytes; `None` when the stream ended between two frames.
///
/// It isn't cancel safe: dropped half-way it has eaten half a frame. Use [`Reader`] in `select!`.
pub async fn read<M, R>(stream: &mut R, max: usize) -> Result<Option<M>, FrameError>
where
    M: Message + Default,
    R: AsyncRead + Unpin + ?Sized,
{
    Decoder::new(max).fill(stream).await
}

/// Writes one message and flushes.
///
/// It isn't cancel safe: dropped half-way it has written half a frame, and the stream must be closed. The
/// length is checked against [`PART_BYTES_MAX`], which no reader goes above.
pub async fn write<M, W>(stream: &mut W, message: &M) -> Result<(), FrameError>
where
    M: Message,
    W: AsyncWrite + Unpin + ?Sized,
{
    stream.write_all(&encode(message)?).await?;
    stream.flush().await?;
    Ok(())
}

/// One message as a frame; refused above [`PART_BYTES_MAX`].
pub fn encode<M: Message>(message: &M) -> Result<Bytes, FrameError> {
    let bytes = message.encoded_len();
    let too_long = || FrameError::TooLong { bytes: bytes as u64, max: PART_BYTES_MAX };
    if bytes > PART_BYTES_MAX {
        return Err(too_long());
    }
    let mut frame = BytesMut::with_capacity(HEAD_BYTES + bytes);
    frame.put_u32(u32::try_from(bytes).map_err(|_| too_long())?);
    // BytesMut grows, so that the one error prost knows here, too little room, can't happen.
    message.encode(&mut frame).map_err(|_| too_long())?;
    Ok(frame.freeze())
}

/// A stream of messages that can be waited for in `select!`: [`Reader::next`] is cancel safe.
#[derive(Debug)]
pub struct Reader<R> {
    stream: R,
    decoder: Decoder,
}

impl<R: AsyncRead + Unpin> Reader<R> {
    /// Reads messages of at most `max` bytes from `stream`.
    pub fn new(stream: R, max: usize) -> Self {
        Self { stream, decoder: Decoder::new(max) }
    }

    /// The next message; `None` when the stream ended between two frames.
    pub async fn next<M: Message + Default>(&mut self) -> Result<Option<M>, FrameError> {
        self.decoder.fill(&mut self.stream).await
    }

    /// The stream underneath, for what only it can do, such as stopping a QUIC stream.
    pub fn get_mut(&mut self) -> &mut R {
        &mut self.stream
    }
}

/// Takes a byte stream apart without I/O: push bytes in with [`Decoder::take`], get messages out.
#[derive(Debug)]
pub struct Decoder {
    max: usize,
    head: [u8; HEAD_BYTES],
    head_got: usize,
    /// The message as far as it came. Its capacity is what hostile lengths are about.
    body: Vec<u8>,
}

/// What a frame lacks.
enum Lack {
    /// So many bytes of the length.
    Head(usize),
    /// So many bytes of the message.
    Body(usize),
    /// Nothing: here is the message.
    Nothing(Bytes),
}

impl Decoder {
    /// Takes messages of at most `max` bytes.
    pub fn new(max: usize) -> Self {
        Self { max, head: [0; HEAD_BYTES], head_got: 0, body: Vec::new() }
    }

    /// Eats bytes from the front of `input` up to the end of one frame. `None`: all was eaten and the
    /// frame wants more.
    pub fn take<M: Message + Default>(&mut self, input: &mut impl Buf) -> Result<Option<M>, FrameError> {
        loop {
            match self.lack()? {
                Lack::Nothing(body) => return decode(body).map(Some),
                _ if !input.has_remaining() => return Ok(None),
                Lack::Head(bytes) => {
                    let bytes = bytes.min(input.remaining());
                    input.copy_to_slice(&mut self.head[self.head_got..self.head_got + bytes]);
                    self.head_got += bytes;
                }
                Lack::Body(bytes) => {
                    let bytes = bytes.min(input.remaining());
                    self.body.put(input.take(bytes));
                }
            }
        }
    }

    /// Says whether the input ended well, that is between two frames.
    pub fn finish(&self) -> Result<(), FrameError> {
        if self.head_got == 0 {
            return Ok(());
        }
        let want = if self.head_got < HEAD_BYTES { 0 } else { u64::from(u32::from_be_bytes(self.head)) };
        let got = (self.head_got + self.body.len()) as u64;
        Err(FrameError::Truncated { got, want: HEAD_BYTES as u64 + want })
    }

    /// Reads from `stream` up to the end of one frame. Whatever was read when this is dropped stays in
    /// `self`.
    async fn fill<M, R>(&mut self, stream: &mut R) -> Result<Option<M>, FrameError>
    where
        M: Message + Default,
        R: AsyncRead + Unpin + ?Sized,
    {
        loop {
            let got = match self.lack()? {
                Lack::Nothing(body) => return decode(body).map(Some),
                Lack::Head(_) => {
                    let got = stream.read(&mut self.head[self.head_got..]).await?;
                    self.head_got += got;
                    got
                }
                // Never past the frame: what follows may be for somebody else.
                Lack::Body(bytes) => stream.read_buf(&mut (&mut self.body).limit(bytes)).await?,
            };
            if got == 0 {
                return self.finish().map(|()| None);
            }
        }
    }

    /// What to read next. Makes room for it, and hands out a message that is complete.
    fn lack(&mut self) -> Result<Lack, FrameError> {
        if self.head_got < HEAD_BYTES {
            return Ok(Lack::Head(HEAD_BYTES - self.head_got));
        }
        let bytes = u32::from_be_bytes(self.head);
        let whole = usize::try_from(bytes).unwrap_or(usize::MAX);
        if whole > self.max {
            return Err(FrameError::TooLong { bytes: u64::from(bytes), max: self.max });
        }
        if self.body.len() == whole {
            self.head_got = 0;
            return Ok(Lack::Nothing(Bytes::from(std::mem::take(&mut self.body))));
        }
        let lacking = whole - self.body.len();
        if self.body.len() == self.body.capacity() {
            // Exact, so that a finished message pins no more than its own length.
            self.body.reserve_exact(lacking.min(self.body.len().max(STEP_BYTES)));
        }
        Ok(Lack::Body(lacking.min(self.body.capacity() - self.body.len())))
    }
}

fn decode<M: Message + Default>(body: Bytes) -> Result<M, FrameError> {
    let bytes = body.len();
    M::decode(body).map_err(|source| FrameError::Decode { bytes, source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::Index;

    fn part(part: u32, data: Vec<u8>) -> proto::Part {
        proto::Part { part, data: data.into(), live: true, ..Default::default() }
    }

    /// Runs a future that never waits for anything but memory.
    fn run<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
    }

    proptest! {
        #[test]
        fn messages_survive_any_chunking(
            sent in vec((any::<u32>(), vec(any::<u8>(), 0..300)), 0..8),
            chunks in vec(1..200usize, 1..40),
        ) {
            let sent: Vec<_> = sent.into_iter().map(|(number, data)| part(number, data)).collect();
            let mut bytes: Vec<u8> = Vec::new();
            for message in &sent {
                bytes.extend_from_slice(&encode(message).unwrap());
            }
            let mut decoder = Decoder::new(CONTROL_BYTES_MAX);
            let mut got = Vec::new();
            let (mut rest, mut chunks) = (bytes.as_slice(), chunks.iter().cycle());
            while !rest.is_empty() {
                let (mut chunk, after) = rest.split_at((*chunks.next().unwrap()).min(rest.len()));
                rest = after;
                while let Some(message) = decoder.take::<proto::Part>(&mut chunk).unwrap() {
                    got.push(message);
                }
                prop_assert!(chunk.is_empty());
            }
            prop_assert!(decoder.finish().is_ok());
            prop_assert_eq!(got, sent);
        }

        #[test]
        fn hostile_bytes_never_panic(bytes in vec(any::<u8>(), 0..400), max in 0..5000usize) {
            let mut input = bytes.as_slice();
            let mut decoder = Decoder::new(max);
            while let Ok(Some(_)) = decoder.take::<proto::SiteMessage>(&mut input) {}
            let _ = decoder.finish();
            let mut stream = bytes.as_slice();
            while let Ok(Some(_)) = run(read::<proto::HubMessage, _>(&mut stream, max)) {}
        }

        #[test]
        fn a_cut_stream_is_an_error(data in vec(any::<u8>(), 0..100), cut in any::<Index>()) {
            let frame = encode(&part(7, data)).unwrap();
            let cut = cut.index(frame.len() - 1) + 1;
            let read = run(read::<proto::Part, _>(&mut &frame[..cut], 1000));
            if let Err(FrameError::Truncated { got, .. }) = read {
                prop_assert_eq!(got, cut as u64);
            } else {
                prop_assert!(false, "{:?}", read);
            }
        }
    }

    #[test]
    fn an_end_between_frames_is_no_error() {
        let mut stream: &[u8] = &encode(&part(1, vec![2; 10])).unwrap();
        assert_eq!(run(read(&mut stream, 1000)).unwrap(), Some(part(1, vec![2; 10])));
        assert_eq!(run(read::<proto::Part, _>(&mut stream, 1000)).unwrap(), None);
    }

    #[test]
    fn an_empty_message_is_a_message() {
        let mut stream: &[u8] = &[0, 0, 0, 0];
        assert_eq!(run(read(&mut stream, 0)).unwrap(), Some(proto::Bye::default()));
        assert_eq!(run(read::<proto::Bye, _>(&mut stream, 0)).unwrap(), None);
    }

    #[test]
    fn a_length_over_the_limit_is_refused_at_once() {
        let mut stream: &[u8] = &u32::MAX.to_be_bytes();
        let refused = run(read::<proto::Part, _>(&mut stream, PART_BYTES_MAX));
        assert!(matches!(refused, Err(FrameError::TooLong { bytes: 0xffff_ffff, .. })), "{refused:?}");
    }

    #[test]
    fn a_promised_length_costs_little_until_it_is_kept() {
        let mut decoder = Decoder::new(PART_BYTES_MAX);
        let mut received = 0;
        let mut feed = |decoder: &mut Decoder, bytes: &[u8]| {
            received += bytes.len();
            assert!(decoder.take::<proto::Part>(&mut &*bytes).unwrap().is_none());
            assert!(decoder.body.capacity() <= 2 * received + STEP_BYTES, "{}", decoder.body.capacity());
        };
        feed(&mut decoder, &(PART_BYTES_MAX as u32).to_be_bytes());
        for _ in 0..3000 {
            feed(&mut decoder, &[0; 1111]);
        }
    }

    #[test]
    fn the_bytes_of_a_part_are_not_copied_and_pin_no_more_than_the_frame() {
        let frame = encode(&part(1, vec![7; 300_000])).unwrap();
        let mut decoder = Decoder::new(PART_BYTES_MAX);
        let (mut early, mut last) = (&frame[..frame.len() - 1], &frame[frame.len() - 1..]);
        assert!(decoder.take::<proto::Part>(&mut early).unwrap().is_none());
        let body = decoder.body.as_ptr_range();
        let part = decoder.take::<proto::Part>(&mut last).unwrap().unwrap();
        assert!(body.contains(&part.data.as_ptr()), "the data was copied");
    }

    #[test]
    fn what_no_reader_takes_is_not_written() {
        let refused = encode(&part(1, vec![0; PART_BYTES_MAX]));
        assert!(matches!(refused, Err(FrameError::TooLong { .. })));
    }

    #[test]
    fn a_reader_dropped_half_way_goes_on_where_it_was() {
        run(async {
            let (mut near, far) = tokio::io::duplex(64);
            let mut reader = Reader::new(far, 1000);
            let frame = encode(&part(3, vec![1; 20])).unwrap();
            for piece in frame.chunks(3) {
                near.write_all(piece).await.unwrap();
                tokio::select! {
                    biased;
                    message = reader.next::<proto::Part>() => {
                        assert_eq!(message.unwrap(), Some(part(3, vec![1; 20])));
                        return;
                    }
                    () = std::future::ready(()) => {}
                }
            }
            panic!("the message never came");
        });
    }

    #[test]
    fn messages_written_are_read() {
        run(async {
            let (mut near, mut far) = tokio::io::duplex(1000);
            write(&mut near, &part(1, vec![5; 100])).await.unwrap();
            drop(near);
            assert_eq!(read(&mut far, 1000).await.unwrap(), Some(part(1, vec![5; 100])));
            assert_eq!(read::<proto::Part, _>(&mut far, 1000).await.unwrap(), None);
        });
    }
}
