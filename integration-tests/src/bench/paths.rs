//! Where benches work, and what paths mean that were typed.

use std::path::{Path, PathBuf};

/// A path as its writer meant it: relative to the directory in which `./bench` was typed, as `TABVAULT_BENCH_FROM` says;
/// cargo starts benches in another one.
#[must_use]
pub fn typed(path: impl AsRef<Path>) -> PathBuf {
    std::env::var_os("TABVAULT_BENCH_FROM").map_or_else(PathBuf::new, PathBuf::from).join(path)
}

/// Where a bench works: `TABVAULT_BENCH_DIR`, else `target/bench`.
#[must_use]
pub fn place() -> PathBuf {
    let default = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/bench");
    std::env::var_os("TABVAULT_BENCH_DIR").map_or_else(default, typed)
}
