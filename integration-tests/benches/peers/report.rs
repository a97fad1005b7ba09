//! Figures from runs: tables for the terminal, JSON and a chart for the docs.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;
use serde_json::json;
use tabvault_integration_tests::bench::chart::{Chart, Row};
use tabvault_integration_tests::bench::machine::Machine;
use tabvault_integration_tests::bench::statistics::{Bar, Spread};
use tabvault_integration_tests::tree::write;

use crate::Asked;
use crate::case::{Case, MEMORY, UNCHANGED_BYTES, UNCHANGED_TIME, allowed_requests};
use crate::pair::{OURS, Run};
use crate::peer::Operation;

const TIMES_AS_FAST: &str = "times as fast as ";
const MIB: f64 = (1 << 20) as f64;

/// Something that was measured, and what it has to be.
#[derive(Debug, Serialize)]
pub(crate) struct Figure {
    operation: &'static str,
    what: String,
    #[serde(flatten)]
    spread: Spread,
    bar: Option<Bar>,
    met: Option<bool>,
    /// Whether it is how many times as fast as a peer tabvault is, which is what charts show.
    is_speed: bool,
}

impl Figure {
    pub(crate) fn new(operation: Operation, what: String, spread: Spread, bar: Option<Bar>) -> Self {
        let met = bar.map(|bar| bar.is_met(&spread));
        Self { operation: operation.name(), what, spread, bar, met, is_speed: false }
    }

    /// How many times as fast as a peer tabvault is.
    pub(crate) fn speed(operation: Operation, peer: &str, spread: Spread, bar: Option<Bar>) -> Self {
        Self { is_speed: true, ..Self::new(operation, format!("{TIMES_AS_FAST}{peer}"), spread, bar) }
    }

    fn line(&self) -> String {
        let Spread { min, median, max } = self.spread;
        let bar = match (self.bar, self.met) {
            (None, _) => String::new(),
            (Some(bar), met) => {
                let sign = if matches!(bar, Bar::AtLeast(_)) { "≥" } else { "≤" };
                let verdict = if met == Some(true) { "pass" } else { "FAIL" };
                format!("{sign} {:<7} {verdict}", bar.limit())
            }
        };
        format!("{:<10} {:<36} {min:>9.4} {median:>9.4} {max:>9.4}  {bar}", self.operation, self.what)
    }
}

/// All that can be said of a case's pairs.
pub(crate) fn figures(case: &Case, asked: &Asked, runs: &[Run]) -> Vec<Figure> {
    let ours = |operation: Operation| {
        runs.iter().filter(move |run| run.contender == OURS && run.operation == operation.name())
    };
    let mut figures = Vec::new();
    // 1. Beside every peer.
    for operation in Operation::ALL {
        for peer in case.peers() {
            let theirs = runs.iter().filter(|run| run.contender == peer.name() && run.operation == operation.name());
            let mine = ours(operation).filter(|run| run.peer == peer.name());
            let ratios = mine.zip(theirs).map(|(mine, theirs)| theirs.taken.seconds / mine.taken.seconds);
            let Some(spread) = Spread::of(ratios) else { continue };
            figures.push(Figure::speed(operation, peer.name(), spread, case.speed(operation, *peer)));
        }
    }
    // 2. Second backups beside the first one of the same pair.
    for operation in [Operation::Unchanged, Operation::Changed] {
        let is_judged = operation == Operation::Unchanged && asked.second == "incremental";
        let pairs = || {
            let first =
                |second: &Run| ours(Operation::Backup).find(|run| (run.peer, run.pair) == (second.peer, second.pair));
            ours(operation).filter_map(move |second| first(second).map(|first| (first, second)))
        };
        let time = Spread::of(pairs().map(|(first, second)| second.taken.seconds / first.taken.seconds));
        let bytes = Spread::of(pairs().map(|(first, second)| second.stored as f64 / first.stored as f64));
        for (what, spread, bar) in [("time", time, UNCHANGED_TIME), ("bytes", bytes, UNCHANGED_BYTES)] {
            let what = format!("{what} / of the first one ({})", asked.second);
            figures.extend(spread.map(|spread| Figure::new(operation, what, spread, is_judged.then_some(bar))));
        }
    }
    // 3. Requests and memory.
    let requests = ours(Operation::Backup)
        .filter_map(|run| run.traffic.as_ref().map(|traffic| traffic.total() as f64 / allowed_requests(run.bytes)));
    let what = "requests / (bytes / 32 MiB + 100)".to_owned();
    figures.extend(Spread::of(requests).map(|spread| Figure::new(Operation::Backup, what, spread, case.requests())));
    figures.extend(memory(runs, MEMORY));
    figures
}

