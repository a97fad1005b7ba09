use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;

use super::*;

/// Counts how many rows were looked at; never tells two values apart.
#[derive(Debug, Default)]
pub(super) struct Visits(AtomicUsize);

impl Visits {
    pub(super) fn count(&self, rows: usize) {
        self.0.fetch_add(rows, Ordering::Relaxed);
    }

    pub(super) fn counted(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Clone for Visits {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl PartialEq for Visits {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Visits {}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Plain {
    task: u64,
    backend: Option<u64>,
    place: usize,
    bytes: u64,
    not_before: Option<u64>,
    failed: bool,
}

impl Counted for Plain {
    fn task(&self) -> TaskId {
        TaskId(self.task)
    }

    fn needs(&self) -> Option<BackendId> {
        self.backend.map(BackendId)
    }

    fn place(&self) -> usize {
        self.place
    }

    fn bytes(&self) -> u64 {
        self.bytes
    }

    fn not_before(&self) -> Option<Time> {
        self.not_before.map(Time)
    }

    fn failed(&self) -> bool {
        self.failed
    }
}

fn plain() -> impl Strategy<Value = Plain> {
    let row = (0..8_u64, prop::option::of(0..3_u64), 0..STAGES, 0..100_u64, prop::option::of(0..5_u64), any::<bool>());
    row.prop_map(|(task, backend, place, bytes, not_before, failed)| Plain {
        task,
        backend,
        place,
        bytes,
        not_before,
        failed,
    })
}

proptest! {
    #[test]
    fn sums_and_sets_are_what_a_recount_finds(changes in prop::collection::vec((plain(), 0..4_u8), 0..60)) {
        let mut rows = Rows::default();
        let mut plainly: BTreeMap<u64, Plain> = BTreeMap::new();
        for (row, what) in changes {
            match what {
                0 => {
                    let gone = rows.remove(TaskId(row.task));
                    prop_assert_eq!(gone, plainly.remove(&row.task));
                }
                1 => {
                    rows.change(TaskId(row.task), |there| *there = row.clone());
                    plainly.entry(row.task).and_modify(|there| *there = row.clone());
                }
                _ => {
                    rows.put(row.clone());
                    plainly.insert(row.task, row);
                }
            }
            let all = || plainly.values();
            prop_assert_eq!(&rows, &all().cloned().collect::<Rows<_>>(), "as if made of these rows at once");
            prop_assert!(rows.values().eq(all()));
            for place in 0..STAGES {
                let here = || all().filter(|row| row.place == place);
                prop_assert_eq!(rows.count_in(place), here().count());
                prop_assert_eq!(rows.bytes_in(place), here().map(|row| row.bytes).sum::<u64>());
            }
            prop_assert_eq!(rows.bytes(), all().map(|row| row.bytes).sum::<u64>());
            let first: Vec<TaskId> = all().filter(|row| row.place < 2).map(Counted::task).take(3).collect();
            prop_assert_eq!(rows.first_in(&[1, 0], 3), first);
            prop_assert!(rows.on(BackendId(1)).eq(all().filter(|row| row.backend == Some(1))));
            prop_assert_eq!(rows.backends(), all().filter_map(Counted::needs).collect::<BTreeSet<_>>());
            let next = all().filter_map(|row| Some((row.not_before?, row.task))).min();
            prop_assert_eq!(rows.waiting().next().map(|(at, row)| (at.0, row.task)), next);
            prop_assert!(rows.failed().eq(all().filter(|row| row.failed)));
        }
    }
}

/// ARCHITECTURE.md and docs/operations.md tell these numbers.
#[test]
fn a_tablet_of_a_running_job_takes_the_memory_that_the_documents_tell() {
    use crate::job::{backup, restore};
    assert!(size_of::<backup::RowTablet>() <= 96);
    assert!(size_of::<restore::RowTablet>() <= 120);
    assert!(size_of::<backup::Row>().max(size_of::<restore::Row>()) <= 256);
}
