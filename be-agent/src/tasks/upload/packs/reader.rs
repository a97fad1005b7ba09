//! Reading small files: at once what is in the page cache, and of what is not, many at a time.
//!
//! A file that is read when its turn comes makes a core wait for the disk, file after file. So whatever is not in memory is
//! asked for, and read when those after it have been asked for, too. What is in memory costs nothing more. Files come in the
//! order in which they were named: a restore reads what lies beside each other at once.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, IoSliceMut};
use std::os::unix::fs::FileExt;

use rustix::fs::{Advice, fadvise};
use rustix::io::{Errno, ReadWriteFlags, preadv2};
use tabvault_common::durable::Directories;
use tabvault_common::failure::{Failure, Kind};

use super::super::plan::Plan;
use crate::store::Result;

/// Files of one thread that the disk is asked for at once.
const AHEAD: usize = 32;

/// The same of all threads of a task: on machines of many cores they must not use up the files that a process may have
/// open.
const AHEAD_OF_ALL: usize = 128;

/// See the module. All files are read into one buffer.
pub(super) struct Reader {
    directories: Directories,
    plain: Vec<u8>,
    asked: VecDeque<(usize, File)>,
    ahead: usize,
    /// The filesystem cannot tell whether it would have to wait.
    never_tells: bool,
}

impl Reader {
    /// One of `threads` readers.
    pub(super) fn new(threads: usize) -> Self {
        let ahead = (AHEAD_OF_ALL / threads.max(1)).clamp(1, AHEAD);
        let (directories, plain, asked) = (Directories::default(), Vec::new(), VecDeque::new());
        Self { directories, plain, asked, ahead, never_tells: false }
    }

    /// Whether one more file may be asked for.
    pub(super) fn may_ask(&self) -> bool {
        self.asked.len() < self.ahead
    }

    /// The file at `place`, if it is in memory and nothing was asked for; otherwise [`Reader::wait`] gives it later.
    pub(super) fn read(&mut self, plan: &Plan, place: usize) -> Result<Option<&[u8]>> {
        let Some(planned) = plan.files.get(place) else { return Err(unplanned()) };
        let local = plan.local(planned);
        let failed = |error: &io::Error| Failure::io(format_args!("read {}", local.display()), error);
        let file = self.directories.open(&local).map_err(|error| failed(&error))?;
        let size = self.make_room(planned.size);
        let read = match self.asked.is_empty().then(|| self.at_once(&file, size)).flatten() {
            Some(read) => read,
            None if self.never_tells => self.finish(&file, size).map_err(|error| failed(&error))?,
            None => {
                // A hint: without it the file is read all the same.
                let _ = fadvise(&file, 0, None, Advice::WillNeed);
                self.asked.push_back((place, file));
                return Ok(None);
            }
        };
        self.whole(plan, place, read).map(Some)
    }

    /// Of the files that were asked for, the one that was first, and its place.
    pub(super) fn wait(&mut self, plan: &Plan) -> Result<Option<(usize, &[u8])>> {
        let Some((place, file)) = self.asked.pop_front() else { return Ok(None) };
        let Some(planned) = plan.files.get(place) else { return Err(unplanned()) };
        let size = self.make_room(planned.size);
        let read = self
            .finish(&file, size)
            .map_err(|error| Failure::io(format_args!("read {}", plan.local(planned).display()), &error))?;
        self.whole(plan, place, read).map(|plain| Some((place, plain)))
    }

    /// The places of what was asked for and is not wanted now, in order.
    pub(super) fn asked(self) -> impl Iterator<Item = usize> {
        self.asked.into_iter().map(|(place, _)| place)
    }

    /// Room for one byte more than there should be: a regular file gives fewer than asked for only at its end.
    fn make_room(&mut self, size: u64) -> usize {
        let size = usize::try_from(size).unwrap_or(usize::MAX - 1);
        if self.plain.len() <= size {
            self.plain.resize(size + 1, 0);
        }
        size
    }

