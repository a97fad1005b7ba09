//! The way to find garbage by hand that `docs/repository-format.md` shows, run as it stands.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use tabvault_common::repo::layout;
use tabvault_integration_tests::tree;

use crate::bench::Bench;

/// The jobs whose data the page says may be removed from the repository of the bench.
fn garbage(bench: &Bench) -> BTreeSet<String> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/repository-format.md");
    let page = std::fs::read_to_string(page).expect("read the page");
    let mut blocks = page.split("\n```sh\n").skip(1).filter_map(|rest| rest.split("\n```\n").next());
    let block = blocks.find(|block| block.contains("comm -23")).expect("the page has its block");
    let root = bench.root().display().to_string();
    let temporary = format!(" {}/tmp-", bench.dir.path().display());
    let script = block.replace("/tmp/tv-repo/__tabvault_repository_nas", &root).replace(" /tmp/", &temporary);
    let output = Command::new("bash").args(["-euo", "pipefail", "-c", &script]).output().expect("run bash");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("names of jobs").lines().map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_found_by_hand_is_reached_by_no_snapshot() {
    let bench = Bench::new().await;
    let (mut made, mut before) = (Vec::new(), bench.source.clone());
    for n in 0..3_u64 {
        before = bench.kept(&format!("tree{n}"));
        made.push(bench.incremental(&format!("s{n}")).await);
        bench.change(&format!("d/f{n}"), &tree::noise(70 + n, 4000)).await;
    }
    let other = bench.backup("other", &[]).await;
    bench.drop_snapshot(&made[0]);
    bench.drop_snapshot(&made[1]);
    bench.drop_snapshot(&other);
    assert_eq!(garbage(&bench), BTreeSet::new(), "intents protect what their jobs wrote");
    // As if garbage had been collected before: of the dropped ones' intents nothing is left.
    let kept = bench.root().join(layout::intent(made[2].job.uuid));
    for intent in std::fs::read_dir(bench.root().join("__intents")).expect("list the intents") {
        let intent = intent.expect("an intent").path();
        if intent != kept {
            std::fs::remove_file(intent).expect("remove an intent");
        }
    }
    let garbage = garbage(&bench);
    assert!(garbage.contains(&other.job.uuid.to_string()), "{garbage:?}");
    for job in &garbage {
        let data = format!("__data/{job}/");
        assert!(!bench.reached(&made[2]).iter().any(|path| path.starts_with(&data)), "{job} is reached");
        std::fs::remove_dir_all(bench.root().join(&data)).expect("remove garbage");
    }
    bench.assert_restores(&made[2], &before).await;
}
