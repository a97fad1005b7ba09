//! The program `tabvault` as its users run it.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

/// Where the program is: as `TABVAULT_BIN` says, else it is built.
///
/// # Panics
/// If it cannot be built.
#[must_use]
pub fn program() -> PathBuf {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(find).clone()
}

fn find() -> PathBuf {
    if let Some(program) = std::env::var_os("TABVAULT_BIN") {
        return PathBuf::from(program);
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build.args(["build", "--quiet", "--package", "tabvault", "--message-format", "json"]);
    // What cargo tells a test of its own package: a build script that looks at it would be run again, and all that stands
    // on it be built again, here and then in the next run of the tests.
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")) {
            build.env_remove(name);
        }
    }
    let build = build.current_dir(env!("CARGO_MANIFEST_DIR")).output().expect("run cargo");
    let said = String::from_utf8_lossy(&build.stdout);
    let built = said.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let program = built.filter_map(|message| message["executable"].as_str().map(PathBuf::from)).next_back();
    program.unwrap_or_else(|| panic!("build tabvault: {}", String::from_utf8_lossy(&build.stderr)))
}

/// The password of `root` of all servers of the program that tests start.
pub const PASSWORD: &str = "of root, in tests";

/// The program as a server: on free ports unless told otherwise, with a password that clients know.
#[must_use]
pub fn server() -> Command {
    let mut command = Command::new(program());
    command.env("TABVAULT_ROOT_PASSWORD", PASSWORD).env("TABVAULT_MYSQL", "127.0.0.1:0").stdin(Stdio::null());
    command
}

/// Runs the program as a client of the coordinator at `fe` and answers with what it did.
///
/// # Panics
/// If it cannot be run.
#[must_use]
pub fn client(fe: &str, args: &[&str]) -> Output {
    let mut command = Command::new(program());
    command.args(args).env("TABVAULT_FE", fe).env("TABVAULT_PASSWORD", PASSWORD).stdin(Stdio::null());
    command.output().expect("run tabvault")
}

/// As [`client`], for what must not fail.
///
/// # Panics
/// If it does; with all that it said.
pub fn client_ok(fe: &str, args: &[&str]) -> String {
    let output = client(fe, args);
    let (said, complained) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "tabvault {args:?}: {}\n{said}\n{complained}", output.status);
    said.into_owned()
}
