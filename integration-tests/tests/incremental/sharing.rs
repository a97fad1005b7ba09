//! What is shared, and what is stored.

use std::collections::BTreeMap;

use tabvault_common::repo::info::BackupType;
use tabvault_integration_tests::cluster::backup_request;
use tabvault_integration_tests::tree;

use crate::bench::{Bench, sum};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_of_what_is_unchanged_writes_three_small_objects() {
    let mut bench = Bench::new().await;
    for n in 0..8 {
        tree::write(&bench.source.join(format!("large{n}")), &tree::noise(90 + n, 3 << 20));
    }
    bench.load().await;
    bench.written();
    let first = bench.backup("first", &[]).await;
    let all = sum(&bench.written());

    let second = bench.incremental("second").await;
    let written = bench.written();
    let kinds = written.keys().map(|path| path.split('/').next_back().unwrap_or(""));
    assert_eq!(kinds.count(), 3, "intent, meta and info: {written:#?}");
    assert!(sum(&written) * 1000 < all, "{written:#?} of {all} bytes");
    assert_eq!((second.manifests.clone(), second.totals), (first.manifests.clone(), first.totals));
    assert_eq!((second.backup_type, second.parent.clone()), (BackupType::Incremental, Some(first.name())));
    assert_eq!(bench.intent(&second).parent, Some(first));
    bench.assert_restores(&second, &bench.source).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_changed_table_only_the_change_is_stored() {
    let mut bench = Bench::new().await;
    let first = bench.backup("first", &[]).await;
    bench.written();
    let change = tree::noise(7, 11_000);
    bench.change("d/f3", &change).await;

    let second = bench.incremental("second").await;
    let data: BTreeMap<String, u64> =
        bench.written().into_iter().filter(|(path, _)| path.contains("/o/") || path.contains("/p/")).collect();
    // Every tablet has a new version and with it a new description of itself.
    let descriptions = 12 << 10;
    assert!((11_000..11_000 + descriptions).contains(&sum(&data)), "{data:#?}");
    let shared = bench.shared(&second);
    for kind in ["/o/", "/p/"] {
        assert!(shared.iter().any(|path| path.contains(kind)), "{kind} of {shared:#?}");
    }
    assert!(shared.is_subset(&bench.reached(&first)), "{shared:#?}");
    bench.assert_restores(&second, &bench.source).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_that_were_not_loaded_are_shared_whole_beside_one_that_was() {
    let bench = Bench::new().await;
    bench.cluster.load("shop.quiet", &bench.source, 2).await.expect("load");
    let first = bench.backup("first", &[]).await;
    bench.change("d/f3", b"changed").await;
    let second = bench.incremental("second").await;
    let whole = second.manifests.iter().filter(|manifest| manifest.job == first.job.uuid).count();
    assert!(whole > 0 && whole < second.manifests.len(), "{:#?}", second.manifests);
    assert_eq!(second.totals.tablets, first.totals.tablets);
    bench.assert_restores(&second, &bench.source).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_would_be_shared_is_explained() {
    let bench = Bench::new().await;
    bench.cluster.load("shop.quiet", &bench.source, 2).await.expect("load");
    let first = bench.backup("first", &[]).await;
    let mut request = backup_request("shop", "second", "repo");
    request.properties.insert("type".to_owned(), "incremental".to_owned());
    let explained = bench.cluster.fe().explain_backup(&request).await;
    let work = explained.work.expect("it is accepted");
    assert_eq!((work.tablets, work.files, work.bytes, work.packs, work.objects), (6, 0, 0, 0, 0));
    assert!(explained.backends.is_empty());
    let (timestamp, bytes) = (&first.timestamp, first.totals.bytes);
    let said =
        format!("6 of 6 tablets are as they were in snapshot first of {timestamp} and are shared, {bytes} bytes");
    assert!(explained.notices[0].starts_with(&said), "{:?}", explained.notices);

    bench.change("d/f3", b"changed").await;
    let explained = bench.cluster.fe().explain_backup(&request).await;
    assert!(explained.notices[0].starts_with("3 of 6 tablets"), "{:?}", explained.notices);
    let work = explained.work.expect("it is accepted");
    assert!(work.files > 0 && work.bytes < bytes && !explained.backends.is_empty(), "{work:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_are_shared_however_they_were_compressed_and_packed() {
    let mut bench = Bench::new().await;
    let first = bench.backup("first", &[("compression", "none"), ("max_file_size", "1M")]).await;
    bench.written();
    // The same files under new names and on new inodes: they are known by their contents.
    bench.load().await;
    let second = bench.backup("second", &[("type", "incremental"), ("compression", "best")]).await;
    let written = bench.written();
    assert!(!written.keys().any(|path| path.contains("/o/")), "{written:#?}");
    assert!(!bench.shared(&second).is_disjoint(&bench.reached(&first)));
    assert!(sum(&written) < 40 << 10, "{written:#?}");
    bench.assert_restores(&second, &bench.source).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_backup_after_an_incremental_one_shares_nothing() {
    let bench = Bench::new().await;
    bench.backup("first", &[]).await;
    bench.change("d/f3", b"changed").await;
    let second = bench.incremental("second").await;
    assert!(!bench.shared(&second).is_empty());
    let third = bench.backup("third", &[("type", "full")]).await;
    assert_eq!((bench.shared(&third).len(), third.parent.clone()), (0, None));
    assert_eq!(bench.intent(&third).parent, None);
    bench.assert_restores(&third, &bench.source).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_in_a_shared_object_names_that_object() {
    let bench = Bench::new().await;
    bench.backup("first", &[]).await;
    bench.change("d/f3", b"changed").await;
    let second = bench.incremental("second").await;
    let mut request = bench.cluster.restore_request("shop", "second", "repo", 1).await;
    request.into = Some("copy".to_owned());
    let mut named = 0;
    for path in bench.shared(&second) {
        let place = bench.root().join(&path);
        let whole = std::fs::read(&place).expect("read an object");
        let mut damaged = whole.clone();
        damaged[whole.len() / 2] ^= 1;
        tree::write(&place, &damaged);
        let said = match bench.cluster.restore(request.clone()).await {
            Err(failure) => failure.to_string(),
            Ok(job) => job.status.as_ref().map(ToString::to_string).unwrap_or_default(),
        };
        // Of a pack that is shared, a part may be wanted no more.
        let unwanted = path.contains("/p/") && said.is_empty();
        assert!(said.contains(&path) || unwanted, "{path}: {said}");
        tree::write(&place, &whole);
        named += usize::from(!unwanted);
        if unwanted {
            bench.cluster.fe().local().expect("built in").drop_table("copy", "files").await.expect("drop");
        }
    }
    assert!(named >= 2, "an object and a pack");
    bench.assert_restores(&second, &bench.source).await;
}
