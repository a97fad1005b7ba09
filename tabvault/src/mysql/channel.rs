//! Packets on a stream of bytes: numbered, split and bounded as MySQL does it.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BufMut, BytesMut};
use mysql_common::proto::codec::error::PacketCodecError;
use mysql_common::proto::codec::{ChunkDecoder, ChunkInfo, packet_to_chunks};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;

/// Bytes read ahead of the packet under way while a statement runs, to see whether the client is still there.
const READ_AHEAD: usize = 64 << 10;
/// Bytes collected before they are sent.
const FLUSH_AT: usize = 64 << 10;
/// Bytes of buffer kept from one packet to the next.
const KEPT: usize = 64 << 10;
/// A client that takes not a byte for so long is gone.
const SEND_WITHIN: Duration = Duration::from_secs(60);
/// How long a client that is told why it is put out may take to stop sending.
const LINGER: Duration = Duration::from_secs(5);

/// What packets travel on.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Why no further packet can be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("a packet is larger than allowed")]
    TooLarge,
    #[error("packets are out of order")]
    OutOfOrder,
}

/// One client's stream. Reads never go past the packet that is asked for, so that TLS can begin after any.
pub(super) struct Channel {
    stream: Box<dyn Stream>,
    decoder: ChunkDecoder,
    unread: BytesMut,
    unsent: BytesMut,
    sequence: u8,
    largest: usize,
}

impl Channel {
    /// Packets of at most `largest` bytes on `stream`.
    pub(super) fn new(stream: Box<dyn Stream>, largest: usize) -> Self {
        Self {
            stream,
            decoder: ChunkDecoder::Idle,
            unread: BytesMut::new(),
            unsent: BytesMut::new(),
            sequence: 0,
            largest,
        }
    }

    /// From now on packets have at most `largest` bytes.
    pub(super) fn allow(&mut self, largest: usize) {
        self.largest = largest;
    }

    /// A new command begins: numbers count from 0 again.
    pub(super) fn restart(&mut self) {
        self.sequence = 0;
    }

    /// Goes on over TLS; numbers continue.
    ///
    /// # Errors
    /// The client does not speak TLS, or not as it must.
    pub(super) async fn encrypt(self, config: Arc<ServerConfig>) -> io::Result<Self> {
        // Packets are read to their last byte, so all that follows is TLS. What was sent in clear must not be taken for
        // something said inside.
        if !self.unread.is_empty() {
            return Err(io::Error::other("bytes stand between the request for TLS and its beginning"));
        }
        let stream = TlsAcceptor::from(config).accept(self.stream).await?;
        Ok(Self { stream: Box::new(stream), ..self })
    }

    /// The next packet; `None` if the client closed after the last one. Dropped halfway, the channel is of no more use
    /// than to be closed.
    ///
    /// # Errors
    /// See [`Broken`]; the channel can still be written to.
    pub(super) async fn receive(&mut self) -> Result<Option<Vec<u8>>, Broken> {
        let mut packet = Vec::new();
        loop {
            match self.decoder.decode(&mut self.unread, &mut packet, self.largest) {
                Ok(Some(ChunkInfo::Middle(number))) => self.count(number)?,
                Ok(Some(ChunkInfo::Last(number))) => {
                    self.count(number)?;
                    if self.unread.is_empty() && self.unread.capacity() > KEPT {
                        self.unread = BytesMut::new();
                    }
                    return Ok(Some(packet));
                }
                Ok(None) => {
                    let begun = !self.unread.is_empty() || !packet.is_empty();
                    if self.read(self.missing()).await? == 0 {
                        return if begun {
                            Err(io::Error::from(io::ErrorKind::UnexpectedEof).into())
                        } else {
                            Ok(None)
                        };
                    }
                }
                Err(PacketCodecError::PacketTooLarge) => {
                    // The answer's number must follow that of the packet it answers.
                    self.sequence = self.unread.get(3).map_or(0, |number| number.wrapping_add(1));
                    return Err(Broken::TooLarge);
                }
                Err(error) => return Err(io::Error::other(error).into()),
            }
        }
    }

    fn count(&mut self, number: u8) -> Result<(), Broken> {
        if number != self.sequence {
            return Err(Broken::OutOfOrder);
        }
        self.sequence = number.wrapping_add(1);
        Ok(())
    }

    fn missing(&self) -> usize {
        let whole = match self.decoder {
            ChunkDecoder::Idle => 4,
            ChunkDecoder::Chunk { needed, .. } => 4 + needed.get(),
        };
        whole.saturating_sub(self.unread.len())
    }

    async fn read(&mut self, most: usize) -> io::Result<usize> {
        self.unread.reserve(most.min(READ_AHEAD));
        self.stream.read_buf(&mut (&mut self.unread).limit(most)).await
    }

    /// Does `work` unless the client leaves before it is done: then `None`, and `work` is dropped.
    pub(super) async fn unless_gone<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            done = work => Some(done),
            () = self.gone() => None,
        }
    }

    /// Returns when the client has closed. What it sends ahead is kept for later, up to a bound beyond which nobody
    /// can tell. Cancel safe.
    async fn gone(&mut self) {
        loop {
            let room = READ_AHEAD.saturating_sub(self.unread.len());
            if room == 0 {
                std::future::pending::<()>().await;
            }
            if !matches!(self.read(room).await, Ok(1..)) {
                return;
            }
        }
    }

    /// Sends a packet, at the latest with the next [`Channel::flush`]. Waits for a client that is slow to take what was
    /// sent before.
    ///
    /// # Errors
    /// The client is gone.
    pub(super) async fn send(&mut self, mut payload: &[u8]) -> io::Result<()> {
        self.sequence = packet_to_chunks(self.sequence, &mut payload, &mut self.unsent);
        if self.unsent.len() < FLUSH_AT { Ok(()) } else { self.flush().await }
    }

    /// Sends what is not yet sent.
    ///
    /// # Errors
    /// The client is gone.
    pub(super) async fn flush(&mut self) -> io::Result<()> {
        while self.unsent.has_remaining() {
            if tokio::time::timeout(SEND_WITHIN, self.stream.write_buf(&mut self.unsent)).await?? == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
        }
        if self.unsent.capacity() > FLUSH_AT + KEPT {
            self.unsent = BytesMut::new();
        }
        tokio::time::timeout(SEND_WITHIN, self.stream.flush()).await?
    }

    /// Sends what is not yet sent and closes. What the client is still sending is read and thrown away for a while:
    /// closed earlier, it might lose what it was told.
    pub(super) async fn close(mut self) {
        let farewell = async {
            self.flush().await?;
            self.stream.shutdown().await?;
            tokio::io::copy(&mut self.stream, &mut tokio::io::sink()).await
        };
        // An error means that it is closed.
        let _ = tokio::time::timeout(LINGER, farewell).await;
    }
}
