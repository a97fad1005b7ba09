//! What an incremental backup costs against the full one before it: of unchanged data, and of data of which a hundredth
//! is new.
//!
//! ```sh
//! cargo bench -p tabvault-integration-tests --bench incremental              # 1 GiB in 16 files, 50,000 small files
//! cargo bench -p tabvault-integration-tests --bench incremental -- 0.1       # a tenth of that
//! ```
//! One agent, one replica, a `file://` repository; times run until the job has ended, CPU is that of coordinator and
//! agent together. The bars: unchanged, at most 5 % of the time and 0.1 % of the bytes.

#![expect(clippy::print_stdout, reason = "a bench prints")]

use std::path::Path;
use std::time::Instant;

use tabvault_integration_tests::bench::paths::place;
use tabvault_integration_tests::cluster::{Cluster, backup_request};
use tabvault_integration_tests::tree::{noise, write};

/// What a backup has cost.
#[derive(Debug, Clone, Copy)]
struct Cost {
    seconds: f64,
    cpu: f64,
    bytes: u64,
    objects: usize,
}

fn main() {
    let scale = std::env::args().skip(1).find_map(|arg| arg.parse().ok()).unwrap_or(1.0);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let place = place();
    std::fs::create_dir_all(&place).expect("make the bench's directory");
    println!(
        "{:<24} {:>9} {:>8} {:>9} {:>8} {:>13} {:>9} {:>8}",
        "", "seconds", "%", "CPU s", "%", "bytes", "%", "objects"
    );
    for (name, make) in [("large", large as fn(&Path, f64)), ("small", small)] {
        let dir = tempfile::Builder::new().prefix("bench").tempdir_in(&place).expect("a directory");
        let dir = dir.path().canonicalize().expect("the directory's path");
        let costs = runtime.block_on(backups(&dir, make, scale));
        let first = costs[0].1;
        for (what, cost) in costs {
            let percent = |part: f64, whole: f64| 100.0 * part / whole;
            println!(
                "{:<24} {:>9.3} {:>8.2} {:>9.2} {:>8.2} {:>13} {:>9.4} {:>8}",
                format!("{name}: {what}"),
                cost.seconds,
                percent(cost.seconds, first.seconds),
                cost.cpu,
                percent(cost.cpu, first.cpu),
                cost.bytes,
                percent(cost.bytes as f64, first.bytes as f64),
                cost.objects,
            );
        }
    }
}

async fn backups(dir: &Path, make: fn(&Path, f64), scale: f64) -> Vec<(&'static str, Cost)> {
    let (source, change) = (dir.join("source"), dir.join("change"));
    make(&source, scale);
    make(&change, scale / 100.0);
    let cluster = Cluster::start(&dir.join("cluster"), 1).await;
    cluster.repository("repo").await;
    cluster.load("bench.files", &source, 1).await.expect("load");
    let first = backup(&cluster, "first", "full").await;
    let unchanged = backup(&cluster, "unchanged", "incremental").await;
    cluster.load("bench.files", &change, 1).await.expect("load");
    let changed = backup(&cluster, "changed", "incremental").await;
    vec![("full", first), ("unchanged", unchanged), ("a hundredth is new", changed)]
}

async fn backup(cluster: &Cluster, label: &str, kind: &str) -> Cost {
    let mut request = backup_request("bench", label, "repo");
    request.properties.insert("type".to_owned(), kind.to_owned());
    let before = stored(cluster);
    let (start, cpu) = (Instant::now(), cpu_seconds());
    let id = cluster.fe().backup(request).await.expect("back up").id;
    let job = cluster.wait(id).await;
    let (seconds, cpu) = (start.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    assert_eq!(job.state, "FINISHED", "{:?}", job.status);
    let after = stored(cluster);
    Cost { seconds, cpu, bytes: after.0 - before.0, objects: after.1 - before.1 }
}

/// Bytes and number of all objects of the repository.
fn stored(cluster: &Cluster) -> (u64, usize) {
    let mut stored = (0, 0);
    let mut directories = vec![cluster.dir.join("repo")];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).expect("list a directory") {
            let entry = entry.expect("an entry");
            let meta = entry.metadata().expect("look at an entry");
            if meta.is_dir() {
                directories.push(entry.path());
            } else {
                stored = (stored.0 + meta.len(), stored.1 + 1);
            }
        }
    }
    stored
}

/// What this process has used so far, of a clock that ticks a hundred times a second.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("read /proc/self/stat");
    let fields = stat.rsplit(')').next().expect("fields follow the name");
    let ticks: f64 = fields.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<f64>().unwrap_or(0.0)).sum();
    ticks / 100.0
}

/// 1 GiB in 16 files that do not compress.
fn large(source: &Path, scale: f64) {
    std::fs::create_dir_all(source).expect("make a directory");
    let length = ((64 << 20) as f64 * scale) as usize;
    let files = if scale < 0.02 { 1 } else { 16 };
    for n in 0..files {
        let seed = n + length as u64;
        write(&source.join(format!("file{length}-{n}")), &noise(seed, length * 16 / files as usize));
    }
}

/// 50,000 files of 1 to 16 KiB in 500 directories.
fn small(source: &Path, scale: f64) {
    let files = (50_000.0 * scale) as u64;
    for n in 0..files {
        let directory = source.join(format!("d{}", n % 500));
        std::fs::create_dir_all(&directory).expect("make a directory");
        let length = 1024 + (n * 7919 % 15_360) as usize;
        write(&directory.join(format!("f{n}")), &noise(n + files, length));
    }
}
