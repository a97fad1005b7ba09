//! Large files on their way out.

use zstd::stream::raw::{CParameter, Encoder, InBuffer, Operation, OutBuffer};

use super::{Codec, Sums};
use crate::compression::Compression;
use crate::digest::Hasher;
use crate::failure::{Failure, Kind};

/// Turns the plain bytes of a file of known size into its stored bytes, piece by piece. Deterministic: the stored bytes
/// do not depend on how the plain bytes were cut.
pub struct StreamEncoder {
    /// `None` for verbatim.
    frame: Option<Encoder<'static>>,
    expected: u64,
    plain: Hasher,
    stored: Hasher,
}

impl std::fmt::Debug for StreamEncoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (done, expected) = (self.plain.length(), self.expected);
        f.debug_struct("StreamEncoder").field("done", &done).field("expected", &expected).finish_non_exhaustive()
    }
}

impl StreamEncoder {
    /// For a file of `size` plain bytes. [`Compression::None`] stores it verbatim; ask
    /// [`super::is_worth_compressing`] first.
    pub fn new(compression: Compression, size: u64) -> Result<Self, Failure> {
        let frame = match compression.level() {
            None => None,
            Some(level) => Some(frame(level, size).map_err(|error| Failure::io("prepare a zstd frame", &error))?),
        };
        Ok(Self { frame, expected: size, plain: Hasher::new(), stored: Hasher::new() })
    }

    /// How the bytes are stored.
    #[must_use]
    pub fn codec(&self) -> Codec {
        if self.frame.is_some() { Codec::Zstd } else { Codec::None }
    }

    /// Takes the next plain bytes and appends what they make to `out`: at most about as many bytes.
    ///
    /// # Errors
    /// [`Kind::Corrupt`] if the file has more bytes than it should: it was changed while it was read.
    pub fn push(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Result<(), Failure> {
        self.plain.update(chunk);
        if self.plain.length() > self.expected {
            return Err(changed(self.expected, "more"));
        }
        let start = out.len();
        match &mut self.frame {
            None => out.extend_from_slice(chunk),
            Some(frame) => {
                let mut input = InBuffer::around(chunk);
                while input.pos() < chunk.len() {
                    append(out, |buffer| frame.run(&mut input, buffer))?;
                }
            }
        }
        self.stored.update(&out[start..]);
        Ok(())
    }

    /// Appends the last stored bytes to `out` and says what was stored in all.
    ///
    /// # Errors
    /// [`Kind::Corrupt`] if the file has fewer bytes than it should.
    pub fn finish(mut self, out: &mut Vec<u8>) -> Result<Sums, Failure> {
        if self.plain.length() < self.expected {
            return Err(changed(self.expected, "fewer"));
        }
        let start = out.len();
        let codec = self.codec();
        if let Some(frame) = &mut self.frame {
            while append(out, |buffer| frame.finish(buffer, true))? > 0 {}
        }
        self.stored.update(&out[start..]);
        Ok(Sums {
            size: self.plain.length(),
            digest: self.plain.finish(),
            stored_size: self.stored.length(),
            stored_digest: self.stored.finish(),
            codec,
        })
    }
}

fn frame(level: i32, size: u64) -> std::io::Result<Encoder<'static>> {
    let mut encoder = Encoder::new(level)?;
    // Written into the frame's header, so that a reader knows it before it starts.
    encoder.set_pledged_src_size(Some(size))?;
    encoder.set_parameter(CParameter::ContentSizeFlag(true))?;
    Ok(encoder)
}

/// Gives `step` room at the end of `out`.
fn append(
    out: &mut Vec<u8>,
    step: impl FnOnce(&mut OutBuffer<'_, Vec<u8>>) -> std::io::Result<usize>,
) -> Result<usize, Failure> {
    out.reserve(32 << 10);
    let position = out.len();
    let mut buffer = OutBuffer::around_pos(out, position);
    step(&mut buffer).map_err(|error| Failure::io("compress with zstd", &error))
}

fn changed(expected: u64, how: &str) -> Failure {
    Failure::fatal(Kind::Corrupt, format!("it has {how} bytes than the {expected} it should have"))
}
