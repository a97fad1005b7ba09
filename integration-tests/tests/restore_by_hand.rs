//! The page `docs/restore-by-hand.md`, run as it stands.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tabvault_common::request::{BackupRequest, Selection};
use tabvault_integration_tests::checks::{assert_finished, fast_dir};
use tabvault_integration_tests::cluster::Cluster;
use tabvault_integration_tests::tree;

/// The blocks of bash on the page, one after the other.
fn script() -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/restore-by-hand.md");
    let page = fs::read_to_string(page).expect("read the page");
    let blocks = page.split("\n```bash\n").skip(1).map(|rest| rest.split("\n```\n").next().expect("a block ends"));
    let script = blocks.collect::<Vec<_>>().join("\n\n");
    assert!(script.contains("b3sum --check") && script.contains("zstd -dq"), "the page has its blocks:\n{script}");
    script
}

/// Runs the page.
fn run(repository: &Path, variables: &[(&str, &str)], out: &Path) -> Output {
    let mut bash = Command::new("bash");
    bash.args(["-euo", "pipefail", "-c", &script()]).env("REPO", repository).env("OUT", out);
    for name in ["LABEL", "TABLE", "TIMESTAMP", "WORK"] {
        bash.env_remove(name);
    }
    bash.envs(variables.iter().copied()).output().expect("run bash")
}

fn restore(repository: &Path, variables: &[(&str, &str)], out: &Path) {
    let output = run(repository, variables, out);
    let (said, complained) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "the page ends with {}:\n{said}\n{complained}", output.status);
    assert!(said.contains("restored table"), "{said}");
    assert!(!out.with_extension("work").exists(), "the page leaves nothing behind");
}

/// Names, kinds, permissions, times to the nanosecond, and links' targets, of directories and links, too.
fn attributes(root: &Path) -> Vec<String> {
    let find = Command::new("find").arg(root).args(["-mindepth", "1", "-printf", "%P %y %m %T@ %l\\0"]).output();
    let output = find.expect("run find").stdout;
    let mut all: Vec<_> = output.split(|byte| *byte == 0).map(|line| line.escape_ascii().to_string()).collect();
    all.sort_unstable();
    all
}

fn assert_same(source: &Path, out: &Path) {
    tree::assert_same(source, out);
    let (expected, found) = (attributes(source), attributes(out));
    for (expected, found) in expected.iter().zip(&found) {
        assert_eq!(expected, found);
    }
    assert_eq!(expected.len(), found.len());
}

