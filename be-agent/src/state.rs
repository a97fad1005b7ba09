//! What the agent remembers of itself and its cluster: `<state_dir>/agent.json`.
//!
//! # Overview
//! The agent's own uuid, the cluster it belongs to, its backend number there, the highest epoch it has seen, and the
//! boot of the machine during which it last ran.
//!
//! # Consistency
//! One process at a time: the directory is locked. The epoch never falls and the cluster never changes; to give a
//! directory to another cluster, remove it.
//!
//! # Crash consistency
//! The file is replaced durably *before* anything is done in the name of a new cluster or epoch: whatever an agent has
//! done for an epoch, it refuses lower ones afterwards. Losing the file costs work (tasks are done again), never data.
//!
//! # Cancellation
//! Calls block and run to their end.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use tabvault_common::durable::{self, DirLock};
use tabvault_common::failure::{Failure, Kind};
use tabvault_common::ids::{AgentUuid, BackendId, ClusterId, Epoch};

const FILE: &str = "agent.json";
const FORMAT_VERSION: u32 = 1;

/// The remembered values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Remembered {
    format_version: u32,
    /// The identity of this state directory.
    pub(crate) agent: AgentUuid,
    /// The cluster, once it is known.
    pub(crate) cluster: Option<ClusterId>,
    /// The number in that cluster.
    pub(crate) backend: Option<BackendId>,
    /// The highest epoch of a coordinator that was listened to.
    pub(crate) highest_epoch: Epoch,
    /// The machine's boot, to notice a restart of the machine; empty where the system does not tell.
    boot: String,
}

/// The state directory, held by this process.
#[derive(Debug)]
pub(crate) struct State {
    dir: PathBuf,
    now: Mutex<Remembered>,
    /// Held from the look at what is remembered until what was made of it is: a conversation that was given up may still
    /// be writing.
    accepting: Mutex<()>,
    rebooted: bool,
    _lock: DirLock,
}

impl State {
    /// Opens or makes the state directory `dir`. Blocks.
    ///
    /// # Errors
    /// `Busy` if another process holds it; `Corrupt` or `Unsupported` if its file cannot be understood.
    pub(crate) fn open(dir: &Path) -> Result<Self, Failure> {
        durable::create_dir_all(dir)?;
        let lock = durable::lock_dir(dir)?;
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned();
        let before = read(&dir.join(FILE))?;
        let rebooted = before.as_ref().is_some_and(|before| before.boot != boot);
        let now = match before {
            Some(before) => Remembered { boot, ..before },
            None => Remembered {
                format_version: FORMAT_VERSION,
                agent: AgentUuid::random(),
                cluster: None,
                backend: None,
                highest_epoch: Epoch(0),
                boot,
            },
        };
        Ok(Self { dir: dir.to_owned(), now: Mutex::new(now), accepting: Mutex::new(()), rebooted, _lock: lock })
    }

    /// Writes down the present boot of the machine, and a new agent's identity: when what an earlier boot may have torn
    /// is gone. Blocks.
    pub(crate) fn remember_boot(&self) -> Result<(), Failure> {
        self.write(&self.now())
    }

