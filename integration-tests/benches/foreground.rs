//! What a backup does to a database beside it: random reads and synced appends on the same disk, alone and beside backups.
//!
//! ```sh
//! cargo bench -p tabvault-integration-tests --bench foreground               # 1 GiB of tablets, 3 rounds of 20 s each
//! cargo bench -p tabvault-integration-tests --bench foreground -- 0.05 1 3   # a twentieth of that, one round, 3 s
//! ```
//! The foreground is a process of its own: two threads that read 16 KiB at random places of a file, past the page cache,
//! and one that appends 4 KiB and syncs it, each as fast as it can. Beside it a cluster of one agent, in another process,
//! makes backups of a table to a `file://` repository on the same disk, one after the other:
//! - `default`: as `tabvault be` runs it, at nice 10 on half of the cores;
//! - `all cores`: at nice 10;
//! - `idle`: on all cores under the scheduling policy `idle`, by util-linux' `chrt`;
//! - `not nice`: as an agent that is embedded, on all cores at the priority of the foreground;
//! - `throttled`: on all cores at nice 10, with 20 MB/s.
//!
//! Absolute figures are the machine's; the ratios to `alone`, of the same round, are what counts.

#![expect(clippy::print_stdout, reason = "a bench prints")]
#![expect(clippy::disallowed_methods, reason = "the foreground is no part of the program")]

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rustix::fs::OFlags;
use tabvault_integration_tests::bench::paths::place;
use tabvault_integration_tests::cluster::Cluster;
use tabvault_integration_tests::sql::Client;
use tabvault_integration_tests::tree::{noise, write};

const READ: usize = 16 << 10;
/// Where direct reads may begin, in memory and in the file.
const ALIGNED: usize = 4 << 10;
const APPEND: usize = 4 << 10;
const READERS: u64 = 2;
const MODES: [&str; 6] = ["alone", "default", "all cores", "idle", "not nice", "throttled"];

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--foreground", dir, seconds] => foreground(Path::new(dir), number(seconds, 1.0)),
        ["--backups", dir, mode, scale] => {
            let runtime = tokio::runtime::Runtime::new;
            if mode != "not nice" {
                // Before there are threads: they inherit it.
                rustix::process::setpriority_process(None, 10).expect("set the nice value");
            }
            runtime().expect("a runtime").block_on(backups(Path::new(dir), mode, number(scale, 1.0)));
        }
        _ => measure(&args),
    }
}

fn number(text: &str, otherwise: f64) -> f64 {
    text.parse().unwrap_or(otherwise)
}

/// Runs every mode in every round and prints what it came to.
fn measure(args: &[String]) {
    let numbers: Vec<f64> = args.iter().filter_map(|arg| arg.parse().ok()).collect();
    let scale = numbers.first().copied().unwrap_or(1.0);
    let rounds = numbers.get(1).map_or(3, |rounds| rounds.round().max(1.0) as usize);
    let seconds = numbers.get(2).copied().unwrap_or(20.0);
    let place = place();
    std::fs::create_dir_all(&place).expect("make the bench's directory");
    let dir = tempfile::Builder::new().prefix("foreground").tempdir_in(&place).expect("a directory");
    let dir = dir.path().canonicalize().expect("the directory's path");
    make_file(&dir.join("pages"), ((1 << 30) as f64 * scale) as u64);

    println!(
        "{:<10} {:>9} {:>7} {:>10} {:>7} {:>9} {:>7} {:>10} {:>7} {:>11}",
        "", "reads/s", "ratio", "p99 µs", "ratio", "appends/s", "ratio", "p99 µs", "ratio", "backup MB/s"
    );
    for round in 0..rounds {
        let mut alone = None;
        for mode in MODES {
            let mut beside = (mode != "alone").then(|| Beside::start(&dir, mode, scale));
            let told = run(&["--foreground", &dir.display().to_string(), &seconds.to_string()]);
            let speed = beside.as_mut().map_or(0.0, Beside::stop);
            let now: Vec<f64> = told.split_whitespace().map(|number| number.parse().expect("a number")).collect();
            let base = alone.get_or_insert_with(|| now.clone());
            let mut line = format!("{mode:<10}");
            for (n, (value, base)) in now.iter().zip(base.iter()).enumerate() {
                let width = if n % 2 == 0 { 9 } else { 10 };
                line.push_str(&format!(" {value:>width$.0} {:>7.2}", value / base.max(1e-9)));
            }
            println!("{line} {speed:>11.1}");
        }
        if round + 1 < rounds {
            println!();
        }
    }
}

