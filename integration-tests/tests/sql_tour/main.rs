//! The SQL tour: a script of some hundred statements through `mariadb` and through `tabvault sql`, against real
//! clusters. Both give what the golden files hold, which are for people to read, too.

#![allow(clippy::panic, reason = "a test that cannot go on panics")]

mod client;
mod golden;
mod mask;
mod outcome;
mod readme;
mod script;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use tabvault_common::durable;
use tabvault_integration_tests::processes::Server;
use tabvault_integration_tests::tree;

use self::client::Client;
use self::outcome::Outcome;
use self::readme::Tour;
use self::script::{Statement, Wait};

/// How long a job of the tour may take; they take a fraction of a second.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn the_tour_through_mariadb_goes_as_it_is_told() {
    tour(Client::Mariadb);
}

#[test]
fn the_tour_through_tabvault_sql_goes_as_it_is_told() {
    tour(Client::Tabvault);
}

fn tour(client: Client) {
    let dir = tempfile::tempdir().expect("make a directory");
    let (broker, one) = (Server::broker(), standalone(dir.path(), "one"));
    let place = Place { client, dir: dir.path(), broker: Some(&broker.address) };
    files(&dir.path().join("in"));

    golden::assert_told(&golden("one.txt"), &place.run(&one, include_str!("one.sql")));
    same(dir.path(), "in/2024", "out/2024");
    same(dir.path(), "in/sums", "out/sums");

    let two = standalone(dir.path(), "two");
    let repository = dir.path().join("repository");
    let before = objects(&repository);
    assert!(!before.is_empty(), "the repository has objects");
    golden::assert_told(&golden("two.txt"), &place.run(&two, include_str!("two.sql")));
    same(dir.path(), "in/2025", "out/2025");
    same(dir.path(), "in/carts", "out/carts");
    same(dir.path(), "in/sums", "out/old_sums");
    assert_eq!(objects(&repository), before, "a repository that is READ ONLY is not written to");
}

/// A file beside this one.
fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sql_tour").join(name)
}

#[test]
fn the_tour_in_the_readme_goes_as_it_is_told() {
    let tour = Tour::read();
    for client in [Client::Mariadb, Client::Tabvault] {
        let dir = tempfile::tempdir().expect("make a directory");
        let place = Place { client, dir: dir.path(), broker: None };
        let here = |text: &str| text.replace(readme::DIR, &place.dir.display().to_string());
        let shell = Command::new("sh").args(["-e", "-c", &here(&tour.shell)]).output().expect("run a shell");
        assert!(shell.status.success(), "{shell:?}");
        let one = standalone(dir.path(), "one");
        let mut told = String::new();
        for chunk in script::chunks(&tour.sql) {
            if let Some(wait) = &chunk.wait {
                place.wait(&one, wait);
                writeln!(told, "{wait}").expect("write to a string");
            }
            let fill = |line: &str| match line.contains("<timestamp>") && !line.starts_with("--") {
                true => line.replace("<timestamp>", &place.timestamp(&one, "monday")),
                false => line.to_owned(),
            };
            let text: Vec<_> = here(&chunk.text).lines().map(fill).collect();
            for (statement, outcome) in client.run(&one, &(text.join("\n") + "\n")) {
                let known = [(dir.path().display().to_string(), readme::DIR)];
                let statement = mask::text(&statement.text, &known);
                told.push_str(&readme::told(&statement, &mask::outcome(outcome, &known)));
            }
        }
        golden::assert_told(&readme::file(), &tour.with(&format!("{}\n", told.trim_end())));
        same(dir.path(), "2024", "out");
    }
}

/// A cluster of its own.
fn standalone(dir: &Path, name: &str) -> Server {
    let data = dir.join(name);
    Server::start(
        ["standalone", "--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0", "--data"]
            .map(Path::new)
            .into_iter()
            .chain([data.as_path()]),
    )
}

