//! The case `files`: the same bytes in more and more files, to see what a file costs.

use tabvault_integration_tests::bench::data::Kind;
use tabvault_integration_tests::bench::measure::{Taken, sync};
use tabvault_integration_tests::bench::ours::Ours;
use tabvault_integration_tests::bench::resources::bytes_below;
use tabvault_integration_tests::bench::statistics::Spread;

use crate::Asked;
use crate::case::{COST_OF_FILES, FILES, MEMORY};
use crate::pair::{Bench, OURS, Run};
use crate::peer::Operation;
use crate::report::{Figure, memory};

/// A backup and a restore of each number of files, in each round; every other round from the most to the fewest.
pub(crate) fn rounds(bench: &Bench, asked: &Asked) -> Vec<Run> {
    let mut runs = Vec::new();
    for round in 0..asked.pairs {
        let mut counts = FILES;
        if round % 2 == 1 {
            counts.reverse();
        }
        for count in counts {
            let begun = runs.len();
            one(bench, asked, Kind::Files(count), round, &mut runs);
            let told = runs[begun..].iter().map(|run| format!("{} {:.2} s", run.operation, run.taken.seconds));
            println!("files {round}: {count}: {}", told.collect::<Vec<_>>().join(", "));
        }
    }
    bench.empty();
    runs
}

fn one(bench: &Bench, asked: &Asked, kind: Kind, pair: usize, runs: &mut Vec<Run>) {
    let set = bench.data(kind, asked.scale);
    let dir = bench.empty();
    let repository = dir.join("repository");
    let ours = Ours::start(&dir.join("ours"), &format!("file://{}", repository.display()), &[]);
    set.parts.iter().for_each(|part| ours.load(part));
    ours.settle();
    sync(&dir);
    let mut push = |operation: Operation, taken: Taken, stored: u64| {
        runs.push(Run {
            data: kind.name(),
            operation: operation.name(),
            peer: OURS,
            pair,
            contender: OURS,
            bytes: set.bytes,
            files: set.files,
            taken,
            stored,
            traffic: None,
        });
    };
    let (taken, timestamp) = ours.backup("first", "full");
    push(Operation::Backup, taken, bytes_below(&repository));
    if asked.wants_operation(Operation::Restore) {
        let before = ours.table();
        ours.drop_table();
        sync(&dir);
        push(Operation::Restore, ours.restore("first", &timestamp), 0);
        assert_eq!(before, ours.table(), "the table is not what it was");
    }
}

/// What most files took of the time of the fewest, round by round.
pub(crate) fn figures(runs: &[Run]) -> Vec<Figure> {
    let mut figures = Vec::new();
    for operation in [Operation::Backup, Operation::Restore] {
        let of = |count: u64| {
            let name = Kind::Files(count).name();
            runs.iter().filter(move |run| run.operation == operation.name() && run.data == name)
        };
        for count in &FILES[1..] {
            let ratios = of(*count).zip(of(FILES[0])).map(|(many, few)| many.taken.seconds / few.taken.seconds);
            let bar = (count == &FILES[FILES.len() - 1]).then_some(COST_OF_FILES);
            let what = format!("time of {count} files / of {}", FILES[0]);
            figures.extend(Spread::of(ratios).map(|spread| Figure::new(operation, what, spread, bar)));
        }
    }
    figures.extend(memory(runs, MEMORY));
    figures
}
