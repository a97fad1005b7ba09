//! The case `files`: the same bytes in more and more files, to see what a file costs, beside `cp -r`.

use tabvault_integration_tests::bench::data::Kind;
use tabvault_integration_tests::bench::statistics::Spread;

use crate::Asked;
use crate::case::{COST_OF_FILES, Case, FILES, MEMORY, Storage};
use crate::pair::{Bench, OURS, Run};
use crate::peer::{Operation, Peer};
use crate::report::{Figure, memory};

/// A backup and a restore of each number of files, in each round; every other round from the most to the fewest.
pub(crate) fn rounds(bench: &mut Bench, asked: &Asked) -> Vec<Run> {
    let mut runs = Vec::new();
    for round in 0..asked.pairs {
        let mut counts = FILES;
        if round % 2 == 1 {
            counts.reverse();
        }
        for count in counts {
            let case = Case { kind: Kind::Files(count), storage: Storage::Local };
            bench.pair(&case, asked, Peer::Cp, round, &mut runs);
        }
    }
    runs
}

/// What each number of files takes beside `cp -r`; what one file more costs where there are most of them, beside what it
/// costs where there are fewer; and the bytes that are stored.
pub(crate) fn figures(runs: &[Run]) -> Vec<Figure> {
    let mut figures = Vec::new();
    for operation in [Operation::Backup, Operation::Restore] {
        // By rounds, which runs of one number of files are in the order of.
        let of = |count: u64, contender: &'static str, figure: fn(&Run) -> f64| -> Vec<f64> {
            let name = Kind::Files(count).name();
            let is_wanted =
                |run: &&Run| (run.operation, run.contender, &run.data) == (operation.name(), contender, &name);
            runs.iter().filter(is_wanted).map(figure).collect()
        };
        let seconds = |count, contender| of(count, contender, |run| run.taken.seconds);
        for count in FILES {
            let both = seconds(count, OURS).into_iter().zip(seconds(count, Peer::Cp.name()));
            let peer = format!("{}, {count} files", Peer::Cp.name());
            let spread = Spread::of(both.map(|(ours, cp)| cp / ours));
            figures.extend(spread.map(|spread| Figure::speed(operation, &peer, spread, None)));
        }
        let [few, _, many, most] = FILES;
        for (contender, bar) in [(OURS, Some(COST_OF_FILES)), (Peer::Cp.name(), None)] {
            // What a file costs, from one number of files to another.
            let slope = |from: u64, to: u64| -> Vec<f64> {
                let pairs = seconds(to, contender).into_iter().zip(seconds(from, contender));
                pairs.map(|(to_seconds, from_seconds)| (to_seconds - from_seconds) / (to - from) as f64).collect()
            };
            let ratios = slope(many, most).into_iter().zip(slope(few, many)).map(|(above, below)| above / below);
            let what = format!("{contender}: a file beyond {many} / below");
            figures.extend(Spread::of(ratios).map(|spread| Figure::new(operation, what, spread, bar)));
        }
        let stored = |count| of(count, OURS, |run| run.stored as f64);
        let grown = stored(most).into_iter().zip(stored(few)).map(|(most, few)| most / few);
        if operation == Operation::Backup {
            let what = format!("{OURS}: bytes stored of {most} / of {few}");
            figures.extend(Spread::of(grown).map(|spread| Figure::new(operation, what, spread, None)));
        }
    }
    figures.extend(memory(runs, MEMORY));
    figures
}
