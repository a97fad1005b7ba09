//! tabvault beside `cp`, `tar | zstd`, restic, rclone and borg, in turn, on one machine. `./bench` runs it.
//!
//! A pair is tabvault and one peer, each with a repository of its own; they take turns with every operation, and who
//! begins alternates, so that a machine that becomes slower meets both. Ratios are those within pairs. What each case is,
//! and what to mind, is in docs/performance.md.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a bench prints")]
#![allow(clippy::panic, reason = "a bench that cannot go on panics")]

mod case;
mod files;
mod pair;
mod peer;
mod report;

use std::path::{Path, PathBuf};

use tabvault_integration_tests::bench::machine::Machine;
use tabvault_integration_tests::bench::paths::{place, typed};
use tabvault_integration_tests::binary::program;

use crate::case::Case;
use crate::pair::Bench;
use crate::peer::{Operation, Peer};

const USAGE: &str = "usage: ./bench [CASE...] [--pairs 5] [--scale 1.0] [--peers restic,rclone] [--operations backup] \
                     [--type incremental] [--out DIR | --docs]";

/// What was asked for.
#[derive(Debug)]
pub(crate) struct Asked {
    cases: Vec<String>,
    pub(crate) pairs: usize,
    pub(crate) scale: f64,
    /// The property `type` of second backups.
    pub(crate) second: String,
    peers: Vec<String>,
    operations: Vec<String>,
    out: PathBuf,
}

impl Asked {
    fn parse(args: impl Iterator<Item = String>) -> Result<Self, String> {
        let place = place();
        let mut asked = Self {
            cases: Vec::new(),
            pairs: 5,
            scale: 1.0,
            second: "incremental".to_owned(),
            peers: Vec::new(),
            operations: Vec::new(),
            out: place.join("results"),
        };
        // Cargo adds the first one.
        let mut args = args.filter(|arg| arg != "--bench");
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value; {USAGE}"));
            let names = |value: String| value.split(',').map(str::to_owned).collect();
            match arg.as_str() {
                "--pairs" => asked.pairs = value()?.parse().map_err(|_| "--pairs is a number from 1 on".to_owned())?,
                "--scale" => {
                    asked.scale = value()?.parse().map_err(|_| "--scale is a number such as 0.1".to_owned())?
                }
                "--type" => asked.second = value()?,
                "--peers" => asked.peers = names(value()?),
                "--operations" => asked.operations = names(value()?),
                "--out" => asked.out = typed(value()?),
                "--docs" => asked.out = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/bench"),
                flag if flag.starts_with('-') => return Err(format!("{flag} is not known; {USAGE}")),
                _ => asked.cases.push(arg),
            }
        }
        let known: Vec<String> =
            Case::all().iter().map(Case::name).chain(["files".to_owned(), "list".to_owned()]).collect();
        let unknown = asked.cases.iter().find(|case| !known.contains(case));
        if let Some(case) = unknown {
            return Err(format!("there is no case {case}, only {}", known.join(", ")));
        }
        let peers = Peer::ALL.map(Peer::word);
        if let Some(peer) = asked.peers.iter().find(|peer| !peers.contains(&peer.as_str())) {
            return Err(format!("there is no peer {peer}, only {}", peers.join(", ")));
        }
        let operations = Operation::ALL.map(Operation::name);
        if let Some(operation) = asked.operations.iter().find(|operation| !operations.contains(&operation.as_str())) {
            return Err(format!("there is no operation {operation}, only {}", operations.join(", ")));
        }
        if asked.pairs == 0 || asked.scale <= 0.0 {
            return Err("--pairs and --scale are above 0".to_owned());
        }
        Ok(asked)
    }

    fn wants(&self, case: &str) -> bool {
        self.cases.is_empty() || self.cases.iter().any(|wanted| wanted == case)
    }

    pub(crate) fn wants_peer(&self, peer: Peer) -> bool {
        self.peers.is_empty() || self.peers.iter().any(|wanted| wanted == peer.word())
    }

    /// All but the first backup can be left out.
    pub(crate) fn wants_operation(&self, operation: Operation) -> bool {
        let wanted = || self.operations.iter().any(|wanted| wanted == operation.name());
        operation == Operation::Backup || self.operations.is_empty() || wanted()
    }
}

fn main() {
    let asked = Asked::parse(std::env::args().skip(1)).unwrap_or_else(|error| {
        eprintln!("{error}");
        std::process::exit(2);
    });
    if asked.cases.iter().any(|case| case == "list") {
        Case::all().iter().for_each(|case| println!("{}", case.name()));
        println!("files");
        return;
    }
    if std::env::var_os("TABVAULT_BIN").is_none() {
        eprintln!("TABVAULT_BIN names the program to measure: run ./bench, which builds it as it is released");
        std::process::exit(2);
    }
    let mut bench = Bench::new(&place());
    let machine = Machine::describe(&bench.place, &program());
    println!("{}", machine.line());
    for case in Case::all().into_iter().filter(|case| asked.wants(&case.name())) {
        let runs = bench.pairs(&case, &asked);
        let figures = report::figures(&case, &asked, &runs);
        report::publish(&asked, &machine, &case.name(), &figures, &runs);
    }
    bench.end_s3();
    if asked.wants("files") {
        let runs = files::rounds(&mut bench, &asked);
        report::publish(&asked, &machine, "files", &files::figures(&runs), &runs);
    }
    bench.end();
}
