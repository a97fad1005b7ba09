//! Running a command and saying what it took.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use serde::Serialize;

use super::resources::cpu_seconds_of_children;

/// What one command took.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Taken {
    /// Seconds from its start to its end.
    pub seconds: f64,
    /// Seconds of processor time.
    pub cpu_seconds: f64,
    /// Bytes that the agent held at most; for others nothing.
    pub peak_memory: Option<u64>,
    /// Seconds of processor time of the coordinator, which are not among the others.
    pub coordinator_cpu_seconds: Option<f64>,
    /// Bytes that the coordinator held at most.
    pub coordinator_peak_memory: Option<u64>,
}

/// Runs a shell's command, followed by making all that it wrote to the filesystem of `place` durable.
///
/// # Panics
/// If it fails.
#[must_use]
pub fn shell(command: &mut Command, place: &Path) -> Taken {
    let cpu = cpu_seconds_of_children();
    let start = Instant::now();
    let status = command.status().expect("run a command");
    assert!(status.success(), "{command:?}: {status}");
    sync(place);
    let seconds = start.elapsed().as_secs_f64();
    let cpu_seconds = cpu_seconds_of_children() - cpu;
    Taken { seconds, cpu_seconds, peak_memory: None, coordinator_cpu_seconds: None, coordinator_peak_memory: None }
}

/// Makes all that was written to the filesystem of `place` durable.
///
/// # Panics
/// If that fails.
pub fn sync(place: &Path) {
    let status = Command::new("sync").arg("-f").arg(place).status().expect("run sync");
    assert!(status.success(), "sync -f {}: {status}", place.display());
}
