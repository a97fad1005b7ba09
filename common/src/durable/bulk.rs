//! A file's bytes on their way to the disk at once, and out of the page cache when they are there.
//!
//! # Overview
//! Bytes that are left to the kernel wait in memory until a sync wants all of them: the disk rests while they are made,
//! and the processor while they are written. So the disk is told to begin every few megabytes, and every some more it is
//! waited for, with its own cache, which in a virtual machine may hold as much as the file. And nobody reads a backup
//! soon after it was written: what is on the disk leaves the page cache, where it would only drive out what the database
//! beside it reads. A file of less than 2 MiB is left to the kernel.
//!
//! Direct I/O would spare the copy into the page cache. But each of its writes waits for the disk: on a virtual one a
//! restore of large files took a third longer.
//!
//! # Crash consistency
//! Nothing is durable before the file, or its filesystem, is synced.

use std::fs::File;
use std::io::{self, Write};
use std::num::NonZeroU64;

use rustix::fs::{Advice, fadvise};

/// Bytes that are written at once, and that the disk is told of: the kernel keeps such a piece together, and the disk
/// writes it in one go.
const SEND: usize = 2 << 20;

/// Bytes that are waited for at once. Fewer, and syncs take longer than what they sync; more, and the page cache has to
/// find new memory instead of what was just dropped.
const SETTLE: u64 = 8 << 20;

/// Fills one file, and keeps the disk busy meanwhile. Blocks.
#[derive(Debug)]
pub struct BulkWriter {
    file: File,
    /// Bytes that wait to be written: fewer than [`SEND`].
    buffer: Vec<u8>,
    written: u64,
    /// Up to here the disk was waited for.
    settled: u64,
}

impl BulkWriter {
    /// Bytes that one holds at most.
    pub const MEMORY: u64 = SEND as u64;

    /// Fills `file`, which is empty and nobody else's.
    #[must_use]
    pub fn new(file: File) -> Self {
        Self { file, buffer: Vec::new(), written: 0, settled: 0 }
    }

    /// Takes the next bytes, without waiting for the disk.
    pub fn write(&mut self, mut data: &[u8]) -> io::Result<()> {
        while !data.is_empty() {
            let (now, later) = data.split_at(data.len().min(SEND - self.buffer.len()));
            if now.len() == SEND {
                self.write_piece(now)?;
            } else {
                // In one step: memory that grows is copied again and again.
                self.buffer.reserve_exact(SEND - self.buffer.len());
                self.buffer.extend_from_slice(now);
                if self.buffer.len() == SEND {
                    self.flush()?;
                }
            }
            data = later;
        }
        Ok(())
    }

    /// Whether so much was written that it is time to [`settle`](Self::settle).
    #[must_use]
    pub fn is_due(&self) -> bool {
        self.written - self.settled >= SETTLE
    }

    /// Waits until the bytes that were written are on the disk; see [`sync`](Self::sync) for the file.
    ///
    /// # Errors
    /// Bytes that were written may be lost, and the kernel says so once: the file is not to be used.
    pub fn settle(&mut self) -> io::Result<()> {
        self.file.sync_data()?;
        self.drop_settled();
        Ok(())
    }

    /// Writes what is left, and says how many bytes were not waited for.
    pub fn finish(mut self) -> io::Result<u64> {
        self.flush()?;
        Ok(self.written - self.settled)
    }

