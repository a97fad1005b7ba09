//! What an upload has finished: `<state_dir>/journal/<job>/<task>`.
//!
//! # Overview
//! JSON Lines, appended as objects and packs are finished, so that a restarted agent, or another attempt of the same
//! task, sends only what was in flight. Also which object names were begun: none is ever used twice.
//!
//! # Consistency
//! A line is believed only together with the repository: the object must still be there with the size that was stored.
//! Lines are keyed by tablet, version, path and size of files that never change.
//!
//! # Crash consistency
//! Nothing is synced. A crash of the process loses at most the line being written; a torn line is skipped. After a
//! restart of the machine all journals are forgotten ([`Journals::forget`]): that costs work, never data.
//!
//! # Cancellation
//! Calls block and run to their end.

use std::cell::Cell;
use std::collections::{BTreeSet, HashMap};
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize, Serializer};
use tabvault_common::durable;
use tabvault_common::failure::Failure;
use tabvault_common::ids::{JobUuid, TabletId, TaskId, Version};
use tabvault_common::repo::manifest::{ManifestFile, ManifestPack};

use crate::files;
use crate::store::Result;
use crate::work_dir;

/// Longest line that is believed, in bytes: a full pack's.
const MAX_LINE: u64 = 64 << 20;

/// A file of a snapshot on this agent.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct FileKey {
    pub(crate) tablet: TabletId,
    pub(crate) version: Version,
    pub(crate) path: String,
    pub(crate) size: u64,
}

/// A file and where it was stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stored {
    pub(crate) tablet: TabletId,
    pub(crate) version: Version,
    pub(crate) file: ManifestFile,
}

impl Stored {
    pub(crate) fn key(&self) -> FileKey {
        let Self { tablet, version, file } = self;
        FileKey { tablet: *tablet, version: *version, path: file.path.clone(), size: file.size }
    }
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Line {
    /// The `n`th object name of an attempt is taken.
    Begun { attempt: u32, n: u32 },
    /// An object is complete.
    Object(Stored),
    /// A pack is complete.
    Pack(PackLine),
}

/// A pack and what is in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PackLine {
    pub(crate) pack: ManifestPack,
    pub(crate) files: Vec<Stored>,
}

/// [`Line::Pack`] as it is written, without holding all it tells of a pack.
#[derive(Serialize)]
#[serde(tag = "type", rename = "pack")]
struct PackWritten<'a, F> {
    pack: &'a ManifestPack,
    files: F,
}

/// What a journal tells.
#[derive(Debug, Default)]
pub(crate) struct Finished {
    /// Objects by file.
    pub(crate) objects: HashMap<FileKey, Stored>,
    /// How many object names each attempt has taken.
    pub(crate) names: HashMap<u32, u32>,
}

/// All journals of an agent.
#[derive(Debug, Clone)]
pub(crate) struct Journals {
    dir: PathBuf,
}

impl Journals {
    pub(crate) fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// The journal of a task, and what it tells so far; of packs it tells `take`, one after another.
    pub(crate) fn open(&self, job: JobUuid, task: TaskId, take: impl FnMut(PackLine)) -> Result<(Journal, Finished)> {
        let dir = self.dir.join(job.to_string());
        files::make_dir(&dir)?;
        let path = dir.join(task.to_string());
        let failed = |error: &std::io::Error| Failure::io(format_args!("open the journal {}", path.display()), error);
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(&path).map_err(|e| failed(&e))?;
        let finished = read(&file, take).map_err(|e| failed(&e))?;
        end_line(&mut file).map_err(|e| failed(&e))?;
        Ok((Journal { file: Mutex::new(file), path }, finished))
    }

    /// The jobs that have journals.
    pub(crate) fn jobs(&self) -> Result<BTreeSet<JobUuid>> {
        Ok(work_dir::names(&self.dir)?.iter().filter_map(|name| name.parse().ok()).collect())
    }

    /// Removes the journals of a job.
    pub(crate) fn remove_job(&self, job: JobUuid) -> Result<()> {
        durable::remove_dir_all(&self.dir.join(job.to_string()))
    }

    /// Removes all journals.
    pub(crate) fn forget(&self) -> Result<()> {
        durable::remove_dir_all(&self.dir)
    }
}

/// One task's journal, open for more.
#[derive(Debug)]
pub(crate) struct Journal {
    file: Mutex<File>,
    path: PathBuf,
}

impl Journal {
    /// Appends a line.
    pub(crate) fn append(&self, line: &Line) -> Result<()> {
        self.write(line)
    }

    /// Appends that a pack is complete, with `files` in it.
    pub(crate) fn append_pack(&self, pack: &ManifestPack, files: impl Iterator<Item = Stored>) -> Result<()> {
        self.write(&PackWritten { pack, files: Each(Cell::new(Some(files))) })
    }

    fn write(&self, line: &impl Serialize) -> Result<()> {
        let failed = |error: &std::io::Error| Failure::io(format_args!("write {}", self.path.display()), error);
        let file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let mut out = BufWriter::new(&*file);
        serde_json::to_writer(&mut out, line).map_err(|error| failed(&error.into()))?;
        out.write_all(b"\n").and_then(|()| out.flush()).map_err(|error| failed(&error))
    }
}

