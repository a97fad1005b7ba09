//! What was measured on, and with what: without it no figure means anything.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use serde::Serialize;

/// A machine, and the programs on it that were measured.
#[derive(Debug, Clone, Serialize)]
pub struct Machine {
    /// Processors that can be used.
    pub processors: usize,
    /// Their model.
    pub model: String,
    /// Bytes of memory.
    pub memory: u64,
    /// Version of the kernel, without what its builder calls it.
    pub kernel: String,
    /// The type of the filesystem where everything was.
    pub filesystem: String,
    /// When, in UTC.
    pub time: String,
    /// Versions of the programs.
    pub versions: BTreeMap<String, String>,
}

impl Machine {
    /// This one, with data at `place`.
    ///
    /// # Panics
    /// If it is no Linux.
    #[must_use]
    pub fn describe(place: &Path, program: &Path) -> Self {
        let field = |file: &str, name: &str| {
            let text = std::fs::read_to_string(file).expect("read /proc");
            let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned();
            line.split_once(':').map_or("unknown", |(_, value)| value.trim()).to_owned()
        };
        let kilobytes = field("/proc/meminfo", "MemTotal").trim_end_matches(" kB").parse().unwrap_or(0_u64);
        let place = place.to_string_lossy();
        let program = program.to_string_lossy();
        let tools: [(&str, &[&str]); 8] = [
            ("tabvault", &[&program, "--version"]),
            ("cp", &["cp", "--version"]),
            ("tar", &["tar", "--version"]),
            ("zstd", &["zstd", "--version"]),
            ("restic", &["restic", "version"]),
            ("rclone", &["rclone", "version"]),
            ("borg", &["borg", "--version"]),
            ("radosgw", &["radosgw", "--version"]),
        ];
        Self {
            processors: std::thread::available_parallelism().map_or(0, usize::from),
            model: field("/proc/cpuinfo", "model name"),
            memory: kilobytes * 1024,
            kernel: said(&["uname", "-sr"]).split('-').next().unwrap_or_default().to_owned(),
            filesystem: said(&["findmnt", "-no", "FSTYPE", "--target", &place]),
            time: said(&["date", "-u", "+%Y-%m-%d %H:%M:%S"]),
            versions: tools.iter().map(|(name, command)| ((*name).to_owned(), said(command))).collect(),
        }
    }

    /// In a line, for a chart's foot.
    #[must_use]
    pub fn line(&self) -> String {
        let Self { processors, model, memory, kernel, filesystem, time, .. } = self;
        format!("{processors} × {model}, {} GiB, {kernel}, {filesystem}, {time}", memory >> 30)
    }
}

/// The first line of what a command says; "not there" if it cannot be run.
fn said(command: &[&str]) -> String {
    let output = Command::new(command[0]).args(&command[1..]).output();
    let said = output.map_or_else(|_| b"not there".to_vec(), |output| output.stdout);
    String::from_utf8_lossy(&said).lines().next().unwrap_or("unknown").trim().to_owned()
}
