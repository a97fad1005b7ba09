//! MB/s of a backup and a restore against `cp -r` and `tar | zstd -1`, in one run on one disk.
//!
//! ```sh
//! cargo bench -p tabvault-integration-tests --bench transfer              # 1 GiB in 16 files, 50,000 small files
//! cargo bench -p tabvault-integration-tests --bench transfer -- 0.1 3     # a tenth of that, three rounds
//! ```
//! Everything is made durable inside what is measured: `cp` and `tar` are followed by `sync -f`. One agent, one replica,
//! a `file://` repository. Absolute figures drift with the machine; the ratios to the peers are what counts.

#![expect(clippy::print_stdout, reason = "a bench prints")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use tabvault_integration_tests::cluster::Cluster;
use tabvault_integration_tests::tree::{noise, write};

fn main() {
    let numbers: Vec<f64> = std::env::args().skip(1).filter_map(|arg| arg.parse().ok()).collect();
    let scale = numbers.first().copied().unwrap_or(1.0);
    let rounds = numbers.get(1).map_or(1, |rounds| rounds.round().max(1.0) as usize);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let place = std::env::var_os("TABVAULT_BENCH_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
    std::fs::create_dir_all(&place).expect("make the bench's directory");
    println!("{:<28} {:>9} {:>9} {:>9} {:>12} {:>12}", "MB/s", "min", "median", "max", "/ cp -r", "/ tar|zstd");
    for (name, make) in [("large", large as fn(&Path, f64) -> u64), ("small", small)] {
        let dir = tempfile::Builder::new().prefix("bench").tempdir_in(&place).expect("a directory");
        let dir = dir.path().canonicalize().expect("the directory's path");
        let source = dir.join("source");
        let bytes = make(&source, scale);
        let mut results: Vec<(&str, Vec<f64>)> =
            ["cp -r", "tar | zstd -1 -T2", "tabvault backup", "tabvault restore"].map(|what| (what, Vec::new())).into();
        for round in 0..rounds {
            let spent = runtime.block_on(round_trip(&dir.join(format!("round{round}")), &source));
            for (result, spent) in results.iter_mut().zip(spent) {
                result.1.push(bytes as f64 / 1e6 / spent.as_secs_f64());
            }
        }
        for result in &mut results {
            result.1.sort_by(f64::total_cmp);
        }
        let median = |n: usize| results[n].1[results[n].1.len() / 2];
        for (n, (what, speeds)) in results.iter().enumerate() {
            let (min, max) = (speeds[0], speeds[speeds.len() - 1]);
            let (cp, tar) = (median(n) / median(0), median(n) / median(1));
            println!(
                "{:<28} {min:>9.1} {:>9.1} {max:>9.1} {cp:>12.2} {tar:>12.2}",
                format!("{name}: {what}"),
                median(n)
            );
        }
    }
}

/// 1 GiB in 16 files; every other 64 KiB compresses.
fn large(source: &Path, scale: f64) -> u64 {
    std::fs::create_dir_all(source).expect("make a directory");
    let length = ((64 << 20) as f64 * scale) as usize;
    for n in 0..16 {
        write(&source.join(format!("file{n}")), &mixed(n, length));
    }
    16 * length as u64
}

/// 50,000 files of 1 to 16 KiB in 500 directories.
fn small(source: &Path, scale: f64) -> u64 {
    let mut bytes = 0;
    for n in 0..(50_000.0 * scale) as u64 {
        let directory = source.join(format!("d{}", n % 500));
        std::fs::create_dir_all(&directory).expect("make a directory");
        let length = 1024 + (n * 7919 % 15_360) as usize;
        let content =
            if n % 2 == 0 { noise(n, length) } else { b"a line of text, like any other\n".repeat(length / 31) };
        bytes += content.len() as u64;
        write(&directory.join(format!("f{n}")), &content);
    }
    bytes
}

fn mixed(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = noise(seed, length);
    for piece in bytes.chunks_mut(64 << 10).skip(1).step_by(2) {
        for (n, byte) in piece.iter_mut().enumerate() {
            *byte = b"columnar "[n % 9] ^ (n >> 12) as u8;
        }
    }
    bytes
}

async fn round_trip(dir: &Path, source: &Path) -> [Duration; 4] {
    std::fs::create_dir_all(dir).expect("make a directory");
    let cp = shell(&format!("cp -r '{}' '{}/copy' && sync -f '{0}'", source.display(), dir.display()));
    let tar = format!(
        "tar -C '{}' -cf - . | zstd -q -1 -T2 -o '{d}/tar.zst' && sync -f '{d}'",
        source.display(),
        d = dir.display()
    );
    let tar = shell(&tar);
    shell(&format!("rm -rf '{d}/copy' '{d}/tar.zst' && sync -f '{d}'", d = dir.display()));

    let cluster = Cluster::start(&dir.join("cluster"), 1).await;
    cluster.repository("repo").await;
    cluster.load("bench.files", source, 1).await.expect("load");
    shell(&format!("sync -f '{}'", dir.display()));

    let start = Instant::now();
    let job = cluster.backup("bench", "snap", "repo").await.expect("back up");
    let backup = start.elapsed();
    assert_eq!(job.state, "FINISHED", "{:?}", job.status);

    cluster.fe().local().expect("built in").drop_table("bench", "files").await.expect("drop");
    let request = cluster.restore_request("bench", "snap", "repo", 1).await;
    shell(&format!("sync -f '{}'", dir.display()));
    let start = Instant::now();
    let job = cluster.restore(request).await.expect("restore");
    let restore = start.elapsed();
    assert_eq!(job.state, "FINISHED", "{:?}", job.status);

    drop(cluster);
    shell(&format!("rm -rf '{}'", dir.display()));
    [cp, tar, backup, restore]
}

fn shell(command: &str) -> Duration {
    let start = Instant::now();
    let status = Command::new("sh").args(["-c", command]).status().expect("run a command");
    assert!(status.success(), "{command}: {status}");
    start.elapsed()
}
