//! What the coordinator costs at scale: a backup, and if wanted a restore, of many tablets with simulated agents.
//!
//! ```sh
//! cargo build --release -p tabvault
//! TABVAULT_BIN=target/release/tabvault cargo bench -p tabvault-integration-tests --bench scale -- 10000 100000 1000000
//! ```
//! Everything of the coordinator is real: the process `tabvault fe`, its sled database and built-in catalog, SQL over
//! gRPC, a `file://` repository. The agents are simulated in this process: they speak the agents' protocol over a
//! connection each, and answer every task at once without touching a byte. So what is measured is the coordinator.
//!
//! Each scale runs twice on a copy of the same tables: once through, and once with a SIGKILL of the coordinator when a
//! tenth of the uploads is done. Making the tables is not measured. `--json FILE` writes the figures, `--keep DIR`
//! keeps the tables for the next run, `--incremental` makes a second backup of the same, which shares everything with
//! the first, and a third one after every tablet was loaded into, `--restore` restores the first snapshot into a new
//! database as well, `--agents N` changes the number of agents, `--no-kill` leaves the second run out.

#![expect(clippy::print_stdout, reason = "a bench prints")]
#![expect(clippy::disallowed_methods, reason = "figures and settings of the kernel need not outlive the machine")]
#![allow(clippy::panic, reason = "a bench that cannot go on panics")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tabvault_integration_tests::bench::paths::{place, typed};

mod agents;
mod client;
mod figures;
mod front;

use agents::Fleet;
use client::Client;
use figures::{Figures, Percentiles};
use front::Front;

/// Buckets of a partition.
const BUCKETS: u64 = 1000;
/// Partitions of a table: one statement makes a bounded number of tablets.
const PARTITIONS: u64 = 250;
/// Between two SHOW BACKUP.
const PAUSE: Duration = Duration::from_millis(20);
/// Between two looks at a number that the bench waits for.
const LOOK: Duration = Duration::from_millis(2);

struct Options {
    scales: Vec<u64>,
    agents: usize,
    json: Option<PathBuf>,
    keep: Option<PathBuf>,
    incremental: bool,
    restore: bool,
    kill: bool,
}

fn main() {
    let options = options();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let place = place();
    std::fs::create_dir_all(&place).expect("make the bench's directory");
    let mut all = Vec::new();
    println!("{}", Figures::head());
    for scale in &options.scales {
        let dir = tempfile::Builder::new().prefix("scale").tempdir_in(&place).expect("a directory");
        let dir = dir.path().canonicalize().expect("the directory's path");
        for figures in runtime.block_on(measure(&dir, *scale, &options)) {
            println!("{figures}");
            all.push(figures);
        }
    }
    if let Some(path) = &options.json {
        let text = serde_json::to_string_pretty(&all).expect("encode the figures");
        std::fs::write(path, text).expect("write the figures");
    }
}

fn options() -> Options {
    let mut options = Options {
        scales: Vec::new(),
        agents: 100,
        json: None,
        keep: None,
        incremental: false,
        restore: false,
        kill: true,
    };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut value = || args.next().unwrap_or_else(|| panic!("{arg} needs a value"));
        match arg.as_str() {
            "--json" => options.json = Some(typed(value())),
            "--keep" => options.keep = Some(typed(value())),
            "--agents" => options.agents = value().parse().expect("a number of agents"),
            "--incremental" => options.incremental = true,
            "--restore" => options.restore = true,
            "--no-kill" => options.kill = false,
            // Cargo says so of every bench.
            "--bench" => {}
            number => {
                options.scales.push(number.parse().unwrap_or_else(|_| panic!("{number} is no number of tablets")))
            }
        }
    }
    if options.scales.is_empty() {
        options.scales = vec![10_000];
    }
    options
}

async fn measure(dir: &Path, tablets: u64, options: &Options) -> Vec<Figures> {
    let made = options.keep.clone().unwrap_or_else(|| dir.to_owned()).join(format!("tables-{tablets}"));
    let fleet = Fleet::new(options.agents);
    if !made.exists() {
        make_tables(&made, tablets, &fleet).await;
    }
    let mut found = Vec::new();
    let copy = copy(&made, &dir.join("through"));
    found.extend(run(&copy, tablets, options, &fleet, false).await);
    remove(&copy);
    if options.kill {
        let copy = self::copy(&made, &dir.join("killed"));
        found.extend(run(&copy, tablets, options, &fleet, true).await);
        remove(&copy);
    }
    fleet.stop().await;
    found
}

