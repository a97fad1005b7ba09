//! Golden files: what was told once is told for ever, or somebody changes the file on purpose.

use std::path::Path;
use std::process::Command;

use tabvault_common::durable;

/// Fails with the differences if `told` is not what a file holds; with `UPDATE_GOLDEN=1` in the environment the file is
/// written instead.
pub(crate) fn assert_told(golden: &Path, told: &str) {
    if std::env::var_os("UPDATE_GOLDEN").is_some_and(|update| update == "1") {
        return durable::write_file(golden, told.as_bytes()).expect("write a golden file");
    }
    let expected = std::fs::read_to_string(golden).unwrap_or_default();
    assert!(expected == told, "{}\nUPDATE_GOLDEN=1 accepts this.", difference(golden, told));
}

fn difference(golden: &Path, told: &str) -> String {
    let dir = tempfile::tempdir().expect("make a directory");
    let file = dir.path().join("told");
    durable::write_file(&file, told.as_bytes()).expect("write what is told");
    let diff = Command::new("diff").arg("-u").arg(golden).arg(&file).output().expect("run diff");
    String::from_utf8_lossy(&diff.stdout).into_owned()
}
