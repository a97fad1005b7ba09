#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::store::file::entry::Mode;
use crate::store::file::path::RawBytes;

fn path(text: &str) -> TreePath {
    TreePath::new(text.into()).unwrap()
}

fn directory(text: &str) -> Entry {
    Entry::Directory { path: path(text), mode: Mode(0o755), mtime: None, empty: false }
}

fn leaf(text: &str) -> Entry {
    Entry::Symlink { path: path(text), mtime: None, target: RawBytes(b"t".to_vec()) }
}

fn gone(text: &str) -> Entry {
    Entry::Gone { path: path(text) }
}

fn merge(layers: Vec<Vec<Entry>>) -> Result<Vec<Entry>> {
    let layer = |mut entries: Vec<Entry>| -> Layer<'static> {
        entries.sort_unstable_by(|a, b| a.path().cmp(b.path()));
        Box::new(entries.into_iter().map(Ok))
    };
    Visible::of(layers.into_iter().map(layer).collect()).collect()
}

fn visible(layers: Vec<Vec<Entry>>) -> Vec<String> {
    merge(layers).unwrap().iter().map(|entry| entry.path().to_string()).collect()
}

#[test]
fn a_leaf_hides_what_was_a_directory_with_all_in_it() {
    let before = vec![directory("a"), leaf("a/b"), leaf("a-b"), directory("a/c"), leaf("a/c/d")];
    assert_eq!(visible(vec![before, vec![leaf("a")]]), ["a", "a-b"]);
}

#[test]
fn a_path_in_a_former_leaf_hides_the_leaf() {
    assert_eq!(visible(vec![vec![leaf("a")], vec![leaf("a/b/c")]]), ["a/b/c"]);
    assert_eq!(visible(vec![vec![leaf("a/b")], vec![directory("a")], vec![leaf("a/b/c")]]), ["a", "a/b/c"]);
}

#[test]
fn a_directory_that_comes_again_keeps_what_is_in_it() {
    assert_eq!(visible(vec![vec![directory("a"), leaf("a/b")], vec![directory("a")]]), ["a", "a/b"]);
}

#[test]
fn what_is_gone_is_not_visible_but_has_hidden_what_it_hid() {
    assert_eq!(visible(vec![vec![leaf("a/b"), leaf("a/c")], vec![gone("a/b")]]), ["a/c"]);
    assert_eq!(visible(vec![vec![leaf("a")], vec![leaf("a/b")], vec![gone("a/b")]]), [""; 0]);
    assert_eq!(visible(vec![vec![leaf("a/b")], vec![leaf("a")], vec![directory("a")]]), ["a"]);
}

#[test]
fn a_layer_out_of_order_and_a_layer_that_fails_end_the_stream_with_that() {
    let layers: Vec<Layer<'static>> =
        vec![Box::new([leaf("a")].map(Ok).into_iter()), Box::new([leaf("c"), leaf("b")].map(Ok).into_iter())];
    let all: Vec<_> = Visible::of(layers).collect();
    assert_eq!(all.last().unwrap().as_ref().unwrap_err().kind, Kind::Corrupt);
    assert!(all.iter().rev().skip(1).all(Result::is_ok));
    let failed = Err(Failure::fatal(Kind::Corrupt, "torn"));
    let layers: Vec<Layer<'static>> = vec![Box::new([Ok(leaf("a")), failed, Ok(leaf("b"))].into_iter())];
    let all: Vec<_> = Visible::of(layers).collect();
    assert_eq!(all.last().unwrap().as_ref().unwrap_err().message, "torn");
}

/// The same by applying one entry after another.
fn applied(layers: &[Vec<Entry>]) -> Vec<Entry> {
    let mut all: BTreeMap<TreePath, Entry> = BTreeMap::new();
    for entry in layers.iter().flatten() {
        let path = entry.path();
        all.remove(path);
        if matches!(entry, Entry::Gone { .. }) {
            continue;
        }
        all.retain(|other, there| {
            let covered = entry.counts() && other.is_beneath(path.as_bytes());
            !(covered || there.counts() && path.is_beneath(other.as_bytes()))
        });
        all.insert(path.clone(), entry.clone());
    }
    all.into_values().collect()
}

/// What a load can bring: a tree, and what of earlier ones is gone, by ascending path.
fn layer() -> impl Strategy<Value = Vec<Entry>> {
    let name = prop::sample::select(vec!["a", "a/b", "a/b/c", "a/b/d", "a/c", "a-", "b", "b/a", "b/a/a"]);
    let kind = prop::sample::select(vec![directory as fn(&str) -> Entry, leaf, leaf, gone]);
    prop::collection::btree_map(name, kind, 0..6).prop_map(|entries| {
        let mut entries: Vec<Entry> = entries.into_iter().map(|(name, kind)| kind(name)).collect();
        entries.sort_unstable_by(|a, b| a.path().cmp(b.path()));
        entries
    })
}

proptest! {
    #[test]
    fn merged_layers_are_what_applying_them_one_by_one_leaves(layers in prop::collection::vec(layer(), 0..6)) {
        prop_assert_eq!(merge(layers.clone()).unwrap(), applied(&layers));
    }
}
