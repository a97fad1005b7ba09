//! One tablet: where its files are, and what of it is kept in memory.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Seek, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tabvault_common::durable;
use tabvault_common::failure::{Failure, Kind};
use tabvault_common::ids::{JobUuid, SchemaHash, TabletId, Version};
use tabvault_common::task::TabletVersion;

use super::entry::{DataName, Entry};
use super::header::Header;
use super::index::{Reader, Rowset};
use super::visible::{Layer, Visible};
use crate::store::Result;

/// Most indexes of a tablet that are open at once: tasks of many tablets must not use up the process's files.
const MAX_LAYERS: usize = 32;

/// A tablet that is on disk. Entries of indexes are not kept: they are read when they are needed.
#[derive(Debug)]
pub(crate) struct Tablet {
    /// Its number.
    pub(crate) id: TabletId,
    /// The index of the data root it lies on.
    pub(crate) root: usize,
    /// Its directory.
    pub(crate) dir: PathBuf,
    /// Held by whoever changes the tablet: one change at a time.
    pub(crate) change: Arc<tokio::sync::Mutex<()>>,
    /// Held for reading while files are pinned, for writing while files are removed.
    pub(crate) pins: Arc<tokio::sync::RwLock<()>>,
    state: Mutex<State>,
}

/// What of a tablet is kept in memory.
#[derive(Debug, Clone)]
pub(crate) struct State {
    /// As on disk.
    pub(crate) header: Header,
    /// What each version brought, without a gap from the base on. A base that is empty has none.
    pub(crate) rowsets: BTreeMap<Version, Rowset>,
    /// It was dropped; whoever found it before that must not use it.
    pub(crate) dropped: bool,
}

impl Tablet {
    pub(crate) fn new(root: usize, dir: PathBuf, header: Header, rowsets: BTreeMap<Version, Rowset>) -> Self {
        let id = header.tablet;
        let state = Mutex::new(State { header, rowsets, dropped: false });
        Self { id, root, dir, change: Arc::default(), pins: Arc::default(), state }
    }

    /// What is kept in memory; held for moments only.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A copy of what is kept in memory.
    pub(crate) fn snapshot(&self) -> Result<State> {
        let state = self.state().clone();
        if state.dropped { Err(not_found(self.id)) } else { Ok(state) }
    }

    /// The index file of what `version` brought.
    pub(crate) fn index_path(&self, version: Version) -> PathBuf {
        self.dir.join(format!("{version}.jsonl"))
    }

    /// The directory of the data files that `job` brought as `version`.
    pub(crate) fn rowset_dir(&self, version: Version, job: JobUuid) -> PathBuf {
        self.dir.join(format!("{version}-{job}"))
    }

    /// What is visible at `version`, which the tablet must have.
    pub(crate) fn visible(&self, state: &State, version: Version) -> Result<Visible<'static>> {
        Ok(Visible::of(self.layers(state, version)?))
    }

    /// What the loads up to `version` brought; the earliest of very many are one layer.
    pub(crate) fn layers(&self, state: &State, version: Version) -> Result<Vec<Layer<'static>>> {
        let mut layers: Vec<Layer<'static>> = Vec::new();
        for version in state.rowsets.range(..=version).map(|(version, _)| *version) {
            if layers.len() == MAX_LAYERS {
                let below = self.spill(Visible::of(std::mem::take(&mut layers)))?;
                layers.push(below);
            }
            layers.push(Box::new(Reader::open(&self.index_path(version))?));
        }
        Ok(layers)
    }

    /// Keeps entries in a file without a name, to be read once.
    fn spill(&self, entries: Visible<'_>) -> Result<Layer<'static>> {
        let id = self.id;
        let failed = move |error: &io::Error| Failure::io(format_args!("merge the indexes of tablet {id}"), error);
        let path = durable::temporary_beside(&self.index_path(Version::INITIAL));
        let opened = File::options().read(true).write(true).create_new(true).open(&path);
        let mut file = opened.map_err(|error| failed(&error))?;
        fs::remove_file(&path).map_err(|error| failed(&error))?;
        let mut out = BufWriter::new(&file);
        for entry in entries {
            serde_json::to_writer(&mut out, &entry?).map_err(|error| failed(&error.into()))?;
        }
        out.flush().map_err(|error| failed(&error))?;
        drop(out);
        file.rewind().map_err(|error| failed(&error))?;
        let read = serde_json::Deserializer::from_reader(BufReader::new(file)).into_iter::<Entry>();
        Ok(Box::new(read.map(move |entry| entry.map_err(|error| failed(&error.into())))))
    }

    /// The file that holds the bytes called `name`.
    pub(crate) fn data_path(&self, state: &State, name: DataName) -> Result<PathBuf> {
        // A restored base keeps the names that its files had in the tablet that was backed up.
        let version = name.version.max(state.header.base);
        let rowset = state.rowsets.get(&version).ok_or_else(|| {
            Failure::fatal(Kind::Corrupt, format!("tablet {}: an index names `{name}`, which no load brought", self.id))
        })?;
        Ok(self.rowset_dir(version, rowset.job).join(name.to_string()))
    }
}

impl State {
    /// The highest version it has.
    pub(crate) fn latest(&self) -> Version {
        self.rowsets.keys().next_back().copied().unwrap_or(self.header.base)
    }

    /// Bytes of data files.
    pub(crate) fn stored_bytes(&self) -> u64 {
        self.rowsets.values().map(|rowset| rowset.stored_bytes).sum()
    }

    /// Refuses another schema than the tablet's.
    pub(crate) fn check_schema(&self, wanted: SchemaHash) -> Result<()> {
        if self.header.schema_hash == wanted {
            return Ok(());
        }
        let (tablet, has) = (self.header.tablet, self.header.schema_hash);
        Err(Failure::fatal(Kind::Mismatch, format!("tablet {tablet} has schema {has}, not {wanted}")))
    }

    /// Refuses a tablet that still belongs to a job. Whoever asks may know of a publish of which this agent is only about
    /// to hear: trying again helps.
    pub(crate) fn check_settled(&self) -> Result<()> {
        match self.header.owner {
            None => Ok(()),
            Some(job) => Err(Failure::transient(
                Kind::FailedPrecondition,
                format!("tablet {} belongs to job {job} and is not readable before that ends", self.header.tablet),
            )),
        }
    }

    /// Refuses a tablet that cannot show `at`.
    pub(crate) fn check_readable(&self, at: TabletVersion) -> Result<()> {
        self.check_schema(at.schema_hash)?;
        self.check_settled()?;
        if at.version < self.header.base || at.version > self.latest() {
            return Err(self.lacks(at.version));
        }
        Ok(())
    }

    /// The refusal of `version`.
    pub(crate) fn lacks(&self, version: Version) -> Failure {
        let (tablet, base, latest) = (self.header.tablet, self.header.base, self.latest());
        let message = format!("tablet {tablet} does not have version {version}: it has {base} to {latest}");
        Failure::fatal(Kind::FailedPrecondition, message)
    }
}

/// The refusal of a tablet that is not there.
pub(crate) fn not_found(tablet: TabletId) -> Failure {
    Failure::fatal(Kind::NotFound, format!("tablet {tablet} does not exist on this backend"))
}
