//! A file's bytes on their way to the disk, past the page cache where the file system allows it.
//!
//! # Overview
//! Nobody reads a backup soon after it was written, so its bytes would only drive out of memory what the database beside
//! it reads. They are gathered in a buffer that suits direct I/O and written from there; the processor copies them once
//! and the kernel not at all. Bytes that suit it where they are are not copied either. What is left at the end, shorter
//! than a block, goes through the page cache, and so does a file that never fills the buffer.
//!
//! # Crash consistency
//! Direct or not, nothing is durable before the file, or its filesystem, is synced.

use std::fs::File;
use std::io::{self, Write};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;

/// Bytes written by one call: large enough that a disk is busy rather than waiting for the next call.
const BUFFER: usize = 2 << 20;

/// What direct I/O wants addresses, offsets and lengths to be multiples of; no disk in use has larger blocks.
const BLOCK: usize = 4096;

/// Fills one file, past the page cache where the file system allows it: what nobody reads soon must not drive out of
/// memory what others do. Blocks.
#[derive(Debug)]
pub struct BulkWriter {
    file: File,
    /// Empty until the first byte.
    buffer: Vec<u8>,
    /// Where in `buffer` the first block begins.
    start: usize,
    /// Bytes from there on that wait to be written.
    filled: usize,
    /// Whether writes go past the page cache; `None` before the first one.
    direct: Option<bool>,
}

impl BulkWriter {
    /// Bytes that one holds at most.
    pub const MEMORY: u64 = (BUFFER + BLOCK) as u64;

    /// Fills `file`, which is empty and nobody else's.
    #[must_use]
    pub fn new(file: File) -> Self {
        Self { file, buffer: Vec::new(), start: 0, filled: 0, direct: None }
    }

    /// Takes the next bytes.
    pub fn write(&mut self, mut data: &[u8]) -> io::Result<()> {
        while self.filled == 0 && data.len() >= BUFFER && data.as_ptr().align_offset(BLOCK) == 0 && self.go_direct() {
            let (now, later) = data.split_at(BUFFER);
            self.write_all(now)?;
            data = later;
        }
        if self.buffer.is_empty() && !data.is_empty() {
            self.buffer = vec![0; BUFFER + BLOCK];
            self.start = self.buffer.as_ptr().align_offset(BLOCK).min(BLOCK);
        }
        while !data.is_empty() {
            let taken = data.len().min(BUFFER - self.filled);
            let (now, later) = data.split_at(taken);
            let at = self.start + self.filled;
            self.buffer[at..at + taken].copy_from_slice(now);
            self.filled += taken;
            data = later;
            if self.filled == BUFFER {
                self.flush(BUFFER)?;
            }
        }
        Ok(())
    }

    /// Writes what is left. Not durable: see [`BulkWriter::sync`].
    pub fn finish(&mut self) -> io::Result<()> {
        if self.direct == Some(true) {
            self.flush(self.filled - self.filled % BLOCK)?;
            set_direct(&self.file, false)?;
            self.direct = Some(false);
        }
        self.flush(self.filled)
    }

    /// Writes what is left and waits until all bytes are on the disk.
    pub fn sync(&mut self) -> io::Result<()> {
        self.finish()?;
        self.file.sync_all()
    }

    /// Writes the first `length` bytes of those that wait.
    fn flush(&mut self, length: usize) -> io::Result<()> {
        if length == BUFFER {
            self.go_direct();
        }
        let buffer = std::mem::take(&mut self.buffer);
        let written = self.write_all(&buffer[self.start..self.start + length]);
        self.buffer = buffer;
        written?;
        self.buffer.copy_within(self.start + length..self.start + self.filled, self.start);
        self.filled -= length;
        Ok(())
    }

    /// Tries, once, to write past the page cache; says whether that is so.
    fn go_direct(&mut self) -> bool {
        *self.direct.get_or_insert_with(|| set_direct(&self.file, true).is_ok())
    }

    fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.file.write(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => bytes = &bytes[written..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // This file system takes the flag and not the bytes, or stopped at what is no multiple of a block.
                Err(error)
                    if self.direct == Some(true) && error.raw_os_error() == Some(Errno::INVAL.raw_os_error()) =>
                {
                    set_direct(&self.file, false)?;
                    self.direct = Some(false);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

fn set_direct(file: &File, direct: bool) -> io::Result<()> {
    let mut flags = fcntl_getfl(file)?;
    flags.set(OFlags::DIRECT, direct);
    Ok(fcntl_setfl(file, flags)?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use std::fs;
    use std::path::Path;

    use super::*;

    fn all_arrive(dir: &Path) {
        for length in [0, 1, BLOCK, BUFFER - 1, BUFFER, BUFFER + 1, 2 * BUFFER + BLOCK + 17] {
            let content: Vec<u8> = (0..length).map(|n| (n * 7 + n / 251) as u8).collect();
            // Aligned in memory for direct I/O, and not.
            for start in [0, 1] {
                let mut memory = vec![0; length + 2 * BLOCK];
                let start = memory.as_ptr().align_offset(BLOCK) + start;
                memory[start..start + length].copy_from_slice(&content);
                let content = &memory[start..start + length];
                for piece in [content.len() + 1, 1_000_003] {
                    let path = dir.join(format!("{length}-{start}-{piece}"));
                    let mut bulk = BulkWriter::new(File::create_new(&path).unwrap());
                    content.chunks(piece).for_each(|piece| bulk.write(piece).unwrap());
                    bulk.sync().unwrap();
                    assert!(fs::read(&path).unwrap() == content, "{length} bytes from {start} in pieces of {piece}");
                }
            }
        }
    }

    #[test]
    fn all_bytes_arrive_whatever_their_number() {
        all_arrive(tempfile::tempdir().unwrap().path());
    }

    #[test]
    fn all_bytes_arrive_where_there_is_only_the_page_cache() {
        let memory = Path::new("/dev/shm");
        if memory.is_dir() {
            all_arrive(tempfile::tempdir_in(memory).unwrap().path());
        }
    }
}
