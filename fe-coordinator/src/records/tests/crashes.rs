//! A crash at every commit, before and after it: what the next coordinator finds.

use super::*;

/// Every place at which `commits` commits can be cut.
fn cuts(commits: u32) -> impl Iterator<Item = Fault> {
    (0..commits).flat_map(|after| [false, true].map(|happens| Fault { after, happens }))
}

/// A store with a backup that has been planned with `rows` rows, or is about to be.
async fn with_job(rows: Option<u64>) -> (Arc<BrokenStore>, Records, Job) {
    let store = BrokenStore::new();
    let records = lead(&store).await;
    let mut job = create(&records, backup_of("shop", "nightly")).await;
    if let Some(rows) = rows {
        let planned = planning(&job, rows);
        step(&records, &mut job, &planned).await;
    }
    (store, records, job)
}

/// Cuts the saving of a step everywhere: the next coordinator finds the job before it or after it, nothing between,
/// and saving it again is right as well.
async fn check_step(rows: Option<u64>, make: fn(&Job) -> JobTransition) {
    let (store, records, mut job) = with_job(rows).await;
    let before = store.commits();
    let transition = make(&job);
    step(&records, &mut job, &transition).await;
    let commits = store.commits() - before;
    assert!(commits > 1);
    let mut seen = [false, false];
    for fault in cuts(commits) {
        for crash in [true, false] {
            let (store, records, mut job) = with_job(rows).await;
            let transition = make(&job);
            let old = job.clone();
            store.set(Some(fault));
            save(&records, &job, &transition).await.unwrap_err();
            assert!(!store.is_set(), "{fault:?} came");
            job = after(&job, &transition);
            if crash {
                let found = lead(&store).await.running().await.unwrap();
                assert!(found == [old.clone()] || found == [job.clone()], "{fault:?}");
                seen[usize::from(found == [job])] = true;
            } else {
                save(&records, &old, &transition).await.unwrap();
                assert_eq!(lead(&store).await.running().await.unwrap(), [job], "{fault:?}");
            }
            let left: Vec<String> = store.keys().await.into_iter().filter(|key| key.contains("/step")).collect();
            assert!(left.is_empty(), "{fault:?}: {left:?}");
        }
    }
    assert_eq!(seen, [true, true]);
}

#[tokio::test]
async fn a_plan_of_many_rows_is_stored_or_not() {
    check_step(None, |job| planning(job, 300)).await;
}

#[tokio::test]
async fn a_change_of_many_rows_happened_or_not() {
    check_step(Some(300), moving).await;
}

#[tokio::test]
async fn the_first_rows_of_a_restore_are_stored_or_not() {
    let build = || async {
        let store = BrokenStore::new();
        let records = lead(&store).await;
        let mut job = create(&records, restore_into("shop")).await;
        let mapped = job.step(
            crate::job::Event::Answered(
                crate::job::Ask::ReadSnapshot,
                Ok(crate::job::Answer::Mapped(Box::new(samples::mapped()))),
            ),
            samples::START,
        );
        step(&records, &mut job, &mapped).await;
        (store, records, job)
    };
    let prepared = |job: &Job| {
        let first = samples::restore_rows(tabvault_common::repo::info::Content::All).remove(0);
        let rows = (1..=300).map(|n| crate::job::restore::Row { task: TaskId(n), ..first.clone() }).collect();
        let answer = crate::job::Answer::Prepared(rows);
        job.step(crate::job::Event::Answered(crate::job::Ask::Prepare, Ok(answer)), samples::START)
    };
    let (store, records, job) = build().await;
    let before = store.commits();
    save(&records, &job, &prepared(&job)).await.unwrap();
    let commits = store.commits() - before;
    assert!(commits >= 3);
    for fault in cuts(commits) {
        let (store, records, mut job) = build().await;
        let transition = prepared(&job);
        store.set(Some(fault));
        save(&records, &job, &transition).await.unwrap_err();
        let old = job.clone();
        job = after(&job, &transition);
        let records = lead(&store).await;
        let found = records.running().await.unwrap();
        assert!(found == [old.clone()] || found == [job.clone()], "{fault:?}");
        // The step may come out with fewer rows when it is made again: none of the old ones is among them.
        if found == [old] {
            assert!(!store.keys().await.iter().any(|key| key.contains("/row/")), "{fault:?}");
        }
    }
}

#[tokio::test]
async fn a_job_is_created_or_nothing_is_left_of_it() {
    let store = BrokenStore::new();
    let records = lead(&store).await;
    let before = store.commits();
    create(&records, backup_of("shop", "nightly")).await;
    for fault in cuts(store.commits() - before) {
        let store = BrokenStore::new();
        let records = lead(&store).await;
        store.set(Some(fault));
        let created = records.create(&asked("shop"), backup_of("shop", "nightly")).await;
        let records = lead(&store).await;
        let running = records.running().await.unwrap();
        assert!(created.is_err() || running.len() == 1, "{fault:?}: who got a number has a job");
        match running.first() {
            Some(job) => assert_eq!(records.request(job.id()).await.unwrap(), asked("shop")),
            None => assert_eq!(store.keys().await, Vec::<String>::new(), "{fault:?}"),
        }
    }
}

#[tokio::test]
async fn archiving_goes_on_after_a_crash_at_any_commit() {
    let ended = || async {
        let (store, records, mut job) = with_job(Some(300)).await;
        let end = ending(&job, BackupState::Finished);
        step(&records, &mut job, &end).await;
        (store, records, job)
    };
    let (store, records, job) = ended().await;
    let view = job.view(&Throughput::default());
    let before = store.commits();
    records.archive(&view, 10).await.unwrap();
    let commits = store.commits() - before;
    assert!(commits >= 4);
    for fault in cuts(commits) {
        let (store, records, job) = ended().await;
        store.set(Some(fault));
        records.archive(&view, 10).await.unwrap_err();
        let records = lead(&store).await;
        let running = records.running().await.unwrap();
        if let Some(found) = running.first() {
            assert_eq!(*found, job, "{fault:?}: whole, or gone");
            records.archive(&found.view(&Throughput::default()), 10).await.unwrap();
        }
        assert_eq!(records.history().await.unwrap(), std::slice::from_ref(&view), "{fault:?}");
        let left: Vec<String> = store.keys().await.into_iter().filter(|key| key.starts_with("job/")).collect();
        assert!(left.is_empty(), "{fault:?}: {left:?}");
        assert_eq!(lead(&store).await.running().await.unwrap(), []);
    }
}

#[tokio::test]
async fn pruning_goes_on_after_a_crash() {
    let store = BrokenStore::new();
    let records = lead(&store).await;
    for _ in 0..4 {
        let mut job = create(&records, backup_of("shop", "nightly")).await;
        let end = ending(&job, BackupState::Cancelled);
        step(&records, &mut job, &end).await;
        store.set(Some(Fault { after: 3, happens: false }));
        // It may or may not come so far.
        let _ = records.archive(&job.view(&Throughput::default()), 1).await;
        store.set(None);
    }
    let mut job = create(&records, backup_of("shop", "nightly")).await;
    let end = ending(&job, BackupState::Cancelled);
    step(&records, &mut job, &end).await;
    records.archive(&job.view(&Throughput::default()), 1).await.unwrap();
    assert_eq!(records.history().await.unwrap().len(), 1);
}