/// The tables that have so many tablets, by number, with their partitions.
fn tables(tablets: u64) -> impl Iterator<Item = (u64, u64)> {
    let partitions = (tablets / BUCKETS).max(1);
    (0..partitions.div_ceil(PARTITIONS))
        .map(move |table| (table + 1, (partitions - table * PARTITIONS).min(PARTITIONS)))
}

/// Makes the tables by SQL, as any user would.
async fn make_tables(dir: &Path, tablets: u64, fleet: &Arc<Fleet>) {
    std::fs::create_dir_all(dir).expect("make a directory");
    let front = Front::start(dir).await;
    let client = Client::new(front.address());
    fleet.attach_to(front.address());
    fleet.all_attached().await;
    client.run("CREATE DATABASE scale").await;
    let partition = |n: u64| format!("PARTITION p{n} VALUES [(\"{n}\"), (\"{}\"))", n + 1);
    let buckets = BUCKETS.min(tablets);
    for (table, partitions) in tables(tablets) {
        let partitions: Vec<String> = (0..partitions).map(partition).collect();
        client
            .run(&format!(
                "CREATE TABLE scale.facts{table} (id BIGINT, amount BIGINT) DUPLICATE KEY (id) PARTITION BY RANGE (id) \
                 ({}) DISTRIBUTED BY HASH (id) BUCKETS {buckets} PROPERTIES (\"replication_num\" = \"1\")",
                partitions.join(", ")
            ))
            .await;
    }
    // What the agents have not made yet cannot be backed up.
    while fleet.counts().made < tablets {
        tokio::time::sleep(LOOK).await;
    }
    let repository =
        format!("CREATE REPOSITORY repo WITH LOCAL ON LOCATION \"file://{}\"", repository_in(dir).display());
    // Each copy of the tables gets a repository of its own; this statement only shows early that it can be made.
    client.run(&format!("{repository}; DROP REPOSITORY repo")).await;
    fleet.detach().await;
    front.shutdown();
    remove(&repository_in(dir));
}

/// One backup, with or without a SIGKILL, and another one and a restore of it if wanted.
async fn run(dir: &Path, tablets: u64, options: &Options, fleet: &Arc<Fleet>, kill: bool) -> Vec<Figures> {
    let mut front = Front::start(dir).await;
    let mut client = Client::new(front.address());
    fleet.attach_to(front.address());
    fleet.all_attached().await;
    let repository =
        format!("CREATE REPOSITORY repo WITH LOCAL ON LOCATION \"file://{}\"", repository_in(dir).display());
    client.run(&repository).await;

    let mut measured = Measured::begin(&front, fleet);
    client.run("BACKUP SNAPSHOT scale.snap TO repo").await;
    let mut figures = Figures::new(if kill { "backup, killed" } else { "backup" }, tablets, options.agents);
    if kill {
        figures.killed_in = Some(uploading(&client, fleet, tablets).await);
        measured.pause(&front);
        front.kill();
        let begun = Instant::now();
        let before = fleet.counts().tasks;
        front = Front::start(dir).await;
        figures.recovery_listens_s = Some(begun.elapsed().as_secs_f64());
        client = Client::new(front.address());
        fleet.attach_to(front.address());
        while fleet.counts().tasks == before {
            tokio::time::sleep(LOOK).await;
        }
        figures.recovery_s = Some(begun.elapsed().as_secs_f64());
        measured.resume();
    }
    let shows = until_ended(&client, "SHOW BACKUP FROM scale").await;
    measured.end(&mut figures, &front, fleet, shows);
    let mut found = vec![figures];
    if options.incremental && !kill {
        found.push(incremental("unchanged", &client, &front, fleet, tablets, options).await);
        load_all(&client, tablets).await;
        found.push(incremental("changed", &client, &front, fleet, tablets, options).await);
    }
    if options.restore && !kill {
        found.push(restore(&client, &front, fleet, tablets, options).await);
    }
    fleet.detach().await;
    front.shutdown();
    found
}

