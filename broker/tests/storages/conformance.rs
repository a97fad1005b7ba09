use tabvault_broker::conformance::run;
use tabvault_broker::open::{Options, open};
use tabvault_broker::process::Config;
use tabvault_common::access::StorageAccess;

use crate::moto::Moto;
use crate::process::Process;

fn directory() -> (tempfile::TempDir, StorageAccess) {
    let root = tempfile::tempdir().unwrap();
    let access = StorageAccess::direct(format!("file://{}/not/there/yet", root.path().display()));
    (root, access)
}

async fn memory() -> Options {
    Options { memory: true, ..Options::default() }
}

#[tokio::test]
async fn memory_conforms() {
    run(memory().await.open(&StorageAccess::direct("memory://")).await.unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_conforms() {
    let (_root, access) = directory();
    run(open(&access).await.unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s3_conforms() {
    let moto = Moto::start();
    run(open(&moto.access("s3://bucket/some/prefix")).await.unwrap()).await;
    run(open(&moto.access("s3://bucket")).await.unwrap()).await;
    let left = moto.ask("GET /bucket?uploads");
    assert!(!left.contains("<UploadId>"), "no upload is left unfinished: {left}");
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_behind_a_broker_conforms() {
    let process = Process::start(Config::default()).await;
    let access = process.through(&StorageAccess::direct("memory://conformance"));
    run(memory().await.open(&access).await.unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_behind_a_broker_conforms() {
    let process = Process::start(Config::default()).await;
    let (_root, access) = directory();
    run(open(&process.through(&access)).await.unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s3_behind_a_broker_conforms() {
    let moto = Moto::start();
    let process = Process::start(Config::default()).await;
    run(open(&process.through(&moto.access("s3://bucket/x"))).await.unwrap()).await;
}