/// What the agent held at most, by operation.
pub(crate) fn memory(runs: &[Run], bar: Bar) -> Vec<Figure> {
    let of = |operation: Operation| {
        let runs = runs.iter().filter(|run| run.operation == operation.name());
        let held = Spread::of(runs.filter_map(|run| run.taken.peak_memory).map(|bytes| bytes as f64 / MIB));
        held.map(|spread| Figure::new(operation, "MiB that the agent held".to_owned(), spread, Some(bar)))
    };
    Operation::ALL.into_iter().filter_map(of).collect()
}

/// Prints everything and writes `<case>.json` and `<case>.svg`.
pub(crate) fn publish(asked: &Asked, machine: &Machine, case: &str, figures: &[Figure], runs: &[Run]) {
    println!("\n== {case}, {} pairs, scale {}", asked.pairs, asked.scale);
    println!("{:<10} {:<36} {:>9} {:>9} {:>9}  bar", "operation", "", "min", "median", "max");
    figures.iter().for_each(|figure| println!("{}", figure.line()));
    println!();
    contenders(runs);
    std::fs::create_dir_all(&asked.out).expect("make the directory of the results");
    let results = json!({
        "case": case, "scale": asked.scale, "pairs": asked.pairs, "second_backups": asked.second, "machine": machine,
        "figures": figures, "runs": runs,
    });
    let text = format!("{results:#}\n");
    let file = |ending: &str| asked.out.join(format!("{case}.{ending}"));
    write(&file("json"), text.as_bytes());
    let row = |figure: &Figure| Row {
        label: format!("{}: {}", figure.operation, figure.what.trim_start_matches(TIMES_AS_FAST)),
        spread: figure.spread,
        bar: figure.bar,
    };
    let rows: Vec<Row> = figures.iter().filter(|figure| figure.is_speed).map(row).collect();
    if !rows.is_empty() {
        let title = format!("tabvault, {case}: how many times as fast as others ({} pairs)", asked.pairs);
        write(&file("svg"), Chart { title, foot: machine.line(), rows }.svg().as_bytes());
    }
    println!("\nwritten: {}\n", display(&file("json")));
}

/// A line for everybody who did something.
fn contenders(runs: &[Run]) {
    println!(
        "{:<10} {:<22} {:>8} {:>8} {:>8} {:>8} {:>7} {:>7} {:>7} {:>9}  requests in the first pair",
        "operation", "who", "min s", "median s", "max s", "MB/s", "CPU s", "FE CPU", "FE MiB", "stored MB"
    );
    let mut groups: BTreeMap<(usize, &str, &str), Vec<&Run>> = BTreeMap::new();
    for run in runs {
        let order = Operation::ALL.iter().position(|operation| operation.name() == run.operation).unwrap_or_default();
        groups.entry((order, run.contender, &run.data)).or_default().push(run);
    }
    for ((_, contender, data), runs) in groups {
        let median = |figure: fn(&Run) -> Option<f64>| {
            Spread::of(runs.iter().filter_map(|run| figure(run))).map(|spread| spread.median)
        };
        let cell = |figure: Option<f64>| figure.map_or_else(|| "-".to_owned(), |figure| format!("{figure:.2}"));
        let Some(time) = Spread::of(runs.iter().map(|run| run.taken.seconds)) else { continue };
        let requests = runs[0].traffic.as_ref().map_or_else(String::new, |traffic| {
            let kinds = traffic.requests.iter().map(|(kind, count)| format!("{kind} {count}"));
            kinds.collect::<Vec<_>>().join(", ")
        });
        let who = if data.starts_with("files") { format!("{contender}, {data}") } else { contender.to_owned() };
        println!(
            "{:<10} {who:<22} {:>8.2} {:>8.2} {:>8.2} {:>8.1} {:>7} {:>7} {:>7} {:>9}  {requests}",
            runs[0].operation,
            time.min,
            time.median,
            time.max,
            runs[0].bytes as f64 / 1e6 / time.median,
            cell(median(|run| Some(run.taken.cpu_seconds))),
            cell(median(|run| run.taken.coordinator_cpu_seconds)),
            cell(median(|run| run.taken.coordinator_peak_memory.map(|bytes| bytes as f64 / MIB))),
            cell(median(|run| Some(run.stored as f64 / 1e6))),
        );
    }
}

fn display(path: &Path) -> String {
    path.canonicalize().unwrap_or_else(|_| path.to_owned()).display().to_string()
}