    pub(crate) fn now(&self) -> Remembered {
        self.now.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether the machine was started anew since the agent last ran: what was not synced may be torn.
    pub(crate) fn rebooted(&self) -> bool {
        self.rebooted
    }

    /// Where upload journals are.
    pub(crate) fn journal_dir(&self) -> PathBuf {
        self.dir.join("journal")
    }

    /// Where digests of files are remembered.
    pub(crate) fn digests(&self) -> PathBuf {
        self.dir.join("digests")
    }

    /// Whether a coordinator of `cluster` at `epoch` may be listened to.
    ///
    /// # Errors
    /// `Stale`: another cluster, or a lower epoch than was seen before.
    pub(crate) fn check(&self, cluster: ClusterId, epoch: Epoch) -> Result<(), Failure> {
        let now = self.now();
        if let Some(own) = now.cluster
            && own != cluster
        {
            let message = format!(
                "attach to cluster {cluster}: this agent belongs to cluster {own}; give it that cluster's address, or \
                 another state directory"
            );
            return Err(Failure::fatal(Kind::Stale, message));
        }
        if epoch < now.highest_epoch {
            let message =
                format!("stale coordinator: it leads with epoch {epoch}, epoch {} was seen before", now.highest_epoch);
            return Err(Failure::fatal(Kind::Stale, message));
        }
        Ok(())
    }

    /// Remembers, durably, the coordinator that is listened to from now on. Blocks.
    ///
    /// # Errors
    /// As of [`State::check`]; or that of the disk, and then nothing may be done for that coordinator.
    pub(crate) fn accept(&self, cluster: ClusterId, epoch: Epoch, backend: BackendId) -> Result<(), Failure> {
        let _turn = self.accepting.lock().unwrap_or_else(PoisonError::into_inner);
        self.check(cluster, epoch)?;
        let before = self.now();
        let after =
            Remembered { cluster: Some(cluster), backend: Some(backend), highest_epoch: epoch, ..before.clone() };
        if after == before { Ok(()) } else { self.write(&after) }
    }

    fn write(&self, after: &Remembered) -> Result<(), Failure> {
        let path = self.dir.join(FILE);
        let mut text = serde_json::to_vec_pretty(after)
            .map_err(|error| Failure::fatal(Kind::Internal, format!("write {}: {error}", path.display())))?;
        text.push(b'\n');
        durable::write_file(&path, &text)?;
        *self.now.lock().unwrap_or_else(PoisonError::into_inner) = after.clone();
        Ok(())
    }
}

fn read(path: &Path) -> Result<Option<Remembered>, Failure> {
    #[derive(Deserialize)]
    struct Versioned {
        format_version: u32,
    }
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Failure::io(format_args!("read {}", path.display()), &error)),
    };
    let damaged = |error: serde_json::Error| {
        let message = format!("read {}: {error}; remove the file to start as a new agent", path.display());
        Failure::fatal(Kind::Corrupt, message)
    };
    let version: Versioned = serde_json::from_slice(&text).map_err(damaged)?;
    if version.format_version != FORMAT_VERSION {
        let (found, path) = (version.format_version, path.display());
        let message = format!("read {path}: it has format version {found}, this program reads {FORMAT_VERSION}");
        return Err(Failure::fatal(Kind::Unsupported, message));
    }
    serde_json::from_slice(&text).map(Some).map_err(damaged)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::*;

    #[test]
    fn identity_cluster_and_epoch_survive_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let cluster = ClusterId::random();
        let state = State::open(dir.path()).unwrap();
        state.accept(cluster, Epoch(7), BackendId(3)).unwrap();
        let before = state.now();
        drop(state);
        let state = State::open(dir.path()).unwrap();
        assert_eq!(state.now(), before);
        assert_eq!(
            (before.cluster, before.backend, before.highest_epoch),
            (Some(cluster), Some(BackendId(3)), Epoch(7))
        );
        assert!(!state.rebooted());
    }

    #[test]
    fn the_epoch_never_falls_when_two_are_accepted_side_by_side() {
        let dir = tempfile::tempdir().unwrap();
        let (cluster, state) = (ClusterId::random(), State::open(dir.path()).unwrap());
        for epoch in 1..100 {
            std::thread::scope(|scope| {
                // The lower one may come second, and is refused then.
                scope.spawn(|| state.accept(cluster, Epoch(2 * epoch), BackendId(1)));
                scope.spawn(|| state.accept(cluster, Epoch(2 * epoch + 1), BackendId(1)).unwrap());
            });
            let written = read(&dir.path().join(FILE)).unwrap().unwrap();
            assert_eq!(
                (state.now().highest_epoch, written.highest_epoch),
                (Epoch(2 * epoch + 1), Epoch(2 * epoch + 1))
            );
        }
    }

    #[test]
    fn a_lower_epoch_and_another_cluster_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let cluster = ClusterId::random();
        let state = State::open(dir.path()).unwrap();
        state.accept(cluster, Epoch(7), BackendId(3)).unwrap();
        assert!(state.accept(cluster, Epoch(6), BackendId(3)).unwrap_err().message.contains("stale coordinator"));
        let other = state.accept(ClusterId::random(), Epoch(9), BackendId(3)).unwrap_err();
        assert!(other.message.contains("belongs to cluster"), "{other}");
        assert_eq!(state.now().highest_epoch, Epoch(7));
    }

    #[test]
    fn a_second_process_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let _held = State::open(dir.path()).unwrap();
        assert_eq!(State::open(dir.path()).unwrap_err().kind, Kind::Busy);
    }

    #[test]
    fn a_boot_of_the_machine_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        State::open(dir.path()).unwrap().remember_boot().unwrap();
        let path = dir.path().join(FILE);
        let mut text: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        text["boot"] = "another".into();
        durable::write_file(&path, text.to_string().as_bytes()).unwrap();
        assert!(State::open(dir.path()).unwrap().rebooted());
    }

    #[test]
    fn a_damaged_file_is_named() {
        let dir = tempfile::tempdir().unwrap();
        durable::write_file(&dir.path().join(FILE), b"{").unwrap();
        let failure = State::open(dir.path()).unwrap_err();
        assert_eq!(failure.kind, Kind::Corrupt);
        assert!(failure.message.contains("agent.json"));
    }
}