/// Brings every tablet to its next version.
async fn load_all(client: &Client, tablets: u64) {
    for (table, partitions) in tables(tablets) {
        for partition in 0..partitions {
            client
                .run(&format!(
                    "LOAD LABEL scale.facts{table}_p{partition} (DATA INFILE(\"file:///nowhere/**\") INTO TABLE \
                     facts{table} PARTITION (p{partition}))"
                ))
                .await;
        }
    }
}

/// A later backup, called `name`, that shares what is as it was.
async fn incremental(
    name: &'static str,
    client: &Client,
    front: &Front,
    fleet: &Arc<Fleet>,
    tablets: u64,
    options: &Options,
) -> Figures {
    let measured = Measured::begin(front, fleet);
    client.run(&format!("BACKUP SNAPSHOT scale.{name} TO repo PROPERTIES (\"type\" = \"incremental\")")).await;
    let mut figures = Figures::new(name, tablets, options.agents);
    let shows = until_ended(client, "SHOW BACKUP FROM scale").await;
    measured.end(&mut figures, front, fleet, shows);
    figures
}

async fn restore(client: &Client, front: &Front, fleet: &Arc<Fleet>, tablets: u64, options: &Options) -> Figures {
    let snapshots = client.rows("SHOW SNAPSHOT ON repo WHERE SNAPSHOT = \"snap\"").await;
    let timestamp = snapshots[0]["Timestamp"].clone().expect("a timestamp");
    client.run("CREATE DATABASE IF NOT EXISTS copy").await;
    let measured = Measured::begin(front, fleet);
    client
        .run(&format!(
            "RESTORE SNAPSHOT copy.snap FROM repo PROPERTIES (\"backup_timestamp\" = \"{timestamp}\", \
             \"replication_num\" = \"1\")"
        ))
        .await;
    let mut figures = Figures::new("restore", tablets, options.agents);
    let shows = until_ended(client, "SHOW RESTORE FROM copy").await;
    measured.end(&mut figures, front, fleet, shows);
    figures
}

/// Waits until a tenth of the uploads is done; the job's state then.
async fn uploading(client: &Client, fleet: &Fleet, tablets: u64) -> String {
    let before = fleet.counts().uploaded;
    while fleet.counts().uploaded - before < tablets / 10 {
        tokio::time::sleep(LOOK).await;
    }
    client.rows("SHOW BACKUP FROM scale").await[0]["State"].clone().expect("a state")
}

/// Asks again and again until the job has ended; how long each answer took.
async fn until_ended(client: &Client, show: &str) -> Percentiles {
    let mut spans = Vec::new();
    loop {
        let begun = Instant::now();
        let rows = client.rows(show).await;
        spans.push(begun.elapsed());
        let row = rows.last().expect("the job is shown");
        match row["State"].as_deref() {
            Some("FINISHED") => return Percentiles::of(spans),
            Some("CANCELLED") => panic!("the job was cancelled: {row:?}"),
            _ => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// What counters said when a measurement began; a process that is killed hands over what it had used.
struct Measured {
    begun: Instant,
    front: front::Usage,
    counts: agents::Counts,
    used: front::Usage,
}

impl Measured {
    fn begin(front: &Front, fleet: &Fleet) -> Self {
        front.reset_peak();
        Self { begun: Instant::now(), front: front.usage(), counts: fleet.counts(), used: front::Usage::default() }
    }

    fn pause(&mut self, front: &Front) {
        self.used = self.used.plus(&front.usage().minus(&self.front));
    }

    /// A new process begins at zero.
    fn resume(&mut self) {
        self.front = front::Usage::default();
    }

    fn end(self, figures: &mut Figures, front: &Front, fleet: &Fleet, shows: Percentiles) {
        figures.wall_s = self.begun.elapsed().as_secs_f64();
        let used = self.used.plus(&front.usage().minus(&self.front));
        figures.set_usage(&used);
        figures.set_counts(&fleet.counts().minus(&self.counts));
        figures.show = shows;
        figures.metadata_bytes = front.metadata_bytes();
    }
}

fn repository_in(dir: &Path) -> PathBuf {
    dir.join("repo")
}

fn copy(from: &Path, to: &Path) -> PathBuf {
    let status = Command::new("cp").arg("-r").arg(from).arg(to).status().expect("run cp");
    assert!(status.success(), "copy {}: {status}", from.display());
    to.to_owned()
}

fn remove(dir: &Path) {
    // What is left goes with the bench's directory.
    let _ = std::fs::remove_dir_all(dir);
}
