//! The store against a simple model: a version is a map from paths to contents.
#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use proptest::prelude::*;

#[path = "file_store/trees.rs"]
mod trees;
use trees::{export, load, open, restore};

/// `None` is a directory.
type Tree = BTreeMap<&'static str, Option<u8>>;

/// What one load brings: a subset of these, without a file above another path.
const PATHS: [&str; 8] = ["a", "a/b", "a/b/c", "a-b", "a/d", "e", "e/f", "g"];

fn is_above(above: &str, path: &str) -> bool {
    path.strip_prefix(above).is_some_and(|rest| rest.starts_with('/'))
}

/// A tree that can exist: of two paths one above the other, the upper is a directory.
fn a_tree() -> impl Strategy<Value = Tree> {
    proptest::collection::vec(proptest::option::of(0..3_u8), PATHS.len()).prop_map(|contents| {
        let mut tree = Tree::new();
        for (path, content) in PATHS.into_iter().zip(contents) {
            let Some(content) = content else { continue };
            if tree.iter().any(|(above, content)| content.is_some() && is_above(above, path)) {
                continue;
            }
            for above in PATHS.into_iter().filter(|above| is_above(above, path)) {
                tree.insert(above, None);
            }
            // An entry of 2 is an empty directory.
            tree.entry(path).or_insert((content < 2).then_some(content));
        }
        tree
    })
}

/// The model of a load: later over earlier, a file hides what was beneath it, anything hides a file above it.
fn lay_over(visible: &mut Tree, loaded: &Tree) {
    for (path, content) in loaded {
        visible.retain(|old, old_content| {
            let hidden = content.is_some() && is_above(path, old) || old_content.is_some() && is_above(old, path);
            !hidden
        });
        visible.insert(path, *content);
    }
}

fn write(dir: &Path, tree: &Tree) {
    fs::create_dir_all(dir).unwrap();
    for (path, content) in tree {
        match content {
            None => fs::create_dir_all(dir.join(path)).unwrap(),
            Some(content) => fs::write(dir.join(path), [*content]).unwrap(),
        }
    }
}

fn read(dir: &Path) -> BTreeMap<String, Option<u8>> {
    let found = walkdir::WalkDir::new(dir).min_depth(1).into_iter().map(Result::unwrap);
    found
        .map(|found| {
            let name = found.path().strip_prefix(dir).unwrap().to_str().unwrap().to_owned();
            (name, found.file_type().is_file().then(|| fs::read(found.path()).unwrap()[0]))
        })
        .collect()
}

async fn check(loads: Vec<Tree>, restore_after: usize, tablets: &[u64]) {
    let dir = tempfile::tempdir().unwrap();
    let first = open(&dir.path().join("first")).await;
    let second = open(&dir.path().join("second")).await;
    let (mut store, mut numbers) = (&first, tablets.to_vec());
    let mut expected = vec![Tree::new()];
    let mut base = 1;
    for (index, tree) in loads.iter().enumerate() {
        let source = dir.path().join(format!("source{index}"));
        write(&source, tree);
        let version = index as u64 + 2;
        let counted = load(store, &source, version, &numbers).await.unwrap();
        let mut visible = expected.last().unwrap().clone();
        lay_over(&mut visible, tree);
        let files = visible.values().filter(|content| content.is_some()).count() as u64;
        assert_eq!(counted.iter().map(|tablet| tablet.files).sum::<u64>(), files);
        expected.push(visible);
        if index == restore_after {
            numbers = restore(&first, &second, version, &numbers).await;
            store = &second;
            base = version;
        }
    }
    for (version, expected) in (1..).zip(&expected).filter(|(version, _)| *version >= base) {
        let target = dir.path().join(format!("target{version}"));
        export(store, &target, version, &numbers).await.unwrap();
        let expected: BTreeMap<_, _> = expected.iter().map(|(path, content)| ((*path).to_owned(), *content)).collect();
        assert_eq!(read(&target), expected, "version {version}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_version_shows_what_the_model_says(
        loads in proptest::collection::vec(a_tree(), 1..4),
        restore_after in 0..4_usize,
        tablets in 1..4_u64,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let tablets: Vec<u64> = (1..=tablets).collect();
        runtime.block_on(check(loads, restore_after, &tablets));
    }
}
