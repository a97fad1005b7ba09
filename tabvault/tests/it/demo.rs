//! The demonstration ends well on a tree of real files, and notices when it should not.

use std::path::Path;

use tabvault_common::durable;

use crate::program::{refused, said, tabvault};

#[test]
fn everything_comes_back_and_nothing_is_left_behind() {
    let home = tempfile::tempdir().unwrap();
    let input = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = tabvault().env("TMPDIR", home.path()).arg("demo").arg("--input").arg(input).output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}{}", said(&output));
    let same = told.lines().filter(|line| line.ends_with("contents, kinds, link targets and permissions are the same"));
    assert_eq!(same.count(), 2, "{told}");
    assert!(std::fs::read_dir(home.path()).unwrap().next().is_none());
}

#[test]
fn what_cannot_be_loaded_ends_it_with_its_name() {
    let home = tempfile::tempdir().unwrap();
    let missing = tabvault().args(["demo", "--input", "/nowhere/at/all"]).output().unwrap();
    refused(&missing, 1, "look at --input /nowhere/at/all: No such file or directory");
    let input = home.path().join("in");
    std::fs::create_dir(&input).unwrap();
    durable::write_file(&input.join("file"), b"x").unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(input.join("socket")).unwrap();
    let output = tabvault().env("TMPDIR", home.path()).arg("demo").arg("--input").arg(&input).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("socket"), "{}", said(&output));
}
