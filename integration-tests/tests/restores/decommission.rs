//! Backends that are taken out of the cluster.

use std::time::{Duration, Instant};

use tabvault_common::ids::BackendId;
use tabvault_integration_tests::checks;
use tabvault_integration_tests::cluster::Setup;
use tabvault_integration_tests::crash::Side;

use crate::bench::{Bench, LOADED};

impl Bench {
    /// The backend of agent number `n`.
    fn backend(&self, n: usize) -> BackendId {
        let host = format!("be{n}");
        let shown = self.cluster.fe().agents().show();
        shown.into_iter().find(|backend| backend.host == host).expect("the backend is known").id
    }

    async fn wait_forgotten(&self, backend: BackendId) {
        for _ in 0..800 {
            if self.cluster.fe().agents().show().iter().all(|shown| shown.id != backend) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("it is still there: {:?}", self.cluster.fe().agents().show());
    }

    async fn is_used(&self, backend: BackendId) -> bool {
        let local = self.cluster.fe().local().expect("built in");
        let mut used = false;
        for table in self.tables("shop").await {
            let tablets =
                tabvault_fe_coordinator::catalog::Catalog::show_tablets(&**local, "shop", &table, None, None, 999);
            used |= tablets.await.expect("show the tablets").iter().any(|tablet| tablet.backend == backend);
        }
        used
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backend_that_is_alive_is_emptied_and_then_forgotten() {
    let bench = Bench::with(3, Setup::default()).await;
    let backend = bench.backend(0);
    assert!(bench.is_used(backend).await);
    let notices = bench.cluster.fe().decommission(backend).await.expect("others have all");
    assert!(notices[0].contains("replicas have left the catalog"), "{notices:?}");
    assert!(!bench.is_used(backend).await);
    bench.wait_forgotten(backend).await;
    let tablets = std::fs::read_dir(bench.cluster.dir.join("be0/data/data")).expect("list the tablets").count();
    assert_eq!(tablets, 0, "its agent has removed them");
    for (table, seed) in LOADED {
        bench.check(table, seed).await;
    }
    bench.cluster.load("shop.items", &bench.new_tree(9), 2).await.expect("load");
    bench.finish(bench.request.clone()).await;
    assert!(!bench.is_used(backend).await);
    let unknown = bench.cluster.fe().decommission(backend).await.expect_err("nobody knows it any more");
    assert!(unknown.message.starts_with(&format!("Unknown backend '{backend}'")), "{unknown}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backend_that_is_gone_for_good_holds_nobody_up_after_the_next_start() {
    let mut bench = Bench::with(3, Setup::default()).await;
    let backend = bench.backend(2);
    bench.cluster.stop_be(2).await;
    for _ in 0..800 {
        if !bench.cluster.fe().agents().is_alive(backend) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    bench.cluster.fe().decommission(backend).await.expect("others have all");
    bench.wait_forgotten(backend).await;
    // Whoever waits for it waits for as long as this.
    bench.cluster.setup.patience = Duration::from_secs(60);
    bench.cluster.restart_fe().await;
    bench.cluster.all_attached().await;
    let began = Instant::now();
    checks::assert_finished(&bench.cluster.backup("shop", "after", "repo").await.expect("back up"));
    assert!(began.elapsed() < Duration::from_secs(50), "{:?}", began.elapsed());
    for (table, seed) in LOADED {
        bench.check(table, seed).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backend_that_is_needed_stays() {
    let bench = Bench::with(2, Setup::default()).await;
    bench.cluster.load("shop.alone", &bench.new_tree(9), 1).await.expect("load");
    let views = bench.cluster.fe().catalog().show_tablets("shop", "alone", None, None, 9).await.expect("show tablets");
    let backend = views[0].backend;
    let refused = bench.cluster.fe().decommission(backend).await.expect_err("it has the only replica");
    for words in ["cannot be decommissioned", "the first of table shop.alone", "back such tables up"] {
        assert!(refused.message.contains(words), "{refused}");
    }
    assert!(bench.cluster.fe().agents().show().iter().all(|shown| shown.error.is_none()), "nothing has changed");
    assert_eq!(bench.cluster.fe().agents().room().len(), 2);

    let hold = bench.crash.hold("catalog publish", Side::Before);
    let id = bench.cluster.fe().restore(bench.request.clone()).await.expect("it is accepted").id;
    hold.reached().await;
    let refused = bench.cluster.fe().decommission(backend).await.expect_err("a restore writes to it");
    assert!(refused.message.contains(&format!("job {id} needs it")), "{refused}");
    hold.release();
    checks::assert_finished(&*bench.cluster.wait(id).await);
}