/// What this program says when it is run with other arguments.
fn run(args: &[&str]) -> String {
    let output = this_program().args(args).stderr(Stdio::inherit()).output().expect("run the foreground");
    assert!(output.status.success(), "{args:?}: {}", output.status);
    String::from_utf8(output.stdout).expect("text")
}

fn this_program() -> Command {
    Command::new(std::env::current_exe().expect("this program"))
}

fn make_file(path: &Path, bytes: u64) {
    let mut file = File::create(path).expect("make the file");
    for n in 0..bytes.div_ceil(1 << 20) {
        file.write_all(&noise(n, 1 << 20)).expect("fill the file");
    }
    file.sync_all().expect("sync the file");
}

/// Backups that run in another process.
struct Beside {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl Beside {
    /// Returns when the first backup is about to begin.
    fn start(dir: &Path, mode: &str, scale: f64) -> Self {
        let mut command = this_program();
        if mode == "idle" {
            // There is no safe call for it; whoever runs under it starts its threads under it, too.
            let program = command;
            command = Command::new("chrt");
            command.args(["--idle", "0"]).arg(program.get_program());
        }
        let args = ["--backups", &dir.display().to_string(), mode, &scale.to_string()];
        command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("run the backups");
        let stdin = child.stdin.take();
        let mut stdout = BufReader::new(child.stdout.take().expect("its output"));
        let mut line = String::new();
        stdout.read_line(&mut line).expect("read its output");
        assert_eq!(line, "ready\n", "the backups did not begin");
        Self { child, stdin, stdout }
    }

