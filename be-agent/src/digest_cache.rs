//! Digests of local files that were read before: `<state_dir>/digests`.
//!
//! # Overview
//! A table in one file of fixed layout, so that it takes no memory: pages of slots; the page follows from device and
//! inode (inodes that lie side by side share one), and a full page gives up any of its slots. It never has more than
//! [`PAGES`] pages and takes as much disk as was written of it.
//!
//! # Consistency
//! A file is known by device, inode, size, time of last modification and time of birth, all but the size to the
//! nanosecond. Not by its change time, which every hard link sets anew, and a snapshot is links; not by its path, which
//! is another in every snapshot. A new file on a used inode number has another time of birth, which no program can set.
//! Where a filesystem keeps none, nothing is remembered, and unchanged files are read again.
//!
//! To be fooled it takes bytes that are changed in place within a file that the engine calls immutable, with the size
//! kept and the modification time put back. An incremental backup would then hold the bytes that were there before, and
//! a restore would bring those: they are what every digest names.
//!
//! # Crash consistency
//! Nothing is synced. Each slot ends in a digest of itself, so that a torn or foreign one counts as empty. After a
//! restart of the machine the table is emptied: a file whose bytes never reached the disk may have kept its times.
//! A table that is lost or cannot be opened costs reads, never data.
//!
//! # Cancellation
//! Calls block and run to their end.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::fs::{Statx, StatxFlags, StatxTimestamp};
use tabvault_common::digest::Digest;

/// Most pages: 256 MiB, three million files.
const PAGES: u64 = 1 << 16;
const PAGE: usize = 4096;
/// Identity, digest, and the first bytes of the digest of both.
const SLOT: usize = IDENTITY + 32 + CHECK;
const IDENTITY: usize = 5 * 8;
const CHECK: usize = 16;
/// Inodes with these many low bits apart share a page: files that are made together are looked up together.
const INODES_PER_PAGE_BITS: u32 = 5;

/// Digests that are sorted by page at once: the more, the less often a page is written again.
const AT_ONCE: usize = 1 << 16;

/// What a file is known by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileId([u8; IDENTITY]);

impl FileId {
    /// The file that `stat` was taken of; `None` where its filesystem does not tell when it was made.
    pub(crate) fn of(stat: &Statx) -> Option<Self> {
        let told = StatxFlags::from_bits_retain(stat.stx_mask);
        if !told.contains(StatxFlags::INO | StatxFlags::SIZE | StatxFlags::MTIME | StatxFlags::BTIME) {
            return None;
        }
        let device = (u64::from(stat.stx_dev_major) << 32) | u64::from(stat.stx_dev_minor);
        let fields = [device, stat.stx_ino, stat.stx_size, nanoseconds(&stat.stx_mtime), nanoseconds(&stat.stx_btime)];
        let mut id = [0; IDENTITY];
        for (place, field) in id.chunks_exact_mut(8).zip(fields) {
            place.copy_from_slice(&field.to_le_bytes());
        }
        Some(Self(id))
    }

    /// Device and inode.
    fn place(&self) -> &[u8] {
        &self.0[..16]
    }

    fn page(&self) -> u64 {
        let [device, inode] = [0, 8].map(|from| number(&self.0[from..]));
        let near = [device.to_le_bytes(), (inode >> INODES_PER_PAGE_BITS).to_le_bytes()].concat();
        number(Digest::of(&near).as_bytes()) % PAGES
    }
}

/// The table, or none if it could not be opened.
#[derive(Debug)]
pub(crate) struct DigestCache {
    file: Option<File>,
}

impl DigestCache {
    /// Opens or makes the table at `path`; `forget` empties it. What fails is told to the log alone.
    pub(crate) fn open(path: &Path, forget: bool) -> Self {
        let opened = OpenOptions::new().read(true).write(true).create(true).truncate(forget).open(path);
        let failed = |error| tracing::warn!(path = %path.display(), %error, "digests of files are not remembered");
        Self { file: opened.map_err(failed).ok() }
    }

    /// The digest of a file, if it is known.
    pub(crate) fn get(&self, id: &FileId) -> Option<Digest> {
        let page = self.read(id.page())?;
        let found = slots(&page).find(|slot| slot[..IDENTITY] == id.0)?;
        (found[IDENTITY + 32..] == check(&found[..IDENTITY + 32])).then(|| digest_in(found))
    }

    /// Remembers the digests of files: a page at a time, since neighbours share one.
    pub(crate) fn put(&self, files: impl IntoIterator<Item = (FileId, Digest)>) {
        let mut files = files.into_iter().map(|(id, digest)| (id.page(), id, digest)).peekable();
        while files.peek().is_some() {
            self.put_some(files.by_ref().take(AT_ONCE).collect());
        }
    }