/// A list that is spelt, once, as it is made.
struct Each<I>(Cell<Option<I>>);

impl<I: Iterator<Item: Serialize>> Serialize for Each<I> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.take().into_iter().flatten())
    }
}

fn read(file: &File, mut take: impl FnMut(PackLine)) -> std::io::Result<Finished> {
    let mut finished = Finished::default();
    let mut input = BufReader::new(file);
    let mut text = Vec::new();
    loop {
        text.clear();
        if (&mut input).take(MAX_LINE).read_until(b'\n', &mut text)? == 0 {
            return Ok(finished);
        }
        match serde_json::from_slice(&text) {
            Ok(Line::Begun { attempt, n }) => {
                let names = finished.names.entry(attempt).or_default();
                *names = (*names).max(n.saturating_add(1));
            }
            Ok(Line::Object(stored)) => {
                finished.objects.insert(stored.key(), stored);
            }
            Ok(Line::Pack(pack)) => take(pack),
            Err(error) => tracing::debug!(%error, "skipped a torn line of an upload journal"),
        }
    }
}

/// Ends a line that was torn, so that the next one stands alone.
fn end_line(file: &mut File) -> std::io::Result<()> {
    let length = file.seek(SeekFrom::End(0))?;
    if length == 0 {
        return Ok(());
    }
    let mut last = [0];
    file.seek(SeekFrom::Start(length - 1))?;
    file.read_exact(&mut last)?;
    if last == *b"\n" { Ok(()) } else { file.write_all(b"\n") }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use tabvault_common::digest::Digest;
    use tabvault_common::repo::codec::Codec;
    use tabvault_common::repo::manifest::FileLocation;

    use super::*;

    fn stored(path: &str) -> Stored {
        let digest = Digest::of(path.as_bytes());
        let at = FileLocation::Object { object: format!("o/{path}") };
        let (path, codec) = (path.to_owned(), Codec::None);
        let file = ManifestFile { path, size: 3, digest, at, stored_size: 3, stored_digest: digest, codec };
        Stored { tablet: TabletId(1), version: Version(2), file }
    }

    #[test]
    fn a_torn_line_costs_only_itself() {
        let dir = tempfile::tempdir().unwrap();
        let journals = Journals::new(dir.path().join("journal"));
        let (job, task) = (JobUuid::random(), TaskId(4));
        let (journal, _) = journals.open(job, task, |_| ()).unwrap();
        journal.append(&Line::Begun { attempt: 2, n: 6 }).unwrap();
        journal.append(&Line::Object(stored("a"))).unwrap();
        journal.append(&Line::Object(stored("torn"))).unwrap();
        let file = OpenOptions::new().write(true).open(&journal.path).unwrap();
        file.set_len(file.metadata().unwrap().len() - 9).unwrap();

        let (journal, finished) = journals.open(job, task, |_| ()).unwrap();
        assert_eq!(finished.objects.keys().map(|key| key.path.as_str()).collect::<Vec<_>>(), ["a"]);
        assert_eq!(finished.names, HashMap::from([(2, 7)]));
        journal.append(&Line::Object(stored("b"))).unwrap();
        let (_, finished) = journals.open(job, task, |_| ()).unwrap();
        assert_eq!(finished.objects.len(), 2);
    }

    #[test]
    fn packs_are_told_with_all_that_is_in_them() {
        let dir = tempfile::tempdir().unwrap();
        let journals = Journals::new(dir.path().join("journal"));
        let (job, task) = (JobUuid::random(), TaskId(4));
        let packs: Vec<_> = ["one", "two"]
            .map(|name| {
                let pack = ManifestPack { path: name.to_owned(), size: 30, entries: 2 };
                PackLine { pack, files: vec![stored(&format!("{name}/a")), stored(&format!("{name}/b"))] }
            })
            .into();
        let (journal, _) = journals.open(job, task, |_| ()).unwrap();
        journal.append_pack(&packs[0].pack, packs[0].files.iter().cloned()).unwrap();
        journal.append(&Line::Pack(packs[1].clone())).unwrap();
        let mut told = Vec::new();
        journals.open(job, task, |pack| told.push(pack)).unwrap();
        assert_eq!(told, packs);
    }

    #[test]
    fn journals_go_with_their_job() {
        let dir = tempfile::tempdir().unwrap();
        let journals = Journals::new(dir.path().join("journal"));
        assert!(journals.jobs().unwrap().is_empty());
        let (kept, gone) = (JobUuid::random(), JobUuid::random());
        for job in [kept, gone] {
            journals.open(job, TaskId(1), |_| ()).unwrap().0.append(&Line::Begun { attempt: 1, n: 0 }).unwrap();
        }
        journals.remove_job(gone).unwrap();
        assert_eq!(journals.jobs().unwrap(), BTreeSet::from([kept]));
    }
}
