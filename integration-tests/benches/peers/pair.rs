//! Running pairs: tabvault and a peer, in turn.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tabvault_common::clock::SystemClock;
use tabvault_common::durable::free_space;
use tabvault_integration_tests::bench::data::DataSet;
use tabvault_integration_tests::bench::measure::{Taken, shell, sync};
use tabvault_integration_tests::bench::ours::{BACKED_UP, Ours, RESTORED};
use tabvault_integration_tests::bench::proxy::{Proxy, Traffic};
use tabvault_integration_tests::bench::resources::{bytes_below, read_below};
use tabvault_integration_tests::bench::rgw::{ACCESS_KEY, Rgw, SECRET_KEY};
use tokio::runtime::Runtime;

use crate::Asked;
use crate::case::Case;
use crate::peer::{Operation, Peer, Place};

/// The name of tabvault among the contenders.
pub(crate) const OURS: &str = "tabvault";
/// Bytes after which the gateway is started anew, so that its memory is never full.
const FRESH_AFTER: u64 = 512 << 20;
/// Room that a pair of a million small files needs: what lies about is removed before there is less.
const ROOM: u64 = 20 << 30;
/// For a minute, and six as long as their neighbours change, ext4 passes over every inode that was freed, one by one,
/// whenever a file is made nearby: if many were, whoever makes the next files would be slowed down several times.
const FORGOTTEN: Duration = Duration::from_secs(370);
/// As many as matter.
const MANY_FILES: u64 = 10_000;

/// One measurement.
#[derive(Debug, Serialize)]
pub(crate) struct Run {
    /// Name of the data set.
    pub(crate) data: String,
    pub(crate) operation: &'static str,
    /// Whose pair it is in.
    pub(crate) peer: &'static str,
    pub(crate) pair: usize,
    /// Who did it: tabvault, or the peer.
    pub(crate) contender: &'static str,
    /// Bytes and files of the data set.
    pub(crate) bytes: u64,
    files: u64,
    #[serde(flatten)]
    pub(crate) taken: Taken,
    /// Bytes by which the repository grew; with S3, bytes sent.
    pub(crate) stored: u64,
    /// With S3.
    pub(crate) traffic: Option<Traffic>,
}

/// Directories and servers for all cases.
#[derive(Debug)]
pub(crate) struct Bench {
    /// Where everything happens.
    pub(crate) place: PathBuf,
    runtime: Runtime,
    /// A gateway, and the bytes that it was sent.
    rgw: Option<(Rgw, u64)>,
    /// Pairs so far.
    pairs: usize,
    /// What the disk had free before the first of the pairs that lie about, and their files.
    free: u64,
    files: u64,
}

/// The proxy to an S3 server, of one pair.
#[derive(Debug)]
struct Way {
    proxy: Proxy,
    endpoint: String,
}

/// tabvault and a peer, each with the same files and a repository of its own.
#[derive(Debug)]
struct Pair {
    dir: PathBuf,
    ours: Ours,
    /// Where ours writes, if that is local.
    repository: PathBuf,
    peer: Peer,
    place: Place,
    way: Option<Way>,
    /// Of our first backup.
    timestamp: Option<String>,
}

impl Bench {
    pub(crate) fn new(place: &Path) -> Self {
        std::fs::create_dir_all(place).expect("make the bench's directory");
        let place = place.canonicalize().expect("the directory's path");
        let mut bench =
            Self { place, runtime: Runtime::new().expect("a runtime"), rgw: None, pairs: 0, free: 0, files: u64::MAX };
        bench.clear();
        bench
    }

    /// Removes what pairs have left, and lets the filesystem forget it.
    fn clear(&mut self) {
        let runs = self.place.join("run");
        if runs.exists() {
            std::fs::remove_dir_all(&runs).expect("remove what earlier pairs have left");
            sync(&self.place);
            if self.files > MANY_FILES {
                std::thread::sleep(FORGOTTEN);
            }
        }
        (self.free, self.files) = (self.free_space(), 0);
    }

    fn free_space(&self) -> u64 {
        free_space(&self.place).expect("the disk's free space").available
    }

    /// All pairs of a case.
    pub(crate) fn pairs(&mut self, case: &Case, asked: &Asked) -> Vec<Run> {
        let mut runs = Vec::new();
        for number in 0..asked.pairs {
            for peer in case.peers().iter().copied().filter(|peer| asked.wants_peer(*peer)) {
                self.pair(case, asked, peer, number, &mut runs);
            }
        }
        runs
    }

    /// One pair.
    pub(crate) fn pair(&mut self, case: &Case, asked: &Asked, peer: Peer, number: usize, runs: &mut Vec<Run>) {
        let set = DataSet::make(&self.place.join("data"), case.kind, asked.scale);
        // Two thirds of what was free may be used up by what lies about.
        if self.free_space() < ROOM.max(self.free / 3) {
            self.clear();
        }
        let dir = self.place.join("run").join(self.pairs.to_string());
        self.pairs += 1;
        self.files += set.files;
        std::fs::create_dir_all(&dir).expect("make a directory");
        let way = case.storage.delay().map(|delay| {
            let upstream = self.fresh_rgw();
            let proxy = self.runtime.block_on(Proxy::start(upstream, delay, Arc::new(SystemClock)));
            let endpoint = format!("http://{}", proxy.address());
            Way { proxy, endpoint }
        });
        let name = format!("{}-{number}-{}", case.name(), peer.name().replace(' ', ""));
        let mut pair = Pair::prepare(&dir, &set, peer, way, &name);
        let wanted = |operation: &Operation| peer.can(*operation) && asked.wants_operation(*operation);
        for (turn, operation) in Operation::ALL.into_iter().filter(wanted).enumerate() {
            pair.lead_up(operation, &set);
            let mut turns = [OURS, peer.name()];
            turns.rotate_left((number + turn) % 2);
            let mut seconds = [0.0; 2];
            for contender in turns {
                let (taken, stored, traffic) = pair.turn(contender, operation, &asked.second);
                seconds[usize::from(contender != OURS)] = taken.seconds;
                runs.push(Run {
                    data: case.kind.name(),
                    operation: operation.name(),
                    peer: peer.name(),
                    pair: number,
                    contender,
                    bytes: set.bytes,
                    files: set.files,
                    taken,
                    stored,
                    traffic,
                });
            }
            if operation == Operation::Restore {
                assert_eq!(
                    pair.ours.table(RESTORED),
                    pair.ours.table(BACKED_UP),
                    "what came back is not what was there"
                );
            }
            let ([mine, theirs], what, who) = (seconds, operation.name(), peer.name());
            println!("{} {number} {what}: {OURS} {mine:.2} s, {who} {theirs:.2} s", case.name());
        }
        if let (Some((_, sent)), Some(way)) = (&mut self.rgw, &pair.way) {
            *sent += way.proxy.traffic().sent;
        }
    }

