//! Running pairs: tabvault and a peer, in turn.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use serde::Serialize;
use tabvault_common::clock::SystemClock;
use tabvault_integration_tests::bench::data::DataSet;
use tabvault_integration_tests::bench::measure::{Taken, shell, sync};
use tabvault_integration_tests::bench::ours::Ours;
use tabvault_integration_tests::bench::proxy::{Proxy, Traffic};
use tabvault_integration_tests::bench::resources::bytes_below;
use tabvault_integration_tests::bench::rgw::{ACCESS_KEY, Rgw, SECRET_KEY};
use tokio::runtime::Runtime;

use crate::Asked;
use crate::case::Case;
use crate::peer::{Operation, Peer, Place};

/// The name of tabvault among the contenders.
pub(crate) const OURS: &str = "tabvault";
/// Bytes after which the gateway is started anew, so that its memory is never full.
const FRESH_AFTER: u64 = 512 << 20;

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
    pub(crate) files: u64,
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
    pub(crate) place: PathBuf,
    runtime: Runtime,
    /// A gateway, and the bytes that it was sent.
    rgw: Option<(Rgw, u64)>,
}

/// An S3 server of one pair.
struct Server {
    proxy: Proxy,
    endpoint: String,
}

impl Bench {
    pub(crate) fn new(place: &Path) -> Self {
        std::fs::create_dir_all(place).expect("make the bench's directory");
        let place = place.canonicalize().expect("the directory's path");
        Self { place, runtime: Runtime::new().expect("a runtime"), rgw: None }
    }

    /// The data set of this kind.
    pub(crate) fn data(&self, kind: tabvault_integration_tests::bench::data::Kind, scale: f64) -> DataSet {
        DataSet::make(&self.place.join("data"), kind, scale)
    }

    /// An empty directory for what comes next.
    pub(crate) fn empty(&self) -> PathBuf {
        let dir = self.place.join("run");
        if dir.exists() {
            std::fs::remove_dir_all(&dir).expect("remove what the last run has left");
        }
        std::fs::create_dir_all(&dir).expect("make a directory");
        dir
    }

    /// All pairs of a case.
    pub(crate) fn pairs(&mut self, case: &Case, asked: &Asked) -> (DataSet, Vec<Run>) {
        let set = self.data(case.kind, asked.scale);
        let mut runs = Vec::new();
        for pair in 0..asked.pairs {
            for peer in case.peers().iter().copied().filter(|peer| asked.wants_peer(*peer)) {
                let begun = runs.len();
                self.pair(case, asked, &set, peer, pair, &mut runs);
                let (ours, theirs): (Vec<&Run>, _) = runs[begun..].iter().partition(|run| run.contender == OURS);
                let both = ours.iter().zip(theirs);
                let told =
                    both.map(|(a, b)| format!("{} {:.2} / {:.2} s", a.operation, a.taken.seconds, b.taken.seconds));
                println!("{} {pair}: {OURS} / {}: {}", case.name(), peer.name(), told.collect::<Vec<_>>().join(", "));
            }
        }
        self.empty();
        (set, runs)
    }