    /// Stops them; MB/s of plain bytes that they moved.
    fn stop(&mut self) -> f64 {
        drop(self.stdin.take());
        let mut told = String::new();
        self.stdout.read_to_string(&mut told).expect("read its output");
        let status = self.child.wait().expect("wait for the backups");
        assert!(status.success(), "the backups: {status}");
        told.trim().parse().expect("a speed")
    }
}

/// Backups one after the other until stdin ends.
async fn backups(dir: &Path, mode: &str, scale: f64) {
    let (home, source) = (dir.join("cluster"), dir.join("source"));
    let first = !home.exists();
    let cluster = Cluster::start(&home, 1).await;
    if first {
        std::fs::create_dir_all(&source).expect("make a directory");
        for n in 0..16 {
            write(&source.join(format!("file{n}")), &half_text(n, ((64 << 20) as f64 * scale) as usize));
        }
        cluster.load("bench.files", &source, 1).await.expect("load");
        std::fs::remove_dir_all(&source).expect("remove the source");
    }
    let half = std::thread::available_parallelism().map_or(1, |cores| cores.get().div_ceil(2)).to_string();
    let bytes = if mode == "throttled" { "20000000" } else { "default" };
    let cores = if mode == "default" { &half } else { "default" };
    // Both, since the coordinator remembers them from mode to mode.
    let set = format!("ADMIN SET CONFIG ('bytes_per_second' = '{bytes}', 'cpu_cores' = '{cores}')");
    Client::new(cluster.fe(), "root").run(&set).await;

    let (over, ended) = mpsc::channel();
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        let _ = over.send(());
    });
    println!("ready");
    let (begin, mut bytes) = (Instant::now(), 0);
    for n in 0_u64.. {
        // A repository of its own each, so that none keeps what the disk needs.
        let (name, place) = (format!("{}_{n}", mode.replace(' ', "_")), dir.join("repository"));
        let location = format!("file://{}", place.display());
        cluster.repository_at(&name, &location, std::collections::BTreeMap::new(), None).await.expect("a repository");
        let request = tabvault_integration_tests::cluster::backup_request("bench", &format!("{name}_l"), &name);
        let id = cluster.fe().backup(request).await.expect("begin a backup").id;
        let view = loop {
            let view = cluster.fe().job(id).expect("the job is known");
            if view.ended || ended.try_recv().is_ok() {
                break view;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        bytes += view.bytes_done;
        if !view.ended {
            println!("{:.1}", bytes as f64 / 1e6 / begin.elapsed().as_secs_f64());
            let cancel = tabvault_common::request::CancelRequest {
                kind: tabvault_common::view::JobKind::Backup,
                database: "bench".to_owned(),
                label: None,
            };
            // An error means that it has just ended.
            let _ = cluster.fe().cancel(&cancel, "the bench").await;
        }
        cluster.wait_archived(id).await;
        cluster.fe().drop_repository(&name).await.expect("forget the repository");
        std::fs::remove_dir_all(&place).expect("remove the repository");
        if !view.ended {
            return;
        }
    }
}

/// Every other 64 KiB compresses.
fn half_text(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = noise(seed, length);
    for piece in bytes.chunks_mut(64 << 10).skip(1).step_by(2) {
        for (n, byte) in piece.iter_mut().enumerate() {
            *byte = b"columnar "[n % 9] ^ (n >> 12) as u8;
        }
    }
    bytes
}

/// Reads and appends for some seconds, and prints reads per second, their 99th percentile in microseconds, and the same
/// of appends.
fn foreground(dir: &Path, seconds: f64) {
    let over = AtomicBool::new(false);
    let pages = dir.join("pages");
    let length = std::fs::metadata(&pages).expect("look at the file").len();
    let (reads, appends) = std::thread::scope(|scope| {
        let readers: Vec<_> = (1..=READERS)
            .map(|seed| {
                scope.spawn({
                    let (pages, over) = (&pages, &over);
                    move || read(pages, length, seed, over)
                })
            })
            .collect();
        let appender = scope.spawn(|| append(&dir.join("log"), &over));
        std::thread::sleep(Duration::from_secs_f64(seconds));
        over.store(true, Ordering::Relaxed);
        let reads: Vec<Duration> = readers.into_iter().flat_map(|reader| reader.join().expect("a reader")).collect();
        (reads, appender.join().expect("the appender"))
    });
    let told = [told(reads, seconds), told(appends, seconds)].concat();
    println!("{}", told.iter().map(|number| format!("{number:.1}")).collect::<Vec<_>>().join(" "));
}

fn told(mut took: Vec<Duration>, seconds: f64) -> Vec<f64> {
    took.sort_unstable();
    let p99 = took.get(took.len() * 99 / 100).copied().unwrap_or_default();
    vec![took.len() as f64 / seconds, p99.as_secs_f64() * 1e6]
}

fn read(path: &Path, length: u64, seed: u64, over: &AtomicBool) -> Vec<Duration> {
    // What is in the page cache would not ask the disk.
    let direct = i32::try_from(OFlags::DIRECT.bits()).expect("a flag");
    let file =
        OpenOptions::new().read(true).custom_flags(direct).open(path).expect("open the file past the page cache");
    let mut buffer = vec![0; READ + ALIGNED];
    let start = buffer.as_ptr().align_offset(ALIGNED);
    let page = &mut buffer[start..start + READ];
    let (mut dice, mut took) = (seed, Vec::new());
    while !over.load(Ordering::Relaxed) {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let at = (dice >> 20) % (length / READ as u64) * READ as u64;
        let begin = Instant::now();
        file.read_exact_at(page, at).expect("read a page");
        took.push(begin.elapsed());
    }
    took
}

fn append(path: &Path, over: &AtomicBool) -> Vec<Duration> {
    let mut file = OpenOptions::new().create(true).append(true).open(path).expect("open the log");
    let record = noise(7, APPEND);
    let mut took = Vec::new();
    while !over.load(Ordering::Relaxed) {
        let begin = Instant::now();
        file.write_all(&record).expect("append");
        file.sync_data().expect("sync the log");
        took.push(begin.elapsed());
    }
    took
}
