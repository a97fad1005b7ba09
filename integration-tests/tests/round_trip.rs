//! Real files through a whole cluster and back.

use tabvault_integration_tests::cluster::{Cluster, alias};
use tabvault_integration_tests::tree;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tree_comes_back_as_it_was() {
    let _ = tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_test_writer()
        .try_init();
    let dir = tempfile::tempdir().expect("a directory");
    let source = dir.path().join("source");
    tree::make(&source, 1, 400);
    let cluster = Cluster::start(&dir.path().join("cluster"), 3).await;
    cluster.repository("repo").await;
    let loaded = cluster.load("shop.files", &source, 2).await.expect("load");
    assert!(loaded.files > 400);

    let job = cluster.backup("shop", "first", "repo").await.expect("back up");
    assert_eq!((job.state.as_str(), &job.status), ("FINISHED", &None));

    cluster.fe().local().expect("built in").drop_table("shop", "files").await.expect("drop");
    let request = cluster.restore_request("shop", "first", "repo", 3).await;
    let job = cluster.restore(request.clone()).await.expect("restore");
    assert_eq!((job.state.as_str(), &job.status), ("FINISHED", &None));
    let out = dir.path().join("out");
    cluster.export("shop.files", &out).await.expect("export");
    tree::assert_same(&source, &out);

    let mut request = request;
    request.selection = alias("files", "copy");
    request.into = Some("other".to_owned());
    let job = cluster.restore(request).await.expect("restore");
    assert_eq!((job.state.as_str(), &job.status), ("FINISHED", &None));
    let out = dir.path().join("out2");
    cluster.export("other.copy", &out).await.expect("export");
    tree::assert_same(&source, &out);
}