/// What the script loads: small, because programs with debug assertions compress slowly.
fn files(dir: &Path) {
    for name in ["2024", "2025", "alps", "sums", "carts"] {
        let dir = dir.join(name);
        std::fs::create_dir_all(dir.join("deep/er")).expect("make a directory");
        for n in 0..=name.len() {
            let rows: String = (0..n * 50).map(|row| format!("{row},{name}\n")).collect();
            durable::write_file(&dir.join(format!("deep/{n}.csv")), rows.as_bytes()).expect("write a file");
        }
        std::os::unix::fs::symlink("1.csv", dir.join("deep/latest")).expect("make a link");
        durable::write_file(&dir.join("noise of a name"), &tree::noise(7, 1_200_000)).expect("write a file");
    }
}

/// What was exported is what was loaded.
fn same(dir: &Path, loaded: &str, exported: &str) {
    tree::assert_same(&dir.join(loaded), &dir.join(exported));
}

/// Everything below `dir`: size, and the times to the nanosecond when its contents and its entry were changed.
fn objects(dir: &Path) -> BTreeMap<PathBuf, (u64, u64, [i64; 4])> {
    let mut found = BTreeMap::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(&dir).expect("read a directory") {
            let path = entry.expect("read a directory's entry").path();
            let meta = std::fs::symlink_metadata(&path).expect("look at an entry");
            let times = [meta.mtime(), meta.mtime_nsec(), meta.ctime(), meta.ctime_nsec()];
            if meta.is_dir() {
                dirs.push(path.clone());
            }
            found.insert(path, (meta.ino(), meta.len(), times));
        }
    }
    found
}

/// Where a script runs, and through what.
struct Place<'a> {
    client: Client,
    dir: &'a Path,
    broker: Option<&'a str>,
}

impl Place<'_> {
    /// Runs a script and tells each statement with what it answered.
    fn run(&self, server: &Server, script: &str) -> String {
        let mut told = String::new();
        for chunk in script::chunks(script) {
            if let Some(wait) = &chunk.wait {
                self.wait(server, wait);
                writeln!(told, "{wait}\n").expect("write to a string");
            }
            let text = script::fill(&chunk.text, |name| match name.split_once(':') {
                Some(("timestamp", label)) => Some(self.timestamp(server, label)),
                None if name == "dir" => Some(self.dir.display().to_string()),
                None if name == "broker" => self.broker.map(str::to_owned),
                _ => None,
            });
            for (statement, outcome) in self.client.run(server, &text) {
                told.push_str(&self.told(&statement, outcome));
            }
        }
        told
    }

    /// The text of a golden file for a statement.
    fn told(&self, statement: &Statement, outcome: Outcome) -> String {
        let broker = self.broker.map(|address| (address.to_owned(), "@broker@"));
        let known: Vec<_> = std::iter::once((self.dir.display().to_string(), "@dir@")).chain(broker).collect();
        let statement = mask::text(&statement.text, &known);
        format!("{statement};\n\n{}\n", mask::outcome(outcome, &known).told())
    }

    /// Asks until a job has ended, as users do.
    fn wait(&self, server: &Server, wait: &Wait) {
        let column = if wait.kind == "BACKUP" { "SnapshotName" } else { "Label" };
        let ask = format!("SHOW {} FROM {} WHERE {column} = '{}';\n", wait.kind, wait.database, wait.label);
        let begin = Instant::now();
        loop {
            let row = self.newest(server, &ask);
            match row.get("State").map(String::as_str) {
                Some("FINISHED") => return,
                Some(state) if state != "CANCELLED" && begin.elapsed() < PATIENCE => {}
                _ => panic!("{wait:?} does not finish: {row:?}"),
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The newest timestamp of a label in the repository of the tour.
    fn timestamp(&self, server: &Server, label: &str) -> String {
        let mut row = self.newest(server, &format!("SHOW SNAPSHOT ON backups WHERE SNAPSHOT = '{label}';\n"));
        row.remove("Timestamp").unwrap_or_else(|| panic!("there is no snapshot {label}: {row:?}"))
    }

    /// The last row that a statement answers, by column.
    fn newest(&self, server: &Server, ask: &str) -> BTreeMap<String, String> {
        match self.client.run(server, ask).pop() {
            Some((_, Outcome::Rows { columns, mut rows })) => {
                columns.into_iter().zip(rows.pop().unwrap_or_default()).collect()
            }
            other => panic!("{ask}: {other:?}"),
        }
    }
}