    /// Writes what is left and waits until the file, all of it, is on the disk.
    pub fn sync(&mut self) -> io::Result<()> {
        self.flush()?;
        self.file.sync_all()?;
        if self.written >= SEND as u64 {
            self.drop_settled();
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        let mut buffer = std::mem::take(&mut self.buffer);
        self.write_piece(&buffer)?;
        buffer.clear();
        self.buffer = buffer;
        Ok(())
    }

    /// Writes the next bytes, and if there are enough of them has the disk begin.
    fn write_piece(&mut self, piece: &[u8]) -> io::Result<()> {
        self.file.write_all(piece)?;
        let start = self.written;
        self.written += piece.len() as u64;
        if piece.len() == SEND {
            self.dont_need(start);
        }
        Ok(())
    }

    fn drop_settled(&mut self) {
        self.dont_need(self.settled);
        self.settled = self.written;
    }

    /// Linux begins to write those pages from `start` on that are not on the disk, and forgets the others:
    /// `generic_fadvise` in mm/fadvise.c. That is advice; where nobody takes it, the file is as good.
    fn dont_need(&self, start: u64) {
        if let Some(length) = NonZeroU64::new(self.written - start) {
            let _ = fadvise(&self.file, start, Some(length), Advice::DontNeed);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::disallowed_methods)]
    use std::fs;
    use std::io::IoSliceMut;
    use std::path::Path;

    use rustix::fs::statfs;
    use rustix::io::{Errno, ReadWriteFlags, preadv2};

    use super::*;

    const PIECE: u64 = SEND as u64;

    fn pattern(length: u64) -> Vec<u8> {
        (0..length).map(|n| (n * 7 + n / 251) as u8).collect()
    }

    fn written(path: &Path, content: &[u8], piece: usize) -> BulkWriter {
        let mut bulk = BulkWriter::new(File::create_new(path).unwrap());
        for piece in content.chunks(piece) {
            bulk.write(piece).unwrap();
            if bulk.is_due() {
                bulk.settle().unwrap();
            }
        }
        bulk
    }

    #[test]
    fn all_bytes_arrive_whatever_their_number() {
        let dir = tempfile::tempdir().unwrap();
        for length in [0, 1, PIECE - 1, PIECE, PIECE + 1, SETTLE + 17, 2 * SETTLE + PIECE + 17] {
            let content = pattern(length);
            for piece in [content.len() + 1, 1_000_003] {
                let path = dir.path().join(format!("{length}-{piece}"));
                written(&path, &content, piece).sync().unwrap();
                assert!(fs::read(&path).unwrap() == content, "{length} bytes in pieces of {piece}");
            }
        }
    }

    #[test]
    fn what_was_not_waited_for_is_counted() {
        let dir = tempfile::tempdir().unwrap();
        for (length, rest) in [(0, 0), (17, 17), (PIECE + 17, PIECE + 17), (SETTLE, 0), (SETTLE + 17, 17)] {
            let bulk = written(&dir.path().join(length.to_string()), &pattern(length), SEND);
            assert_eq!(bulk.finish().unwrap(), rest, "of {length}");
        }
    }

    /// Whether the page at `at` can be read without a disk; `None` where the filesystem does not say.
    fn is_in_memory(file: &File, at: u64) -> Option<bool> {
        let mut byte = [0];
        match preadv2(file, &mut [IoSliceMut::new(&mut byte)], at, ReadWriteFlags::NOWAIT) {
            Err(Errno::OPNOTSUPP) => None,
            read => Some(read.is_ok()),
        }
    }

    #[test]
    fn what_is_on_the_disk_leaves_the_page_cache() {
        let dir = tempfile::tempdir().unwrap();
        // TMPFS_MAGIC and RAMFS_MAGIC of linux/magic.h: there the page cache is all there is.
        if [0x0102_1994, 0x8584_58f6].contains(&statfs(dir.path()).unwrap().f_type) {
            return;
        }
        let (plain, bulk) = (dir.path().join("plain"), dir.path().join("bulk"));
        let content = pattern(2 * SETTLE + PIECE + 17);
        fs::write(&plain, &content).unwrap();
        written(&bulk, &content, SEND).sync().unwrap();
        let [plain, bulk] = [plain, bulk].map(|path| File::open(path).unwrap());
        plain.sync_all().unwrap();
        for at in [0, SETTLE - 1, SETTLE, 2 * SETTLE, content.len() as u64 - 1] {
            let Some(found) = is_in_memory(&plain, at).zip(is_in_memory(&bulk, at)) else { return };
            assert_eq!(found, (true, false), "written by itself and by this, at {at}");
        }
    }
}
