//! Large files on their way back.

use zstd::stream::raw::{DParameter, Decoder, InBuffer, Operation, OutBuffer};

use super::{Codec, Sums, WINDOW_LOG_MAX};
use crate::digest::Hasher;
use crate::failure::{Failure, Kind};

/// Largest piece of plain bytes handed out at once.
const PIECE: usize = 128 << 10;

/// Turns stored bytes back into plain bytes, piece by piece, and checks them against their [`Sums`].
///
/// Memory is bounded whatever the stored bytes say: a piece is at most 128 KiB, a window at most 8 MiB. What was handed
/// out is proven only when [`StreamDecoder::finish`] has said so.
pub struct StreamDecoder {
    expected: Sums,
    /// `None` for verbatim.
    frame: Option<Decoder<'static>>,
    /// The frame has ended: nothing may follow.
    ended: bool,
    /// The decoder may hold back more output than fitted.
    pending: bool,
    plain: Hasher,
    stored: Hasher,
    piece: Vec<u8>,
}

impl std::fmt::Debug for StreamDecoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let done = self.plain.length();
        f.debug_struct("StreamDecoder").field("done", &done).field("expected", &self.expected).finish_non_exhaustive()
    }
}

impl StreamDecoder {
    /// For a file that must turn out to be as `expected`.
    pub fn new(expected: Sums) -> Result<Self, Failure> {
        let frame = match expected.codec {
            Codec::None => None,
            Codec::Zstd => Some(frame().map_err(|error| Failure::io("prepare to read a zstd frame", &error))?),
        };
        Ok(Self {
            expected,
            frame,
            ended: false,
            pending: false,
            plain: Hasher::new(),
            stored: Hasher::new(),
            piece: Vec::new(),
        })
    }

    /// Takes bytes from the front of `input` and gives the next plain bytes. `None` when all of `input` was taken and
    /// more is needed: call it in a loop for every chunk that arrives.
    ///
    /// # Errors
    /// [`Kind::Corrupt`] as soon as the bytes cannot be what they should be; the caller puts the object's name before
    /// the message.
    pub fn next(&mut self, input: &mut &[u8]) -> Result<Option<&[u8]>, Failure> {
        while !input.is_empty() || self.pending {
            let taken = match self.frame {
                None => self.copy(input),
                Some(_) => self.decode(input)?,
            };
            let (now, rest) = input.split_at(taken);
            self.stored.update(now);
            *input = rest;
            self.plain.update(&self.piece);
            self.check_bounds()?;
            if !self.piece.is_empty() {
                return Ok(Some(&self.piece));
            }
        }
        Ok(None)
    }

    /// Says whether everything handed out was right and complete.
    ///
    /// # Errors
    /// [`Kind::Corrupt`] if it was not.
    pub fn finish(self) -> Result<(), Failure> {
        let Sums { size, digest, stored_size, stored_digest, .. } = self.expected;
        if self.stored.length() != stored_size {
            return Err(wrong(format!("it has {} stored bytes instead of {stored_size}", self.stored.length())));
        }
        if self.stored.finish() != stored_digest {
            return Err(wrong("the digest of its stored bytes differs"));
        }
        if self.frame.is_some() && !self.ended {
            return Err(wrong("its zstd frame is cut off"));
        }
        if self.plain.length() != size {
            return Err(wrong(format!("it decodes into {} bytes instead of {size}", self.plain.length())));
        }
        if self.plain.finish() == digest { Ok(()) } else { Err(wrong("the digest of its plain bytes differs")) }
    }

    fn copy(&mut self, input: &[u8]) -> usize {
        let taken = input.len().min(PIECE);
        self.piece.clear();
        self.piece.extend_from_slice(&input[..taken]);
        taken
    }

    fn decode(&mut self, input: &[u8]) -> Result<usize, Failure> {
        let Some(frame) = &mut self.frame else { return Ok(0) };
        self.piece.clear();
        if self.ended {
            return Err(wrong("something follows its zstd frame"));
        }
        self.piece.reserve(PIECE);
        let mut source = InBuffer::around(input);
        let mut sink = OutBuffer::around(&mut self.piece);
        let hint = frame.run(&mut source, &mut sink).map_err(|error| wrong(format!("zstd: {error}")))?;
        self.ended = hint == 0;
        // A full buffer may mean that there is more without more input.
        self.pending = !self.ended && self.piece.len() == self.piece.capacity();
        Ok(source.pos())
    }

    fn check_bounds(&self) -> Result<(), Failure> {
        if self.stored.length() > self.expected.stored_size {
            return Err(wrong(format!("it has more than {} stored bytes", self.expected.stored_size)));
        }
        if self.plain.length() > self.expected.size {
            return Err(wrong(format!("it decodes into more than {} bytes", self.expected.size)));
        }
        Ok(())
    }
}

fn frame() -> std::io::Result<Decoder<'static>> {
    let mut decoder = Decoder::new()?;
    decoder.set_parameter(DParameter::WindowLogMax(WINDOW_LOG_MAX))?;
    Ok(decoder)
}

fn wrong(what: impl Into<String>) -> Failure {
    Failure::fatal(Kind::Corrupt, what)
}
