//! Attaching, staying attached, and whom the agent listens to.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use tabvault_be_agent::agent::Agent;
use tabvault_common::failure::Kind;
use tabvault_common::ids::{BackendId, ClusterId, Epoch, JobUuid, TabletId};
use tabvault_common::task::{JobEnd, TaskResult};

use crate::cluster::{Cluster, EPOCH, VERSION, create, done, key, snapshot};
use crate::coordinator::{Answer, Coordinator, soon};

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_says_who_it_is_and_remembers_where_it_belongs() {
    let (mut cluster, mut stream) = Cluster::start().await;
    assert_eq!((&stream.hello.cluster, stream.hello.highest_epoch), (&None, 0));
    soon("the attachment", cluster.agent().wait_attached()).await.unwrap();
    assert_eq!(cluster.agent().backend_id(), Some(BackendId(3)));
    assert_eq!(cluster.agent().status().attached_to, Some(cluster.coordinator.address.clone()));
    let heartbeat = stream.heartbeat().await;
    assert!(heartbeat.available_bytes > 0);
    assert_eq!((heartbeat.tablets, heartbeat.running_tasks), (0, 0));

    cluster.stop_agent().await;
    stream.gone().await;
    let again = cluster.start_agent().await;
    assert_eq!(again.hello.cluster, Some(cluster.id.into()));
    assert_eq!(again.hello.highest_epoch, EPOCH.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_are_sent_on_every_stream_until_they_are_acknowledged() {
    let (mut cluster, mut stream) = Cluster::start().await;
    let job = JobUuid::random();
    cluster.store.fill(TabletId(1), VERSION, &BTreeMap::new());
    stream.task(&snapshot(key(job, 1, 1), &[TabletId(1)])).await;
    let first = stream.report().await;
    drop(stream);
    let mut stream = cluster.coordinator.stream().await;
    assert_eq!(stream.report().await, first);
    stream.acknowledge(first.key).await;
    // The next task's report shows that the acknowledgement was heard.
    stream.run(&snapshot(key(job, 2, 1), &[TabletId(1)])).await;
    drop(stream);
    let mut stream = cluster.coordinator.stream().await;
    let next = stream.run(&snapshot(key(job, 3, 1), &[TabletId(1)])).await;
    assert_eq!(next.key.task.0, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_finds_the_coordinator_that_answers() {
    let dead = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = format!("http://{}", dead.local_addr().unwrap());
    drop(dead);
    let (cluster, _stream) = Cluster::with(|config| config.fe.insert(0, nobody)).await;
    soon("the attachment", cluster.agent().wait_attached()).await.unwrap();
    assert_eq!(cluster.agent().status().last_error.map(|error| error.kind), Some(Kind::Unreachable));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_coordinator_of_another_cluster_is_refused_while_others_are_tried() {
    let (mut cluster, stream) = Cluster::start().await;
    cluster.stop_agent().await;
    drop(stream);
    let foreign = Answer { cluster: ClusterId::random(), epoch: Epoch(99), backend: 3 };
    let mut other = Coordinator::start(foreign).await;
    cluster.config.fe.insert(0, other.address.clone());
    let mut own = cluster.start_agent().await;
    other.stream().await.gone().await;
    own.heartbeat().await;
    let status = cluster.agent().status();
    assert_eq!((status.cluster, status.highest_epoch), (Some(cluster.id), EPOCH));
    let error = status.last_error.unwrap();
    assert_eq!(error.kind, Kind::Stale);
    assert!(error.message.contains(&format!("this agent belongs to cluster {}", cluster.id)), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_coordinator_is_refused_until_a_newer_one_leads() {
    let (mut cluster, stream) = Cluster::start().await;
    cluster.coordinator.answer_with(|answer| answer.epoch = Epoch(4));
    drop(stream);
    cluster.coordinator.stream().await.gone().await;
    let error = soon("the refusal", async {
        loop {
            match cluster.agent().status().last_error {
                Some(error) if error.kind == Kind::Stale => return error,
                _ => tokio::task::yield_now().await,
            }
        }
    })
    .await;
    assert!(error.message.contains("stale coordinator"), "{error}");

    cluster.coordinator.answer_with(|answer| answer.epoch = Epoch(6));
    soon("the new leader", async {
        let mut hello = cluster.coordinator.stream().await;
        while cluster.agent().status().highest_epoch != Epoch(6) {
            tokio::select! {
                next = cluster.coordinator.stream() => hello = next,
                () = tokio::task::yield_now() => {}
            }
        }
        hello.heartbeat().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_of_a_lower_epoch_is_refused_and_touches_nothing() {
    let (cluster, mut stream) = Cluster::start().await;
    let mut stale = create(key(JobUuid::random(), 1, 1), TabletId(1), None);
    stale.epoch = Epoch(EPOCH.0 - 1);
    let failure = stream.run(&stale).await.outcome.unwrap_err();
    assert_eq!(failure.kind, Kind::Stale);
    assert!(!cluster.store.dir(TabletId(1)).exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_of_a_higher_epoch_is_remembered_before_it_runs() {
    let (mut cluster, mut stream) = Cluster::start().await;
    let mut newer = create(key(JobUuid::random(), 1, 1), TabletId(1), None);
    newer.epoch = Epoch(EPOCH.0 + 4);
    done(stream.run(&newer).await);
    cluster.stop_agent().await;
    cluster.coordinator.answer_with(|answer| answer.epoch = newer.epoch);
    assert_eq!(cluster.start_agent().await.hello.highest_epoch, newer.epoch.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_job_stops_its_tasks_and_sweeps_what_it_left() {
    let (cluster, mut stream) = Cluster::start().await;
    let (job, other) = (JobUuid::random(), JobUuid::random());
    cluster.store.fill(TabletId(1), VERSION, &BTreeMap::from([("a".into(), vec![1])]));
    for job in [job, other] {
        done(stream.run(&snapshot(key(job, 1, 1), &[TabletId(1)])).await);
    }
    done(stream.run(&create(key(job, 2, 1), TabletId(2), Some(TabletId(1)))).await);
    stream.run(&cluster.upload(key(job, 3, 1), &[TabletId(1)])).await;
    let mut both = [job, other];
    both.sort();
    stream.leftovers(&both).await;

    // One task is in the middle of a call into the store: the sweep waits for it.
    cluster.store.hold_pins();
    let pins = cluster.store.pins.load(Ordering::SeqCst);
    cluster.store.fill(TabletId(3), VERSION, &BTreeMap::new());
    stream.task(&snapshot(key(job, 4, 1), &[TabletId(3)])).await;
    soon("the pin", cluster.store.pinned_more_than(pins)).await;
    stream.end(job, false).await;
    stream.heartbeat().await;
    assert!(cluster.store.settled.lock().unwrap().is_empty());
    cluster.store.let_pins_go();

    stream.leftovers(&[other]).await;
    assert_eq!(*cluster.store.settled.lock().unwrap(), [(job, JobEnd::Discarded)]);
    assert!(!cluster.store.dir(TabletId(2)).exists(), "the hidden tablet stayed");
    for kind in ["snapshot", "reuse"] {
        assert!(!cluster.store.work().join(kind).join(job.to_string()).exists(), "{kind}");
    }
    assert!(!cluster.dir.path().join("state/journal").join(job.to_string()).exists());
    assert!(cluster.store.work().join("snapshot").join(other.to_string()).exists());
    // What comes later for the job is handled after its end.
    let again = done(stream.run(&snapshot(key(job, 4, 1), &[TabletId(1)])).await);
    assert!(matches!(again, TaskResult::Snapshotted { .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_agent_names_what_earlier_jobs_left() {
    let (mut cluster, mut stream) = Cluster::start().await;
    let job = JobUuid::random();
    cluster.store.fill(TabletId(1), VERSION, &BTreeMap::new());
    done(stream.run(&snapshot(key(job, 1, 1), &[TabletId(1)])).await);
    cluster.stop_agent().await;
    let mut stream = cluster.start_agent().await;
    assert_eq!(stream.hello.state.clone().unwrap().leftovers, [job.into()]);
    stream.end(job, true).await;
    stream.leftovers(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_agent_on_the_same_state_directory_is_refused() {
    let (cluster, _stream) = Cluster::start().await;
    let second = Agent::start(cluster.config.clone(), cluster.store.clone(), None).await;
    assert_eq!(second.unwrap_err().kind, Kind::Busy);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restart_of_the_machine_snapshots_are_taken_again() {
    let (mut cluster, mut stream) = Cluster::start().await;
    let job = JobUuid::random();
    cluster.store.fill(TabletId(1), VERSION, &BTreeMap::new());
    cluster.back_up(&mut stream, job, &[TabletId(1)]).await;
    cluster.stop_agent().await;
    let path = cluster.dir.path().join("state/agent.json");
    let mut remembered: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    remembered["boot"] = "an earlier one".into();
    std::fs::write(&path, remembered.to_string()).unwrap();
    let stream = cluster.start_agent().await;
    assert_eq!(stream.hello.state.clone().unwrap().leftovers, [], "what may be torn was kept");
    assert_eq!(stream.hello.cluster, Some(cluster.id.into()));
}