/// A backup that shares with the one before, if there is one.
async fn backup(cluster: &Cluster, label: &str, compression: &str) {
    let request = BackupRequest {
        database: "shop".to_owned(),
        label: label.to_owned(),
        repository: "repo".to_owned(),
        selection: Selection::All,
        properties: [("compression", compression), ("type", "incremental")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
    };
    let id = cluster.fe().backup(request).await.expect("back up").id;
    assert_finished(&*cluster.wait(id).await);
}

/// What a second load changes: contents, kinds, attributes, and some that is new.
fn change(source: &Path) {
    tree::write(&source.join("large.text"), &tree::noise(99, 2 << 20));
    tree::write(&source.join("with space"), b"changed");
    tree::write(&source.join("d0/new"), b"new");
    fs::remove_file(source.join("empty.file")).expect("remove a file");
    fs::create_dir_all(source.join("empty.file/within")).expect("make a directory");
    fs::remove_dir_all(source.join("d6")).expect("remove a directory");
    symlink("d5", source.join("d6")).expect("make a link");
    fs::remove_file(source.join("dangling")).expect("remove a link");
    tree::write(&source.join("dangling"), b"a file now");
    for (name, mode) in [("d1", 0o555), ("d0/new", 0o4711), ("with space", 0o600)] {
        fs::set_permissions(source.join(name), fs::Permissions::from_mode(mode)).expect("set permissions");
    }
}

/// Names that a careless script trips over.
fn make_traps(source: &Path) {
    for name in
        ["%41", "100%", "$(exit 3)", "`exit 3`", "*", "~", "a & b;c", "tab\there", "ends\n", "-n", "\\x41", "x.zst"]
    {
        tree::write(&source.join(name), name.as_bytes());
    }
    fs::create_dir(source.join("-dir\n")).expect("make a directory");
    tree::write(&source.join("-dir\n/-file"), b"in an odd directory");
    symlink("-n", source.join("-link")).expect("make a link");
    symlink("odd\n%41\\", source.join("link\n")).expect("make a link");
}

/// Lets whoever is not root remove the trees.
fn open_up(dir: &Path) {
    Command::new("chmod").args(["-R", "u+rwX"]).arg(dir).status().expect("run chmod");
}

fn repository(dir: &Path) -> PathBuf {
    dir.join("cluster/repo/__tabvault_repository_repo")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_brings_tables_back() {
    let dir = fast_dir();
    let (source, part) = (dir.path().join("source"), dir.path().join("part"));
    tree::make(&source, 5, 250);
    make_traps(&source);
    tree::make(&part, 6, 10);
    let cluster = Cluster::start(&dir.path().join("cluster"), 2).await;
    cluster.repository("repo").await;
    cluster.load("shop.files", &source, 1).await.expect("load");
    let before = dir.path().join("before");
    Command::new("cp").arg("-a").arg(&source).arg(&before).status().expect("run cp");
    backup(&cluster, "first", "balanced").await;
    let timestamp = cluster.timestamp("repo", "first").await;

    change(&source);
    cluster.load("shop.files", &source, 1).await.expect("load again");
    cluster.load("shop.parts/p1", &part, 1).await.expect("load a partition");
    cluster.load("shop.parts/p2", &before, 1).await.expect("load a partition");
    backup(&cluster, "second", "none").await;
    let repository = repository(dir.path());

    let out = dir.path().join("first");
    restore(&repository, &[("LABEL", "first"), ("TABLE", "files"), ("TIMESTAMP", &timestamp)], &out);
    assert_same(&before, &out);
    let out = dir.path().join("second");
    restore(&repository, &[("LABEL", "second"), ("TABLE", "files")], &out);
    assert_same(&source, &out);
    let out = dir.path().join("parts");
    restore(&repository, &[("LABEL", "second"), ("TABLE", "parts")], &out);
    assert_eq!(fs::read_dir(&out).expect("list").count(), 2);
    assert_same(&part, &out.join("p1"));
    assert_same(&before, &out.join("p2"));
    open_up(dir.path());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_stops_at_damage_and_names_it() {
    let dir = fast_dir();
    let source = dir.path().join("source");
    tree::make(&source, 7, 20);
    let cluster = Cluster::start(&dir.path().join("cluster"), 1).await;
    cluster.repository("repo").await;
    cluster.load("shop.files", &source, 1).await.expect("load");
    backup(&cluster, "label", "balanced").await;
    let repository = repository(dir.path());
    let timestamp = cluster.timestamp("repo", "label").await;

    let found = Command::new("find").current_dir(&repository).args(["__data", "__ss_label", "-type", "f"]).output();
    let found = String::from_utf8(found.expect("run find").stdout).expect("paths of a repository are text");
    assert!(["/m/", "/o/", "/p/", "__info_"].iter().all(|kind| found.contains(kind)), "{found}");
    for (n, object) in found.lines().enumerate() {
        let path = repository.join(object);
        let good = fs::read(&path).expect("read an object");
        let mut bad = good.clone();
        // Of a pack, a byte of its first entry: nobody reads the trailer here.
        bad[20] ^= 1;
        tree::write(&path, &bad);
        let out = dir.path().join(format!("out{n}"));
        let output = run(&repository, &[("LABEL", "label"), ("TABLE", "files")], &out);
        tree::write(&path, &good);
        let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{object} is damaged, and nothing is said:\n{said}");
        // Files are named as the tablet knows them; what they are stored in stands in the list of files.
        let list = fs::read_to_string(out.with_extension("work").join("files")).unwrap_or_default();
        let is_named = |line: &str| {
            let fields: Vec<&str> = line.split('\t').collect();
            fields[2] == object && said.contains(&format!("{}/{}", fields[0], fields[1]))
        };
        assert!(said.contains(object) || list.lines().any(is_named), "{object} is damaged, and not named:\n{said}");
    }
    let out = dir.path().join("whole");
    restore(&repository, &[("LABEL", "label"), ("TABLE", "files"), ("TIMESTAMP", &timestamp)], &out);
    assert_same(&source, &out);

    let output = run(&repository, &[("LABEL", "label"), ("TABLE", "other")], &dir.path().join("other"));
    assert!(String::from_utf8_lossy(&output.stderr).contains("the snapshot has no table other"));
    open_up(dir.path());
}
