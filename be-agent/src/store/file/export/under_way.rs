//! The exports of this agent that the coordinator has not ended yet.
//!
//! # Overview
//! `R/export/<export>.json` on the first root names the target of an export into a directory, so that whoever dies while
//! it runs can remove the staging directory later. Exports to remote storage are remembered in memory only: removing
//! their objects needs credentials, which never lie on an agent's disk.
//!
//! # Consistency
//! Of one export one step at a time works on this agent. An export that was given up writes nothing any more, whatever
//! comes late.
//!
//! # Crash consistency
//! The record is durable before there is a staging directory, and goes after it. A record whose staging directory is
//! gone, or was published, does no harm: discarding then finds nothing.
//!
//! # Cancellation
//! A step that nobody waits for keeps its turn until it has stopped.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use tabvault_common::access::StorageAccess;
use tabvault_common::durable;
use tabvault_common::failure::{Failure, Kind};
use tabvault_common::ids::JobUuid;
use tabvault_common::task::{Export, ExportStep};
use tokio::sync::OwnedMutexGuard;

use super::super::parallel::Stop;
use crate::store::{DataRoot, Result};
use crate::work_dir;

const FORMAT_VERSION: u32 = 1;
const SUFFIX: &str = ".json";

/// What a record says.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    format_version: u32,
    /// The target, as the task named it.
    target: String,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct UnderWay {
    /// `export/` of every root. New records go into the first; the roots may be given in another order next time.
    dirs: Vec<PathBuf>,
    exports: Mutex<HashMap<JobUuid, Arc<Begun>>>,
}

/// One export.
#[derive(Debug)]
pub(super) struct Begun {
    /// What is to be written; of an export that an earlier process began only where.
    pub(super) task: Export,
    turn: Arc<tokio::sync::Mutex<()>>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Published or discarded: nothing half-made is left.
    settled: bool,
    given_up: bool,
    /// Of the step that runs.
    stop: Stop,
}

impl UnderWay {
    /// Reads the records on `roots`. Blocks. One that cannot be read is logged as an error and left alone.
    pub(crate) fn open(roots: &[DataRoot]) -> Result<Self> {
        let dirs: Vec<PathBuf> = roots.iter().map(|root| root.work.join("export")).collect();
        let mut exports = HashMap::new();
        for dir in &dirs {
            for name in work_dir::names(dir)? {
                let path = dir.join(&name);
                if durable::is_temporary(&name) {
                    durable::remove_file(&path)?;
                    continue;
                }
                let Some(job) = name.strip_suffix(SUFFIX).and_then(|job| job.parse().ok()) else { continue };
                match read(&path) {
                    Ok(target) => {
                        let target = StorageAccess::direct(target);
                        let task = Export { target, step: ExportStep::Discard, tablets: Vec::new() };
                        exports.insert(job, Arc::new(Begun::new(task)));
                    }
                    Err(failure) => tracing::error!(%failure, "leave what an export had written behind"),
                }
            }
        }
        Ok(Self { dirs, exports: Mutex::new(exports) })
    }

    /// The export `job`, known from now on.
    pub(super) fn begin(&self, job: JobUuid, task: &Export) -> Arc<Begun> {
        let mut exports = self.locked();
        Arc::clone(exports.entry(job).or_insert_with(|| Arc::new(Begun::new(task.clone()))))
    }

    pub(super) fn get(&self, job: JobUuid) -> Option<Arc<Begun>> {
        self.locked().get(&job).cloned()
    }

    /// All exports that the coordinator has not ended.
    pub(crate) fn jobs(&self) -> Vec<JobUuid> {
        self.locked().keys().copied().collect()
    }

    /// Writes down, durably, that a staging directory beside `target` is about to be made. Blocks.
    pub(super) fn record(&self, job: JobUuid, target: &str) -> Result<()> {
        let Some(dir) = self.dirs.first() else { return Ok(()) };
        let path = dir.join(format!("{job}{SUFFIX}"));
        let record = Record { format_version: FORMAT_VERSION, target: target.to_owned() };
        let text = serde_json::to_vec(&record)
            .map_err(|error| Failure::fatal(Kind::Internal, format!("write {}: {error}", path.display())))?;
        durable::create_dir_all(dir)?;
        durable::write_file(&path, &text)
    }

    /// Takes note that nothing half-made of the export is left here. Blocks.
    pub(super) fn settle(&self, job: JobUuid, begun: &Begun) -> Result<()> {
        for dir in &self.dirs {
            durable::remove_file(&dir.join(format!("{job}{SUFFIX}")))?;
        }
        begun.locked().settled = true;
        Ok(())
    }

    /// Forgets an export that the coordinator has ended.
    pub(super) fn forget(&self, job: JobUuid) {
        self.locked().remove(&job);
    }

    fn locked(&self) -> MutexGuard<'_, HashMap<JobUuid, Arc<Begun>>> {
        self.exports.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Begun {
    fn new(task: Export) -> Self {
        Self { task, turn: Arc::default(), state: Mutex::default() }
    }

    /// Waits until no other step of the export works here.
    pub(super) async fn turn(&self) -> OwnedMutexGuard<()> {
        Arc::clone(&self.turn).lock_owned().await
    }

    /// Begins a step that makes something, in its turn; giving up the export sets `stop`.
    ///
    /// # Errors
    /// `Cancelled` if the export was given up.
    pub(super) fn work(&self, stop: &Stop) -> Result<()> {
        let mut state = self.locked();
        if state.given_up {
            return Err(Failure::fatal(Kind::Cancelled, "the export was given up"));
        }
        state.stop = stop.clone();
        Ok(())
    }

    /// Stops the step that runs and lets none make anything any more.
    pub(super) fn give_up(&self) {
        let mut state = self.locked();
        state.given_up = true;
        state.stop.set();
    }

    pub(super) fn is_settled(&self) -> bool {
        self.locked().settled
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(path: &Path) -> Result<String> {
    let text = fs::read(path).map_err(|error| Failure::io(format_args!("read {}", path.display()), &error))?;
    let record: Record = serde_json::from_slice(&text)
        .map_err(|error| Failure::fatal(Kind::Corrupt, format!("read {}: {error}", path.display())))?;
    if record.format_version != FORMAT_VERSION {
        let (found, path) = (record.format_version, path.display());
        let message = format!("read {path}: it has format version {found}, this program reads {FORMAT_VERSION}");
        return Err(Failure::fatal(Kind::Unsupported, message));
    }
    Ok(record.target)
}
