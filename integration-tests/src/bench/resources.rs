//! What processes and directories take, as Linux tells it.

use std::fs::File;
use std::path::Path;

/// Ticks of `/proc/PID/stat` in a second: 100 on every Linux that this runs on.
const TICKS: f64 = 100.0;

/// Seconds of processor time that a process has used so far.
///
/// # Panics
/// If there is no such process.
#[must_use]
pub fn cpu_seconds(pid: u32) -> f64 {
    ticks(&stat(&pid.to_string()), [13, 14])
}

/// Seconds of processor time that those children of this process have used that have ended.
///
/// # Panics
/// If there is no `/proc`.
#[must_use]
pub fn cpu_seconds_of_children() -> f64 {
    ticks(&stat("self"), [15, 16])
}

fn stat(process: &str) -> String {
    std::fs::read_to_string(format!("/proc/{process}/stat")).expect("read /proc/PID/stat")
}

/// The fields are counted from 0, as in proc(5) less one. The second one is in parentheses and may hold anything.
fn ticks(stat: &str, fields: [usize; 2]) -> f64 {
    let (_, rest) = stat.rsplit_once(')').expect("a name in parentheses");
    let rest: Vec<&str> = rest.split_whitespace().collect();
    fields.iter().map(|field| rest[field - 2].parse::<f64>().expect("ticks")).sum::<f64>() / TICKS
}

/// Bytes that a process has held at most since its start, or since [`forget_peak`].
///
/// # Panics
/// If there is no such process.
#[must_use]
pub fn peak_memory(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("read /proc/PID/status");
    let field = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("VmHWM");
    field.trim().trim_end_matches(" kB").parse::<u64>().expect("a number of kB") * 1024
}

/// Begins to watch a process's peak memory anew.
///
/// # Panics
/// If the process is not ours.
pub fn forget_peak(pid: u32) {
    crate::tree::write(Path::new(&format!("/proc/{pid}/clear_refs")), b"5");
}

/// Sum of the sizes of all files below `root`; nothing is 0.
///
/// # Panics
/// If something cannot be read.
#[must_use]
pub fn bytes_below(root: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(root) else { return 0 };
    let mut bytes = 0;
    for entry in entries {
        let entry = entry.expect("read a directory's entry");
        // What is removed meanwhile does not count.
        let Ok(meta) = entry.metadata() else { continue };
        bytes += if meta.is_dir() { bytes_below(&entry.path()) } else { meta.len() };
    }
    bytes
}

/// Reads every file below `root`, so that it is in the page cache.
///
/// # Panics
/// If something cannot be read.
pub fn read_below(root: &Path) {
    for entry in std::fs::read_dir(root).into_iter().flatten() {
        let path = entry.expect("read a directory's entry").path();
        if path.is_dir() {
            read_below(&path);
        } else {
            let mut file = File::open(&path).expect("open a file");
            std::io::copy(&mut file, &mut std::io::sink()).expect("read a file");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_process_does_not_shift_the_fields() {
        let stat = "42 (a b) c) S 1 42 42 0 -1 4194304 100 200 0 0 150 50 1000 2000 20 0";
        assert_eq!((ticks(stat, [13, 14]), ticks(stat, [15, 16])), (2.0, 30.0));
    }

    #[test]
    fn the_peak_is_that_since_it_was_forgotten() {
        let pid = std::process::id();
        drop(std::hint::black_box(vec![1_u8; 200 << 20]));
        let before = peak_memory(pid);
        forget_peak(pid);
        assert!(before >= 200 << 20 && peak_memory(pid) < before, "{before}, then {}", peak_memory(pid));
    }
}