    fn put_some(&self, mut files: Vec<(u64, FileId, Digest)>) {
        files.sort_unstable_by_key(|(page, ..)| *page);
        for neighbours in files.chunk_by(|(a, ..), (b, ..)| a == b) {
            let Some((number, ..)) = neighbours.first() else { continue };
            let Some(page) = self.read(*number) else { continue };
            let mut changed = page;
            neighbours.iter().for_each(|(_, id, digest)| fill(&mut changed, id, digest));
            let at = number * PAGE as u64;
            if changed != page
                && let Some(Err(error)) = self.file.as_ref().map(|file| file.write_all_at(&changed, at))
            {
                tracing::debug!(%error, "digests of files were not remembered");
            }
        }
    }

    /// A page; what was never written of it is empty.
    fn read(&self, number: u64) -> Option<[u8; PAGE]> {
        let mut page = [0; PAGE];
        let mut filled = 0;
        while filled < PAGE {
            match self.file.as_ref()?.read_at(&mut page[filled..], number * PAGE as u64 + filled as u64) {
                Ok(0) => break,
                Ok(more) => filled += more,
                Err(error) => {
                    tracing::debug!(%error, "a file's digest was not looked up");
                    return None;
                }
            }
        }
        Some(page)
    }
}

fn slots(page: &[u8; PAGE]) -> impl Iterator<Item = &[u8]> {
    page.chunks_exact(SLOT)
}

/// Gives a file a slot of its page: that of its inode, else one that is free, else any.
fn fill(page: &mut [u8; PAGE], id: &FileId, digest: &Digest) {
    let same = slots(page).position(|known| &known[..16] == id.place());
    let free = || slots(page).position(|known| known.iter().all(|byte| *byte == 0));
    let any = || usize::from(digest.as_bytes()[0]) % (PAGE / SLOT);
    let place = same.or_else(free).unwrap_or_else(any) * SLOT;
    let slot = &mut page[place..place + SLOT];
    slot[..IDENTITY].copy_from_slice(&id.0);
    slot[IDENTITY..IDENTITY + 32].copy_from_slice(digest.as_bytes());
    let check = check(&slot[..IDENTITY + 32]);
    slot[IDENTITY + 32..].copy_from_slice(&check);
}

fn check(bytes: &[u8]) -> [u8; CHECK] {
    let mut check = [0; CHECK];
    check.copy_from_slice(&Digest::of(bytes).as_bytes()[..CHECK]);
    check
}

fn digest_in(slot: &[u8]) -> Digest {
    let mut digest = [0; 32];
    digest.copy_from_slice(&slot[IDENTITY..IDENTITY + 32]);
    Digest::from_bytes(digest)
}

