//! JSON Lines in one zstd frame, with a checksum: the shape of metas and manifests.

use std::io::{BufRead, BufReader, Read, Write};

use bytes::Bytes;
use serde::Serialize;

use super::{METADATA_LEVEL, WINDOW_LOG_MAX, corrupt, misuse};
use crate::digest::Digest;
use crate::failure::Failure;

/// Writes lines into memory, compressed.
pub(super) struct LinesWriter {
    /// What is being written, for failures.
    object: &'static str,
    encoder: zstd::stream::write::Encoder<'static, Vec<u8>>,
    line: Vec<u8>,
}

impl LinesWriter {
    pub(super) fn new(object: &'static str) -> Result<Self, Failure> {
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), METADATA_LEVEL)
            .map_err(|error| Failure::io(format_args!("write {object}"), &error))?;
        encoder.include_checksum(true).map_err(|error| Failure::io(format_args!("write {object}"), &error))?;
        Ok(Self { object, encoder, line: Vec::new() })
    }

    pub(super) fn push<T: Serialize>(&mut self, line: &T) -> Result<(), Failure> {
        self.line.clear();
        serde_json::to_writer(&mut self.line, line).map_err(|error| misuse(self.object, error))?;
        self.line.push(b'\n');
        self.encoder.write_all(&self.line).map_err(|error| Failure::io(format_args!("write {}", self.object), &error))
    }

    /// Compressed bytes that have come out so far; some are still in the encoder.
    pub(super) fn len(&self) -> u64 {
        self.encoder.get_ref().len() as u64
    }

    pub(super) fn finish(self) -> Result<(Bytes, Digest), Failure> {
        let bytes =
            self.encoder.finish().map_err(|error| Failure::io(format_args!("write {}", self.object), &error))?;
        let digest = Digest::of(&bytes);
        Ok((bytes.into(), digest))
    }
}

/// Reads lines one at a time.
pub(super) struct LinesReader<R: Read> {
    path: String,
    decoder: BufReader<zstd::stream::read::Decoder<'static, BufReader<Input<R>>>>,
    line: Vec<u8>,
    max_line: u64,
    /// Plain bytes that may still come: what compresses endlessly does not run endlessly.
    left: u64,
}

impl<R: Read> LinesReader<R> {
    /// `path` names the object in failures; lines longer than `max_line` bytes and objects longer than `max_plain`
    /// plain bytes are refused.
    pub(super) fn new(path: &str, input: R, max_line: u64, max_plain: u64) -> Result<Self, Failure> {
        let mut decoder = zstd::stream::read::Decoder::new(Input { inner: input, failed: false })
            .map_err(|error| Failure::io(format_args!("read {path}"), &error))?
            .single_frame();
        decoder.window_log_max(WINDOW_LOG_MAX).map_err(|error| Failure::io(format_args!("read {path}"), &error))?;
        let decoder = BufReader::with_capacity(64 << 10, decoder);
        Ok(Self { path: path.to_owned(), decoder, line: Vec::new(), max_line, left: max_plain })
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// The next line without its end; `None` when the frame has ended and nothing comes after it.
    pub(super) fn next_line(&mut self) -> Result<Option<&[u8]>, Failure> {
        self.line.clear();
        let limit = self.max_line.min(self.left) + 1;
        let read = (&mut self.decoder).take(limit).read_until(b'\n', &mut self.line);
        match read {
            Ok(0) => self.expect_end().map(|()| None),
            Ok(_) if self.line.last() == Some(&b'\n') => {
                self.left = self.left.saturating_sub(self.line.len() as u64);
                self.line.pop();
                Ok(Some(&self.line))
            }
            Ok(n) if n as u64 >= limit => Err(corrupt(&self.path, "it has too long a line or too many lines")),
            Ok(_) => Err(corrupt(&self.path, "its last line is cut off")),
            Err(error) => Err(self.failed(&error)),
        }
    }

    fn expect_end(&mut self) -> Result<(), Failure> {
        let mut byte = [0];
        match self.decoder.get_mut().get_mut().read(&mut byte) {
            Ok(0) => Ok(()),
            Ok(_) => Err(corrupt(&self.path, "something follows its zstd frame")),
            Err(error) => Err(self.failed(&error)),
        }
    }

    /// What the input says is passed on; what zstd does not like is damage.
    fn failed(&self, error: &std::io::Error) -> Failure {
        if !self.decoder.get_ref().get_ref().get_ref().failed {
            return corrupt(&self.path, error);
        }
        match error.get_ref().and_then(|inner| inner.downcast_ref::<Failure>()) {
            Some(failure) => failure.clone().context(format_args!("read {}", self.path)),
            None => Failure::io(format_args!("read {}", self.path), error),
        }
    }
}

/// The header line, before it is known to be one of this version.
pub(super) struct FirstLine {
    pub(super) format_version: u32,
    pub(super) line: Vec<u8>,
}

/// Reads the header line, whose `type` must be `kind`.
pub(super) fn first_line<R: Read>(lines: &mut LinesReader<R>, kind: &str) -> Result<FirstLine, Failure> {
    #[derive(serde::Deserialize)]
    struct Header {
        #[serde(rename = "type")]
        kind: String,
        format_version: Option<u32>,
    }
    let path = lines.path().to_owned();
    let line = lines.next_line()?.ok_or_else(|| corrupt(&path, "it is empty"))?.to_vec();
    let header: Header = serde_json::from_slice(&line).map_err(|error| corrupt(&path, error))?;
    if header.kind != kind {
        return Err(corrupt(&path, format_args!("it is a {}, not a {kind}", header.kind)));
    }
    let format_version = header.format_version.ok_or_else(|| corrupt(&path, "its header has no format version"))?;
    Ok(FirstLine { format_version, line })
}

/// Tells an error of the input from one of the decoder behind it.
struct Input<R> {
    inner: R,
    failed: bool,
}

impl<R: Read> Read for Input<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.inner.read(buffer).inspect_err(|error| self.failed = error.kind() != std::io::ErrorKind::Interrupted)
    }
}
