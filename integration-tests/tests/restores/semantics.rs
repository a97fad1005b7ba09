//! What the properties of a restore mean, each as its users read of it.

use tabvault_common::request::{RestoreRequest, Selection};
use tabvault_common::schema::TableDef;
use tabvault_integration_tests::checks;
use tabvault_integration_tests::cluster::alias;
use tabvault_integration_tests::crash::Side;

use crate::bench::{Bench, some, with};

impl Bench {
    fn of(&self, selection: Selection) -> RestoreRequest {
        RestoreRequest { selection, ..self.request.clone() }
    }

    async fn def(&self, table: &str) -> TableDef {
        self.cluster.fe().local().expect("built in").table("shop", table).await.expect("the table is there").def
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clean_tables_drops_what_the_restore_does_not_bring_but_no_table_that_it_brings_under_an_alias() {
    let bench = Bench::new().await;
    bench.cluster.load("shop.extra", &bench.new_tree(9), 2).await.expect("load");
    // What EXCLUDE names stays.
    bench.finish(with(&bench.of(Selection::Except(some("items", &[]))), "clean_tables", "true")).await;
    assert_eq!(bench.tables("shop").await, ["items", "sales"]);
    bench.finish(with(&bench.of(alias("items", "things")), "clean_tables", "true")).await;
    assert_eq!(bench.tables("shop").await, ["things"]);
    bench.check("shop.things", 4).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clean_partitions_drops_partitions_that_the_restore_does_not_bring() {
    let bench = Bench::new().await;
    bench.cluster.load("shop.sales/south", &bench.new_tree(9), 2).await.expect("load");
    let only = bench.of(Selection::Only(some("sales", &[])));
    bench.finish(only.clone()).await;
    assert_eq!(bench.partitions("shop.sales").await, ["east", "north", "south", "west"]);
    bench.finish(with(&only, "clean_partitions", "true")).await;
    assert_eq!(bench.partitions("shop.sales").await, ["east", "north", "west"]);
    bench.check("shop.sales/west", 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn atomic_restore_replaces_a_table_as_a_whole_and_force_replace_one_that_differs() {
    let bench = Bench::new().await;
    bench.cluster.load("shop.sales/south", &bench.new_tree(9), 2).await.expect("load");
    let atomic = with(&bench.of(Selection::Only(some("sales", &[]))), "atomic_restore", "true");
    let hold = bench.crash.hold("catalog publish", Side::Before);
    let started = bench.cluster.fe().restore(atomic).await.expect("the restore is accepted");
    assert!(started.notices.iter().any(|notice| notice.contains("south")), "{:?}", started.notices);
    hold.reached().await;
    bench.check("shop.sales/south", 9).await;
    hold.release();
    checks::assert_finished(&*bench.cluster.wait(started.id).await);
    assert_eq!(bench.partitions("shop.sales").await, ["east", "north", "west"]);
    bench.check("shop.sales/east", 1).await;

    let local = bench.cluster.fe().local().expect("built in");
    let snapshots = bench.def("items").await;
    local.drop_table("shop", "items").await.expect("drop");
    bench.cluster.load("shop.items/p", &bench.new_tree(10), 2).await.expect("load another table of that name");
    let atomic = with(&bench.of(Selection::Only(some("items", &[]))), "atomic_restore", "true");
    bench.refused(atomic.clone(), &["Table items already exist but with different schema"]).await;
    bench.finish(with(&atomic, "force_replace", "true")).await;
    assert_eq!(bench.def("items").await, snapshots);
    bench.check("shop.items", 4).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn loads_into_a_table_under_restore_are_refused_unless_allow_load_lets_them_through() {
    let bench = Bench::new().await;
    let newer = bench.new_tree(11);
    for allowed in [false, true] {
        let hold = bench.crash.hold("catalog publish", Side::Before);
        let request = with(&bench.request, "allow_load", if allowed { "true" } else { "false" });
        let id = bench.cluster.fe().restore(request).await.expect("the restore is accepted").id;
        hold.reached().await;
        assert_eq!(bench.cluster.fe().job(id).expect("the job is known").allow_load, allowed);
        let loaded = bench.cluster.load("shop.items", &newer, 2).await;
        match (loaded, allowed) {
            (Err(refused), false) => {
                assert!(refused.message.contains("Table items's state is not NORMAL: RESTORE"), "{refused}");
                bench.check("shop.items", 4).await;
            }
            (Ok(_), true) => bench.check("shop.items", 11).await,
            (loaded, _) => panic!("allow_load {allowed}: {loaded:?}"),
        }
        // A table that the restore makes has nothing to load into.
        hold.release();
        checks::assert_finished(&*bench.cluster.wait(id).await);
        bench.check("shop.items", 4).await;
    }
    bench.drop_tables().await;
    let hold = bench.crash.hold("catalog publish", Side::Before);
    let request = with(&bench.request, "allow_load", "true");
    let id = bench.cluster.fe().restore(request).await.expect("the restore is accepted").id;
    hold.reached().await;
    let refused = bench.cluster.load("shop.items", &newer, 2).await.expect_err("there is no table yet");
    assert!(refused.message.contains("Table items's state is not NORMAL: RESTORE"), "{refused}");
    hold.release();
    checks::assert_finished(&*bench.cluster.wait(id).await);
    bench.check("shop.items", 4).await;
}
