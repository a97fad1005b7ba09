//! What a job claims when it begins and lets go of when it ends.

use super::*;

async fn try_create(records: &Records, build: impl Fn(JobId) -> Job + Send + Sync) -> Claim {
    records.create(&asked("shop"), build).await.unwrap().0
}

#[tokio::test]
async fn a_database_and_a_label_have_one_job() {
    let store = BrokenStore::new();
    let records = lead(&store).await;
    let job = create(&records, backup_of("shop", "nightly")).await;
    assert_eq!(try_create(&records, backup_of("shop", "other")).await, Claim::SlotTaken(job.id()));
    assert_eq!(try_create(&records, restore_into("shop")).await, Claim::SlotTaken(job.id()));
    assert_eq!(try_create(&records, backup_of("b", "nightly")).await, Claim::LabelTaken(job.id()));
    assert_eq!(try_create(&records, backup_of("b", "other")).await, Claim::Stored);
    assert_eq!(records.running().await.unwrap().len(), 2, "nothing is left of those that were refused");
}

#[tokio::test]
async fn jobs_that_begin_at_once_keep_their_own_requests() {
    let store = BrokenStore::new();
    let records = lead(&store).await;
    let one = |n: u32| {
        let (database, records) = (format!("db{n}"), records.clone());
        async move {
            let build = backup_of(&database, &database);
            let (claim, job) = records.create(&asked(&database), build).await.unwrap();
            assert_eq!(claim, Claim::Stored);
            (database, job.unwrap().id())
        }
    };
    let jobs = futures::future::join_all((0..8).map(one)).await;
    for (database, id) in jobs {
        assert_eq!(records.request(id).await.unwrap(), asked(&database));
    }
}

#[tokio::test]
async fn claims_end_with_the_job() {
    for state in [BackupState::Finished, BackupState::Cancelled] {
        let store = BrokenStore::new();
        let records = lead(&store).await;
        let mut job = create(&records, backup_of("shop", "nightly")).await;
        let end = ending(&job, state);
        step(&records, &mut job, &end).await;
        assert_eq!(try_create(&records, backup_of("shop", "nightly")).await, Claim::Stored, "not archived yet");
    }
}

#[tokio::test]
async fn a_job_that_only_waits_for_its_tombstone_keeps_its_label() {
    let store = BrokenStore::new();
    let records = lead(&store).await;
    let mut job = create(&records, backup_of("shop", "nightly")).await;
    let head = backup::Head {
        state: BackupState::UploadInfo,
        cancelling: Some(samples::transient()),
        ..backup(&job).head.clone()
    };
    let cancel = JobTransition::Backup(BackupTransition { head: Some(head), ..transition() });
    step(&records, &mut job, &cancel).await;
    assert_eq!(try_create(&records, backup_of("shop", "nightly")).await, Claim::LabelTaken(job.id()));
    let next = create(&records, backup_of("shop", "other")).await;
    let end = ending(&job, BackupState::Cancelled);
    step(&records, &mut job, &end).await;
    assert_eq!(try_create(&records, restore_into("shop")).await, Claim::SlotTaken(next.id()), "the slot is the next's");
    assert_eq!(try_create(&records, backup_of("b", "nightly")).await, Claim::Stored);
}

#[tokio::test]
async fn a_step_whose_answer_was_lost_does_not_take_claims_from_the_next_job() {
    let store = BrokenStore::new();
    let records = lead(&store).await;
    let mut job = create(&records, backup_of("shop", "nightly")).await;
    let end = ending(&job, BackupState::Finished);
    store.set(Some(Fault { after: 0, happens: true }));
    save(&records, &job, &end).await.unwrap_err();
    let next = create(&records, backup_of("shop", "nightly")).await;
    step(&records, &mut job, &end).await;
    assert_eq!(try_create(&records, restore_into("shop")).await, Claim::SlotTaken(next.id()));
    assert_eq!(try_create(&records, backup_of("b", "nightly")).await, Claim::LabelTaken(next.id()));
}

#[tokio::test]
async fn a_job_whose_creation_was_stored_but_not_answered_is_found() {
    let store = BrokenStore::new();
    let records = lead(&store).await;
    store.set(Some(Fault { after: 1, happens: true }));
    let job = create(&records, backup_of("shop", "nightly")).await;
    assert!(!store.is_set());
    assert_eq!(records.running().await.unwrap(), [job]);
}

#[tokio::test]
async fn as_many_jobs_of_a_database_run_as_there_are_slots() {
    let store = BrokenStore::new();
    let records = lead(&store).await.with_slots(3);
    let mut first = create(&records, backup_of("shop", "first")).await;
    let second = create(&records, restore_into("shop")).await;
    assert_eq!(try_create(&records, backup_of("shop", "first")).await, Claim::LabelTaken(first.id()));
    assert_eq!(records.occupant("shop").await.unwrap(), None);
    let third = create(&records, backup_of("shop", "third")).await;
    assert_eq!([first.slot(), second.slot(), third.slot()], [0, 1, 2]);
    assert_eq!(try_create(&records, backup_of("shop", "fourth")).await, Claim::SlotTaken(first.id()));
    assert_eq!(records.occupant("shop").await.unwrap(), Some(first.id()));
    assert_eq!(try_create(&records, backup_of("other", "fourth")).await, Claim::Stored);
    let end = ending(&first, BackupState::Finished);
    step(&records, &mut first, &end).await;
    let next = create(&records, backup_of("shop", "next")).await;
    assert_eq!(next.slot(), 0, "only its own slot was let go of");

    // A leader that allows fewer: those that run go on, and let go of what they have.
    let records = lead(&store).await;
    let mut third = records.running().await.unwrap().into_iter().find(|job| job.id() == third.id()).unwrap();
    assert_eq!(third.slot(), 2);
    assert_eq!(try_create(&records, restore_into("shop")).await, Claim::SlotTaken(next.id()));
    let end = ending(&third, BackupState::Cancelled);
    step(&records, &mut third, &end).await;
    let slots: Vec<String> = store.keys().await.into_iter().filter(|key| key.ends_with("/shop")).collect();
    assert_eq!(slots, ["slot/shop", "slot1/shop"]);
}