    /// Removes what the last pairs have left.
    pub(crate) fn end(mut self) {
        self.files = 0;
        self.clear();
    }

    /// Ends the gateway, for what needs none.
    pub(crate) fn end_s3(&mut self) {
        self.rgw = None;
    }

    /// A gateway with room, and a bucket in it.
    fn fresh_rgw(&mut self) -> SocketAddr {
        if self.rgw.as_ref().is_none_or(|(_, sent)| *sent > FRESH_AFTER) {
            // The old one first: it holds memory.
            self.rgw = None;
            let rgw = Rgw::start(&self.place.join("rgw"));
            let s3 = Some((format!("http://{}", rgw.address()), String::new()));
            let place = Place { dir: self.place.join("run"), source: PathBuf::new(), s3 };
            Peer::Rclone.prepare(&place);
            self.rgw = Some((rgw, 0));
        }
        self.rgw.as_ref().expect("it was just started").0.address()
    }
}

impl Pair {
    /// Both have the same files, and an empty repository.
    fn prepare(dir: &Path, set: &DataSet, peer: Peer, way: Option<Way>, name: &str) -> Self {
        let s3 = way.as_ref().map(|way| (way.endpoint.clone(), format!("{name}-theirs")));
        let mut place = Place { dir: dir.join("peer"), source: set.tree.clone(), s3 };
        std::fs::create_dir_all(&place.dir).expect("make a directory");
        if peer.can(Operation::Changed) {
            // What is changed is a copy, of the only part, so that what changes has the same paths.
            place.source = place.dir.join("source");
            copy(set.root(), &place.source);
        }
        peer.prepare(&place);
        let repository = dir.join("repository");
        let (location, properties) = match &way {
            None => (format!("file://{}", repository.display()), Vec::new()),
            Some(way) => (format!("s3://bench/{name}-ours"), properties(&way.endpoint)),
        };
        let ours = Ours::start(&dir.join("ours"), &location, &properties);
        set.parts.iter().for_each(|part| ours.load(part));
        Self { dir: dir.to_owned(), ours, repository, peer, place, way, timestamp: None }
    }

    /// Makes ready for the operation.
    fn lead_up(&self, operation: Operation, set: &DataSet) {
        if operation == Operation::Changed {
            copy(&set.changed.join("."), &self.place.source);
            self.ours.load(&set.changed);
        }
    }

    /// What it took, the bytes that were stored, and with S3 the traffic.
    fn turn(&mut self, contender: &str, operation: Operation, second: &str) -> (Taken, u64, Option<Traffic>) {
        self.ours.settle();
        sync(&self.dir);
        let local = if contender == OURS { self.repository.clone() } else { self.place.repository() };
        if operation == Operation::Restore {
            // Some leave what they have written in the page cache and some do not.
            read_below(&local);
        }
        let (stored, traffic) = (bytes_below(&local), self.traffic());
        let taken = match operation {
            _ if contender != OURS => self.peer.run(operation, &self.place),
            Operation::Backup => {
                // tar's zstd runs at level 1.
                let compression = if self.peer == Peer::Tar { "compression=fastest" } else { "compression=balanced" };
                let (taken, timestamp) = self.ours.backup("first", &["type=full", compression]);
                self.timestamp = Some(timestamp);
                taken
            }
            Operation::Unchanged | Operation::Changed => {
                self.ours.backup(operation.name(), &[&format!("type={second}")]).0
            }
            Operation::Restore => self.ours.restore("first", self.timestamp.as_deref().expect("a first backup")),
        };
        let traffic = self.traffic().zip(traffic).map(|(now, then)| now.since(&then));
        // A repository that has become smaller has stored nothing.
        let grown = || bytes_below(&local).saturating_sub(stored);
        let stored = traffic.as_ref().map_or_else(grown, |traffic| traffic.sent);
        (taken, stored, traffic)
    }

    fn traffic(&self) -> Option<Traffic> {
        self.way.as_ref().map(|way| way.proxy.traffic())
    }
}

/// Of our repository on S3.
fn properties(endpoint: &str) -> Vec<String> {
    vec![
        format!("s3.endpoint={endpoint}"),
        "s3.region=us-east-1".to_owned(),
        format!("s3.access_key={ACCESS_KEY}"),
        format!("s3.secret_key={SECRET_KEY}"),
        "use_path_style=true".to_owned(),
    ]
}

fn copy(from: &Path, to: &Path) {
    let _ = shell(Command::new("cp").arg("-r").arg(from).arg(to), from);
}