    /// As [`Reader::finish`], if that can be without waiting for the disk.
    fn at_once(&mut self, file: &File, size: usize) -> Option<usize> {
        if self.never_tells {
            return None;
        }
        let mut room = [IoSliceMut::new(self.plain.get_mut(..=size).unwrap_or_default())];
        match preadv2(file, &mut room, 0, ReadWriteFlags::NOWAIT) {
            Ok(read) => Some(read).filter(|read| *read >= size),
            Err(error) => {
                self.never_tells = matches!(error, Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS);
                None
            }
        }
    }

    /// Reads a file from its beginning, up to one byte more than there should be.
    fn finish(&mut self, file: &File, size: usize) -> io::Result<usize> {
        let mut filled = 0;
        loop {
            match file.read_at(self.plain.get_mut(filled..=size).unwrap_or_default(), filled as u64) {
                Ok(0) => return Ok(filled),
                Ok(more) => filled += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            if filled >= size {
                return Ok(filled);
            }
        }
    }

    fn whole(&self, plan: &Plan, place: usize, read: usize) -> Result<&[u8]> {
        let Some(planned) = plan.files.get(place) else { return Err(unplanned()) };
        if read as u64 != planned.size {
            let local = plan.local(planned);
            let message = format!("read {}: it has {read} bytes or more instead of {}", local.display(), planned.size);
            return Err(Failure::fatal(Kind::Corrupt, message));
        }
        Ok(self.plain.get(..read).unwrap_or_default())
    }
}

fn unplanned() -> Failure {
    Failure::fatal(Kind::Internal, "read a file that is in no plan")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::disallowed_methods)]
mod tests {
    use std::path::Path;

    use super::*;

    /// Files of many sizes below `dir`, the first of them not in memory if the filesystem has any other place for them.
    fn files(dir: &Path) -> Vec<Vec<u8>> {
        let contents = (0..100_u8).map(|n| vec![n; usize::from(n) * 700]);
        let files = contents.zip(0..).map(|(content, n)| {
            let path = dir.join(format!("{n:03}"));
            std::fs::write(&path, &content).unwrap();
            let file = File::open(&path).unwrap();
            file.sync_all().unwrap();
            if n < 50 {
                fadvise(&file, 0, None, Advice::DontNeed).unwrap();
            }
            content
        });
        files.collect()
    }

    fn all(reader: &mut Reader, plan: &Plan) -> Result<Vec<(usize, Vec<u8>)>> {
        let mut found = Vec::new();
        for place in 0..plan.files.len() {
            while !reader.may_ask() {
                found.extend(reader.wait(plan)?.map(|(place, plain)| (place, plain.to_vec())));
            }
            found.extend(reader.read(plan, place)?.map(|plain| (place, plain.to_vec())));
        }
        while let Some((place, plain)) = reader.wait(plan)? {
            found.push((place, plain.to_vec()));
        }
        Ok(found)
    }

    #[test]
    fn every_file_comes_whole_and_in_its_turn_wherever_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let expected: Vec<(usize, Vec<u8>)> = files(dir.path()).into_iter().enumerate().collect();
        let plan = Plan::of(dir.path()).unwrap();
        let mut never_tells = Reader { never_tells: true, ..Reader::new(1) };
        for reader in [&mut Reader::new(1), &mut Reader::new(1000), &mut never_tells] {
            assert!(all(reader, &plan).unwrap() == expected);
        }
    }

    #[test]
    fn a_file_that_is_shorter_or_longer_than_it_was_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        for (n, (was, is)) in [("", "x"), ("xx", "x"), ("x", "xx")].into_iter().enumerate() {
            let dir = dir.path().join(n.to_string());
            std::fs::create_dir(&dir).unwrap();
            std::fs::write(dir.join("file"), was).unwrap();
            let plan = Plan::of(&dir).unwrap();
            std::fs::write(dir.join("file"), is).unwrap();
            let mut never_tells = Reader { never_tells: true, ..Reader::new(1) };
            for reader in [&mut Reader::new(1), &mut Reader::new(1000), &mut never_tells] {
                assert_eq!(all(reader, &plan).unwrap_err().kind, Kind::Corrupt, "{was:?} {is:?}");
            }
        }
    }
}
