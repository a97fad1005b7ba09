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

/// What more files take of the time of the fewest, what each of them takes, and what that is beside `cp -r`.
pub(crate) fn figures(runs: &[Run]) -> Vec<Figure> {
    let mut figures = Vec::new();
    for operation in [Operation::Backup, Operation::Restore] {
        // By rounds, which runs of one number of files are in the order of.
        let seconds = |count: u64, contender: &'static str| -> Vec<f64> {
            let name = Kind::Files(count).name();
            let is_wanted =
                |run: &&Run| (run.operation, run.contender, &run.data) == (operation.name(), contender, &name);
            runs.iter().filter(is_wanted).map(|run| run.taken.seconds).collect()
        };
        let most = FILES[FILES.len() - 1];
        for count in FILES {
            let both = seconds(count, OURS).into_iter().zip(seconds(count, Peer::Cp.name()));
            let peer = format!("{}, {count} files", Peer::Cp.name());
            let spread = Spread::of(both.map(|(ours, cp)| cp / ours));
            figures.extend(spread.map(|spread| Figure::speed(operation, &peer, spread, None)));
        }
        for contender in [OURS, Peer::Cp.name()] {
            let few = seconds(FILES[0], contender);
            for count in &FILES[1..] {
                let spread = Spread::of(seconds(*count, contender).iter().zip(&few).map(|(many, few)| many / few));
                let bar = (*count == most && contender == OURS).then_some(COST_OF_FILES);
                let what = format!("{contender}: time of {count} / of {}", FILES[0]);
                figures.extend(spread.map(|spread| Figure::new(operation, what, spread, bar)));
            }
        }
    }
    figures.extend(memory(runs, MEMORY));
    figures
}
