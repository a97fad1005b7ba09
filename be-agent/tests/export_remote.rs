//! Several exports into one prefix: one writes at a time, and nobody removes what another has written.
#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods)]

use std::fs;
use std::path::Path;
use std::sync::Arc;

use tabvault_be_agent::load::LoadStore;
use tabvault_be_agent::store::TabletStore;
use tabvault_be_agent::store::file::FileTabletStore;
use tabvault_broker::faults::{Act, Faults, Op, Rule};
use tabvault_common::failure::{Failure, Kind};
use tabvault_common::ids::JobUuid;
use tabvault_common::task::{ExportStep, JobEnd};

#[path = "file_store/bucket.rs"]
mod bucket;
#[path = "file_store/trees.rs"]
mod trees;
use bucket::Bucket;
use trees::{load, memory};

const FILES: usize = 5;

/// An export by one agent of tablet 1, whose files are named alike and hold `content`.
struct Exporter {
    store: FileTabletStore,
    faults: Faults,
    job: JobUuid,
    content: &'static str,
}

impl Exporter {
    async fn new(bucket: &Bucket, dir: &Path, content: &'static str) -> Self {
        let source = dir.join(format!("source-{content}"));
        fs::create_dir(&source).unwrap();
        for number in 0..FILES {
            fs::write(source.join(number.to_string()), content).unwrap();
        }
        let faults = Faults::new(1);
        let store = bucket.open_with(&dir.join(content), &faults).await;
        load(&store, &source, 2, &[1]).await.unwrap();
        Self { store, faults, job: JobUuid::random(), content }
    }

    async fn step(&self, bucket: &Bucket, step: ExportStep) -> Result<(), Failure> {
        let task = bucket.export(step, 2, &[1]);
        self.store.export(self.job, &task, &Arc::default(), &memory()).await.map(drop)
    }

    /// As the coordinator does it.
    async fn run(&self, bucket: &Bucket) -> Result<(), Failure> {
        let written = match self.step(bucket, ExportStep::Write).await {
            Ok(()) => self.step(bucket, ExportStep::Publish).await,
            Err(failure) => Err(failure),
        };
        if written.is_err() {
            self.step(bucket, ExportStep::Discard).await.unwrap();
        }
        written
    }

    /// All of this export, and nothing else, is there.
    async fn assert_whole(&self, bucket: &Bucket) {
        assert_eq!(bucket.objects().await, (0..FILES).map(|number| number.to_string()).collect::<Vec<_>>());
        for object in bucket.objects().await {
            assert_eq!(bucket.storage.get(&object, 10).await.unwrap(), self.content.as_bytes());
        }
    }
}