    fn pair(&mut self, case: &Case, asked: &Asked, set: &DataSet, peer: Peer, pair: usize, runs: &mut Vec<Run>) {
        let dir = self.empty();
        let server = case.storage.delay().map(|delay| {
            let upstream = self.fresh_rgw();
            let proxy = self.runtime.block_on(Proxy::start(upstream, delay, Arc::new(SystemClock)));
            let endpoint = format!("http://{}", proxy.address());
            Server { proxy, endpoint }
        });
        let name = format!("{}-{pair}-{}", case.name(), peer.name().replace(' ', ""));
        // 1. Both have the same files, and an empty repository.
        let place = Place {
            dir: dir.join("peer"),
            s3: server.as_ref().map(|server| (server.endpoint.clone(), format!("{name}-theirs"))),
        };
        std::fs::create_dir_all(&place.dir).expect("make a directory");
        copy(set.root(), &place.source());
        peer.prepare(&place);
        let repository = dir.join("repository");
        let ours = start_ours(&dir, &repository, server.as_ref(), &format!("{name}-ours"));
        ours.load(set.root());
        // 2. They take turns.
        let mut timestamp = None;
        let wanted = |operation: &Operation| peer.can(*operation) && asked.wants_operation(*operation);
        for (number, operation) in Operation::ALL.into_iter().filter(wanted).enumerate() {
            match operation {
                Operation::Backup | Operation::Unchanged => {}
                Operation::Changed => {
                    copy(&set.changed.join("."), &place.source());
                    ours.load(&set.changed);
                }
                Operation::Restore => {}
            }
            let before = (operation == Operation::Restore).then(|| {
                let table = ours.table();
                ours.drop_table();
                table
            });
            let mut turns = [OURS, peer.name()];
            turns.rotate_left((pair + number) % 2);
            for contender in turns {
                ours.settle();
                sync(&dir);
                let traffic = server.as_ref().map(|server| server.proxy.traffic());
                let local = if contender == OURS { repository.clone() } else { place.repository() };
                let stored = bytes_below(&local);
                let taken = match (contender, operation) {
                    (OURS, Operation::Restore) => ours.restore("first", timestamp.as_deref().expect("a first backup")),
                    (OURS, Operation::Backup) => {
                        let (taken, made) = ours.backup("first", "full");
                        timestamp = Some(made);
                        taken
                    }
                    (OURS, Operation::Unchanged | Operation::Changed) => ours.backup(operation.name(), &asked.second).0,
                    _ => peer.run(operation, &place),
                };
                let traffic = server.as_ref().zip(traffic).map(|(now, then)| now.proxy.traffic().since(&then));
                runs.push(Run {
                    data: case.kind.name(),
                    operation: operation.name(),
                    peer: peer.name(),
                    pair,
                    contender,
                    bytes: set.bytes,
                    files: set.files,
                    taken,
                    // What was thrown away meanwhile is nothing that grew.
                    stored: traffic.as_ref().map_or_else(|| bytes_below(&local).saturating_sub(stored), |t| t.sent),
                    traffic,
                });
            }
            if let Some(before) = before {
                assert_eq!(before, ours.table(), "the table is not what it was");
            }
        }
        if let (Some((_, sent)), Some(server)) = (&mut self.rgw, server) {
            *sent += server.proxy.traffic().sent;
        }
    }

    /// A gateway with room, and a bucket in it.
    fn fresh_rgw(&mut self) -> std::net::SocketAddr {
        if self.rgw.as_ref().is_none_or(|(_, sent)| *sent > FRESH_AFTER) {
            // The old one first: it holds memory.
            self.rgw = None;
            let rgw = Rgw::start(&self.place.join("rgw"));
            let place =
                Place { dir: self.place.clone(), s3: Some((format!("http://{}", rgw.address()), String::new())) };
            Peer::Rclone.prepare(&place);
            self.rgw = Some((rgw, 0));
        }
        self.rgw.as_ref().expect("it was just started").0.address()
    }
}

fn start_ours(dir: &Path, repository: &Path, server: Option<&Server>, name: &str) -> Ours {
    let Some(server) = server else {
        return Ours::start(&dir.join("ours"), &format!("file://{}", repository.display()), &[]);
    };
    let properties = [
        format!("s3.endpoint={}", server.endpoint),
        "s3.region=us-east-1".to_owned(),
        format!("s3.access_key={ACCESS_KEY}"),
        format!("s3.secret_key={SECRET_KEY}"),
        "use_path_style=true".to_owned(),
    ];
    Ours::start(&dir.join("ours"), &format!("s3://bench/{name}"), &properties)
}

fn copy(from: &Path, to: &Path) {
    let _ = shell(Command::new("cp").arg("-r").arg(from).arg(to), from);
}