fn nanoseconds(time: &StatxTimestamp) -> u64 {
    time.tv_sec.wrapping_mul(1_000_000_000).wrapping_add(time.tv_nsec.into()).cast_unsigned()
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().take(8).rev().fold(0, |number, byte| (number << 8) | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods)]

    use std::fs;
    use std::path::PathBuf;
    use std::time::SystemTime;

    use rustix::fs::{AtFlags, CWD, statx};

    use super::*;

    struct Bench {
        dir: tempfile::TempDir,
        cache: DigestCache,
    }

    impl Bench {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let cache = DigestCache::open(&dir.path().join("digests"), false);
            Self { dir, cache }
        }

        fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
            let path = self.dir.path().join(name);
            fs::write(&path, bytes).unwrap();
            path
        }
    }

    fn id(path: &Path) -> FileId {
        let asked = StatxFlags::BASIC_STATS | StatxFlags::BTIME;
        FileId::of(&statx(CWD, path, AtFlags::empty(), asked).unwrap()).unwrap()
    }

    fn made_up(inode: u64, born: u64) -> FileId {
        let fields = [7, inode, 100, 1, born];
        FileId(fields.map(u64::to_le_bytes).concat().try_into().unwrap())
    }

    #[test]
    fn a_file_is_known_again_by_its_links_and_by_another_process() {
        let bench = Bench::new();
        let path = bench.file("a", b"bytes");
        assert_eq!(bench.cache.get(&id(&path)), None);
        bench.cache.put([(id(&path), Digest::of(b"bytes"))]);
        let link = bench.dir.path().join("link");
        fs::hard_link(&path, &link).unwrap();
        let again = DigestCache::open(&bench.dir.path().join("digests"), false);
        assert_eq!(again.get(&id(&link)), Some(Digest::of(b"bytes")));
        fs::remove_file(&path).unwrap();
        assert_eq!(again.get(&id(&link)), Some(Digest::of(b"bytes")));
    }

    #[test]
    fn a_file_with_another_time_size_or_inode_is_not_known() {
        let bench = Bench::new();
        let path = bench.file("a", b"bytes");
        let before = id(&path);
        bench.cache.put([(before, Digest::of(b"bytes"))]);
        let touched = fs::OpenOptions::new().write(true).open(&path).unwrap();
        touched.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!(bench.cache.get(&id(&path)), None);
        touched.set_len(4).unwrap();
        assert_eq!(bench.cache.get(&id(&path)), None);
        let copy = bench.file("b", b"bytes");
        assert_eq!(bench.cache.get(&id(&copy)), None);
        assert_eq!(bench.cache.get(&before), Some(Digest::of(b"bytes")));
    }

    #[test]
    fn a_new_file_on_a_used_inode_is_not_known_and_takes_its_slot() {
        let bench = Bench::new();
        let (old, new) = (made_up(12, 1), made_up(12, 2));
        bench.cache.put([(old, Digest::of(b"old"))]);
        assert_eq!(bench.cache.get(&new), None);
        bench.cache.put([(new, Digest::of(b"new"))]);
        assert_eq!((bench.cache.get(&old), bench.cache.get(&new)), (None, Some(Digest::of(b"new"))));
    }

    #[test]
    fn a_torn_slot_counts_as_empty() {
        let bench = Bench::new();
        let path = bench.dir.path().join("digests");
        for damaged in [0, IDENTITY, SLOT - 1] {
            let file = made_up(12, 1);
            DigestCache::open(&path, true).put([(file, Digest::of(b"bytes"))]);
            let mut table = fs::read(&path).unwrap();
            let slot = usize::try_from(file.page()).unwrap() * PAGE;
            table[slot + damaged] ^= 1;
            fs::write(&path, &table).unwrap();
            let cache = DigestCache::open(&path, false);
            assert_eq!(cache.get(&file), None, "{damaged}");
        }
        fs::write(&path, [1; 100]).unwrap();
        let cache = DigestCache::open(&path, false);
        cache.put([(made_up(3, 1), Digest::of(b"x"))]);
        assert_eq!(cache.get(&made_up(3, 1)), Some(Digest::of(b"x")));
    }

    #[test]
    fn a_table_does_not_grow_beyond_its_pages() {
        let bench = Bench::new();
        let digest = |inode: u64| Digest::of(&inode.to_le_bytes());
        for inode in 0..20_000_u64 {
            let file = made_up(((inode % 8) << 40) | (inode % 32), inode);
            bench.cache.put([(file, digest(inode))]);
            assert_eq!(bench.cache.get(&file), Some(digest(inode)));
        }
        for inode in 0..2_000 {
            bench.cache.put([(made_up(inode << 33, 1), digest(inode))]);
        }
        let length = fs::metadata(bench.dir.path().join("digests")).unwrap().len();
        assert!(length <= PAGES * PAGE as u64, "{length}");
    }

    #[test]
    fn a_full_page_gives_up_a_slot_for_what_is_new() {
        let bench = Bench::new();
        let page = made_up(0, 1).page();
        let other = (1..u64::MAX).find(|n| made_up(n << INODES_PER_PAGE_BITS, 1).page() == page).unwrap();
        let crowd: Vec<FileId> = [0, other << 5].into_iter().flat_map(|n| (n..n + 32).map(|n| made_up(n, 1))).collect();
        for file in &crowd {
            bench.cache.put([(*file, Digest::of(&file.0))]);
        }
        let known = crowd.iter().filter(|file| bench.cache.get(file) == Some(Digest::of(&file.0))).count();
        assert!((30..=PAGE / SLOT).contains(&known), "{known}");
        let last = crowd.last().unwrap();
        assert_eq!(bench.cache.get(last), Some(Digest::of(&last.0)));
    }

    #[test]
    fn a_table_that_cannot_be_opened_or_is_emptied_knows_nothing() {
        let bench = Bench::new();
        let file = made_up(12, 1);
        bench.cache.put([(file, Digest::of(b"bytes"))]);
        assert_eq!(DigestCache::open(&bench.dir.path().join("digests"), true).get(&file), None);
        let none = DigestCache::open(&bench.dir.path().join("no/such/directory"), false);
        none.put([(file, Digest::of(b"bytes"))]);
        assert_eq!(none.get(&file), None);
    }
}