async fn two(bucket: &Bucket, dir: &Path) -> (Exporter, Exporter) {
    (Exporter::new(bucket, dir, "one").await, Exporter::new(bucket, dir, "two").await)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_that_found_the_prefix_empty_and_then_slept_removes_nothing_of_the_one_that_did_not() {
    // Wherever the first sleeps.
    for (op, prefix) in [(Op::Put, ""), (Op::List, ""), (Op::Writer, ""), (Op::Close, "")] {
        let (dir, bucket) = (tempfile::tempdir().unwrap(), Bucket::new().await);
        let (one, two) = two(&bucket, dir.path()).await;
        let gate = one.faults.block(op, prefix);
        let slow = async {
            let ended = one.run(&bucket).await;
            (one.step(&bucket, ExportStep::Discard).await.unwrap(), ended).1
        };
        let quick = async {
            gate.reached().await;
            let ended = two.run(&bucket).await;
            gate.open();
            ended
        };
        let (slow, quick) = tokio::join!(slow, quick);
        match (slow, quick) {
            (Ok(()), Err(refused)) => {
                assert_eq!(refused.kind, Kind::Busy, "{refused}");
                one.assert_whole(&bucket).await;
            }
            (Err(refused), Ok(())) => {
                assert_eq!(refused.kind, Kind::AlreadyExists, "{refused}");
                two.assert_whole(&bucket).await;
            }
            ended => panic!("asleep at {op:?}: {ended:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_exports_that_race_at_most_one_is_there_and_it_is_whole() {
    for _ in 0..40 {
        let (dir, bucket) = (tempfile::tempdir().unwrap(), Bucket::new().await);
        let (one, two) = two(&bucket, dir.path()).await;
        match tokio::join!(one.run(&bucket), two.run(&bucket)) {
            (Ok(()), Err(_)) => one.assert_whole(&bucket).await,
            (Err(_), Ok(())) => two.assert_whole(&bucket).await,
            (Err(_), Err(_)) => assert_eq!(bucket.objects().await, Vec::<String>::new()),
            (Ok(()), Ok(())) => panic!("both exports say that they are there"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn agents_of_one_export_share_the_prefix_and_no_other_export_comes_between() {
    let dir = tempfile::tempdir().unwrap();
    // Two agents each with a tablet of its own; both exports write the same names.
    let mut agents = Vec::new();
    for tablet in [1, 2] {
        let source = dir.path().join(format!("source-{tablet}"));
        fs::create_dir(&source).unwrap();
        fs::write(source.join(format!("file-{tablet}")), "x").unwrap();
        agents.push((source, tablet));
    }
    let mut one_wins = 0;
    for round in 0..40 {
        let bucket = Bucket::new().await;
        let mut stores = Vec::new();
        for (source, tablet) in &agents {
            let store = bucket.open(&dir.path().join(format!("{round}-{tablet}"))).await;
            load(&store, source, 2, &[*tablet]).await.unwrap();
            stores.push((store, *tablet));
        }
        let all = async |job: JobUuid, step: ExportStep| {
            let one = |(store, tablet): &(FileTabletStore, u64)| {
                let (store, task) = (store.clone(), bucket.export(step, 2, &[*tablet]));
                async move { store.export(job, &task, &Arc::default(), &memory()).await }
            };
            futures::future::join_all(stores.iter().map(one)).await.into_iter().collect::<Result<Vec<_>, _>>()
        };
        let run = async || {
            let job = JobUuid::random();
            let written = all(job, ExportStep::Write).await;
            let next = if written.is_ok() { ExportStep::Publish } else { ExportStep::Discard };
            all(job, next).await.unwrap();
            written.is_ok()
        };
        let won = tokio::join!(run(), run());
        let expected: &[&str] = if won.0 || won.1 { &["file-1", "file-2"] } else { &[] };
        assert_eq!(bucket.objects().await, expected);
        assert_ne!(won, (true, true));
        one_wins += usize::from(won.0 || won.1);
    }
    assert!(one_wins > 0, "not one export of forty pairs came about");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_that_mark_before_either_looks_at_least_one_withdraws() {
    let (dir, bucket) = (tempfile::tempdir().unwrap(), Bucket::new().await);
    let (one, two) = two(&bucket, dir.path()).await;
    let gates = [&one, &two].map(|export| export.faults.block(Op::List, ""));
    let open = async {
        for gate in &gates {
            gate.reached().await;
        }
        gates.iter().for_each(tabvault_broker::faults::Gate::open);
    };
    let write = |export| Exporter::step(export, &bucket, ExportStep::Write);
    let (first, second, ()) = tokio::join!(write(&one), write(&two), open);
    // The second may look when the first has withdrawn.
    let refused = [first, second].into_iter().filter_map(Result::err).collect::<Vec<_>>();
    assert!(!refused.is_empty());
    for refused in refused {
        assert_eq!(refused.kind, Kind::Busy);
        assert!(
            refused.message.contains("another export writes there or was broken off, as object `.tabvault-export-")
        );
    }
}

#[tokio::test]
async fn a_mark_that_nobody_removes_is_named_and_keeps_others_away_until_it_is_deleted() {
    let (dir, bucket) = (tempfile::tempdir().unwrap(), Bucket::new().await);
    let export = Exporter::new(&bucket, dir.path(), "one").await;
    let mark = format!(".tabvault-export-{}/7-wanted", JobUuid::random());
    bucket.put(&mark, "").await;
    let refused = export.run(&bucket).await.unwrap_err();
    assert_eq!(refused.kind, Kind::Busy);
    assert!(refused.message.contains(&format!("`{mark}`")), "{refused}");
    let left = bucket.objects().await;
    assert_eq!(left, [mark]);
    bucket.storage.delete(&left).await.unwrap();
    let again = Exporter { job: JobUuid::random(), ..export };
    again.run(&bucket).await.unwrap();
    again.assert_whole(&bucket).await;
}

#[tokio::test]
async fn an_agent_that_was_killed_while_it_wrote_goes_on_with_its_own_marks() {
    let (dir, bucket) = (tempfile::tempdir().unwrap(), Bucket::new().await);
    let export = Exporter::new(&bucket, dir.path(), "one").await;
    let broken = Failure::fatal(Kind::Internal, "killed");
    export.faults.rule(Rule::nth(3, Op::Writer, "", Act::Refuse(broken)));
    export.step(&bucket, ExportStep::Write).await.unwrap_err();
    assert!(bucket.objects().await.contains(&format!(".tabvault-export-{}/1-held", export.job)));
    bucket.put("3", "of the killed process").await;
    let Exporter { store, faults, job, content } = export;
    drop(store);
    let store = bucket.open_with(&dir.path().join("one"), &faults).await;
    let export = Exporter { store, faults, job, content };
    export.run(&bucket).await.unwrap();
    export.assert_whole(&bucket).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_discard_stops_what_is_still_written_before_it_removes_it() {
    for held_up in [Op::Writer, Op::Close] {
        let (dir, bucket) = (tempfile::tempdir().unwrap(), Bucket::new().await);
        let export = Exporter::new(&bucket, dir.path(), "one").await;
        let gate = export.faults.block(held_up, "");
        let discard = async {
            gate.reached().await;
            tokio::join!(export.step(&bucket, ExportStep::Discard), async {
                // The discard is polled first, and has given the export up when the object goes on.
                gate.open();
            })
            .0
        };
        let (written, discarded) = tokio::join!(export.step(&bucket, ExportStep::Write), discard);
        discarded.unwrap();
        // At a close, the others may all be written: then there was nothing left to stop.
        assert!(written.is_err() || held_up == Op::Close);
        assert_eq!(bucket.objects().await, Vec::<String>::new());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_half_written_goes_when_the_coordinator_has_forgotten_the_export() {
    let (dir, bucket) = (tempfile::tempdir().unwrap(), Bucket::new().await);
    let export = Exporter::new(&bucket, dir.path(), "one").await;
    export.step(&bucket, ExportStep::Write).await.unwrap();
    assert_eq!(export.store.jobs().await.unwrap(), [export.job]);
    export.store.settle(export.job, JobEnd::Discarded).await.unwrap();
    assert_eq!(bucket.objects().await, Vec::<String>::new());
    assert!(export.store.jobs().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_published_export_stays_however_its_job_ends() {
    for end in [JobEnd::Published, JobEnd::Discarded] {
        let (dir, bucket) = (tempfile::tempdir().unwrap(), Bucket::new().await);
        let export = Exporter::new(&bucket, dir.path(), "one").await;
        export.run(&bucket).await.unwrap();
        export.store.settle(export.job, end).await.unwrap();
        export.step(&bucket, ExportStep::Discard).await.unwrap();
        export.assert_whole(&bucket).await;
    }
}

#[tokio::test]
async fn a_mark_that_was_taken_away_fails_the_export() {
    let (dir, bucket) = (tempfile::tempdir().unwrap(), Bucket::new().await);
    let export = Exporter::new(&bucket, dir.path(), "one").await;
    let gate = export.faults.block(Op::Close, "");
    let thief = async {
        gate.reached().await;
        bucket.storage.delete(&[format!(".tabvault-export-{}/1-held", export.job)]).await.unwrap();
        gate.open();
    };
    let (written, ()) = tokio::join!(export.step(&bucket, ExportStep::Write), thief);
    let failure = written.unwrap_err();
    assert_eq!(failure.kind, Kind::FailedPrecondition);
    assert!(failure.message.contains("1-held` was removed while the export ran: export again"), "{failure}");
}
