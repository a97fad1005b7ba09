//! What people type wrong: one clear sentence, the right exit code, and nothing half-made.

#![allow(clippy::panic, reason = "a test that cannot go on panics")]

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use tabvault_integration_tests::binary::{client, client_ok, server};
use tabvault_integration_tests::checks::fast_dir;
use tabvault_integration_tests::cluster::free_address;
use tabvault_integration_tests::processes::{Moto, SECRET, Server};
use tabvault_integration_tests::tree;
use tempfile::TempDir;

/// Refused or failed.
const FAILED: i32 = 1;
/// Cannot be meant so.
const USAGE: i32 = 2;

struct Bench {
    dir: TempDir,
    server: Server,
    timestamp: String,
}

impl Bench {
    /// Two backends; `shop.files` and the partitions `p` and `q` of `shop.parts`; a backup of all.
    fn new() -> Self {
        let dir = fast_dir();
        tree::make_small(&dir.path().join("source"), 1);
        let server = Server::start(standalone(&dir.path().join("standalone")));
        let mut bench = Self { dir, server, timestamp: String::new() };
        let source = bench.path("source");
        for object in ["shop.files", "shop.parts/p", "shop.parts/q"] {
            bench.ok(&["load", object, &source, "--buckets", "2", "--replication-num", "1"]);
        }
        let location = bench.location();
        bench.ok(&["repo", "create", "repo", "--location", &location]);
        bench.ok(&["backup", "shop.base", "--to", "repo", "--wait"]);
        let shown = bench.ok(&["show", "snapshots", "repo", "base", "--output", "json"]);
        let rows: serde_json::Value = serde_json::from_str(&shown).expect("SHOW prints JSON");
        bench.timestamp = rows[0]["Timestamp"].as_str().expect("a timestamp").to_owned();
        bench
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().expect("paths are text").to_owned()
    }

    fn location(&self) -> String {
        format!("file://{}", self.path("repo"))
    }

    fn fe(&self) -> String {
        format!("http://{}", self.server.address)
    }

    fn ok(&self, args: &[&str]) -> String {
        client_ok(&self.fe(), args)
    }

    /// All that people can see.
    fn shown(&self) -> String {
        let looks: [&[&str]; 8] = [
            &["repo", "list"],
            &["show", "databases"],
            &["show", "tables", "shop"],
            &["show", "partitions", "shop.parts"],
            &["show", "tablets", "shop.parts"],
            &["show", "backup"],
            &["show", "restore"],
            &["show", "snapshots", "repo"],
        ];
        looks.iter().map(|look| self.ok(&[look, &["--output", "json"][..]].concat())).collect()
    }

    /// Each is refused with that exit code and one line that has these words; nothing changes.
    fn refuses(&self, cases: &[(&[&str], i32, &[&str])]) {
        let mut wrong = Vec::new();
        let before = self.shown();
        for (args, code, words) in cases {
            let output = client(&self.fe(), args);
            let (said, complained) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
            let mut bad = Vec::new();
            if output.status.code() != Some(*code) {
                bad.push(format!("ended with {}, not {code}", output.status));
            }
            bad.extend(words.iter().filter(|word| !complained.contains(**word)).map(|word| format!("lacks: {word}")));
            if !said.is_empty() || complained.contains(SECRET) || complained.contains("panicked") {
                bad.push(format!("says what it should not: {said}"));
            }
            // Usage is shown on more lines, what failed is one.
            if *code == FAILED && complained.trim_end().lines().count() != 1 {
                bad.push("more than one line".to_owned());
            }
            if self.shown() != before {
                bad.push("something has changed".to_owned());
            }
            if !bad.is_empty() {
                wrong.push(format!("{args:?}: {}\n    {complained}", bad.join("; ")));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}

fn standalone(dir: &Path) -> Vec<String> {
    let dir = dir.to_str().expect("paths are text");
    let args = ["standalone", "--backends", "2", "--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0", "--data", dir];
    args.map(str::to_owned).to_vec()
}

#[test]
fn names_that_are_wrong() {
    let bench = Bench::new();
    let ts = bench.timestamp.as_str();
    let one = ["--property", "replication_num=1"];
    let restore = |more: &[&'static str]| {
        [&["restore", "shop.base", "--from", "repo", "--timestamp", ts][..], &one, more].concat()
    };
    let location = bench.location();
    bench.refuses(&[
        (&["backup", "shop.a b", "--to", "repo"], FAILED, &["Label format error. regex: "]),
        (&["backup", "shop", "--to", "repo"], USAGE, &["write DB.LABEL"]),
        (&["backup", "shop.base", "--to", "repo"], FAILED, &["Snapshot with name 'base' already exist in repository"]),
        (&["backup", "shed.x", "--to", "repo"], FAILED, &["Unknown database 'shed'"]),
        (&["backup", "shop.x", "--to", "rope"], FAILED, &["Repository rope does not exist"]),
        (&["backup", "shop.x", "--to", "repo", "--table", "flies"], FAILED, &["Unknown table 'flies'"]),
        (&["backup", "shop.x", "--to", "repo", "--table", "parts/r"], FAILED, &["Unknown partition r in table parts"]),
        (
            &["backup", "shop.x", "--to", "repo", "--exclude", "parts/r"],
            FAILED,
            &["Unknown partition r in table parts"],
        ),
        (
            &["backup", "shop.x", "--to", "repo", "--table", "files", "--table", "files"],
            FAILED,
            &["Duplicated table: files"],
        ),
        (
            &["backup", "shop.x", "--to", "repo", "--table", "files=copy"],
            FAILED,
            &["Can not set alias for table in Backup Command"],
        ),
        (
            &["backup", "shop.x", "--to", "repo", "--property", "colour=red"],
            FAILED,
            &["Unknown backup job properties: [colour]"],
        ),
        (&["backup", "shop.x", "--to", "repo", "--timeout", "5"], FAILED, &["timeout must be at least 10 min"]),
        (
            &["backup", "shop.x", "--to", "repo", "--property", "type=partial"],
            FAILED,
            &["Invalid property 'type': partial; write full or incremental"],
        ),
        (
            &["backup", "shop.x", "--to", "repo", "--timeout", "700", "--property", "timeout=700"],
            USAGE,
            &["property `timeout` is given twice"],
        ),
        (
            &["restore", "shop.base", "--from", "repo", "--timestamp", "2001-01-01-00-00-00"],
            FAILED,
            &["Failed to get info of snapshot 'base' because: ", "Maybe specified wrong backup timestamp"],
        ),
        (&["restore", "shop.base", "--from", "repo", "--timestamp", "noon"], FAILED, &["noon"]),
        (&["restore", "shop.base", "--from", "repo"], USAGE, &["--timestamp"]),
        (
            &["restore", "shed.base", "--from", "repo", "--timestamp", ts],
            FAILED,
            &["Unknown database 'shed' in snapshot base: it was taken of shop"],
        ),
        (&restore(&["--table", "flies"]), FAILED, &["Table flies does not exist in snapshot base"]),
        (&restore(&["--table", "parts/r"]), FAILED, &["Partition r of table parts does not exist in snapshot"]),
        (&restore(&["--table", "files=one", "--table", "parts=one"]), FAILED, &["Duplicated alias name: one"]),
        (&restore(&["--table", "files=a b"]), FAILED, &["Incorrect table name 'a b'", "another name with AS"]),
        (&restore(&["--into", "1 2"]), FAILED, &["Incorrect database name '1 2'", "another name with AS"]),
        (&restore(&["--property", "meta_version=2"]), FAILED, &["meta_version is 2, this program reads up to 1"]),
        (
            &["restore", "shop.base", "--from", "repo", "--timestamp", ts, "--into", "new"],
            FAILED,
            &[
                "failed to find 3 different hosts to create table",
                "there are 2 backends",
                "\"replication_num\" = \"2\"",
            ],
        ),
        (&["cancel", "backup", "shop"], FAILED, &["No backup job is currently running"]),
        (&["cancel", "restore", "shop"], FAILED, &["No restore job is currently running"]),
        (&["drop", "shop.flies"], FAILED, &["Unknown table 'flies'"]),
        (&["show", "tables", "shed"], FAILED, &["Unknown database 'shed'"]),
        (&["repo", "create", "repo", "--location", &location], FAILED, &["Repository repo already exist"]),
        (&["repo", "create", "1 2", "--location", &location], FAILED, &["1 2"]),
        (&["repo", "create", "new", "--location", "ftp://host/dir"], FAILED, &["ftp"]),
        (&["repo", "create", "new", "--location", "/no/uri"], FAILED, &["/no/uri", "file://"]),
        (&["repo", "create", "new", "--location", &location, "--broker", "b"], FAILED, &["broker does not exist: b"]),
        (&["repo", "drop", "rope"], FAILED, &["Repository rope does not exist"]),
        (&["broker", "drop", "b", "localhost:8000"], FAILED, &["broker does not exist: b"]),
    ]);
}

#[test]
fn a_repository_that_is_read_only() {
    let bench = Bench::new();
    bench.ok(&["repo", "drop", "repo"]);
    bench.ok(&["repo", "create", "repo", "--location", &bench.location(), "--read-only"]);
    let none = format!("file://{}", bench.path("none"));
    bench.refuses(&[
        (&["backup", "shop.x", "--to", "repo"], FAILED, &["Repository repo is read only"]),
        (&["repo", "create", "new", "--location", &none, "--read-only"], FAILED, &["new"]),
    ]);
    assert!(!Path::new(&bench.path("none")).exists());
}

#[test]
fn a_repository_that_is_gone() {
    let bench = Bench::new();
    let info = Path::new(&bench.path("repo")).join("__tabvault_repository_repo/__repo_info");
    std::fs::remove_file(info).expect("remove what makes it a repository");
    let why = "repository repo is gone: there is no __repo_info at file://";
    bench.refuses(&[(&["backup", "shop.x", "--to", "repo"], FAILED, &[why])]);
    let explained = bench.ok(&["sql", "-e", "EXPLAIN BACKUP SNAPSHOT shop.x TO repo"]);
    assert!(explained.contains(why), "{explained}");
}

#[test]
fn directories_that_cannot_be_loaded_or_written() {
    let bench = Bench::new();
    let (source, file) = (bench.path("source"), bench.path("source/text"));
    let (missing, fifo, full) = (bench.path("missing"), bench.path("fifo"), bench.path("full"));
    let made = Command::new("mkfifo").arg(&fifo).status().expect("run mkfifo");
    assert!(made.success());
    std::fs::create_dir(&full).expect("make a directory");
    tree::write(&Path::new(&full).join("mine"), b"mine");
    bench.refuses(&[
        (&["load", "shop.files", &missing], FAILED, &[&missing, "there is no such directory"]),
        (&["load", "new.new", &missing], FAILED, &[&missing, "there is no such directory"]),
        (&["load", "shop.new", &missing], FAILED, &[&missing, "there is no such directory"]),
        (&["load", "shop.parts/new", &missing], FAILED, &[&missing, "there is no such directory"]),
        (&["load", "shop.files", "no/such/dir"], FAILED, &["/no/such/dir", "there is no such directory"]),
        (&["load", "shop.files", &fifo], FAILED, &[&fifo, "directory"]),
        (&["load", "shop.files", &file], FAILED, &[&file, "directory"]),
        (&["load", "shop", &source], USAGE, &["write DB.TABLE"]),
        (&["load", "shop.parts", &source], FAILED, &["parts", "partition"]),
        (&["load", "shop.files/p", &source], FAILED, &["Unknown partition p in table files"]),
        (&["load", "shop.bad name", &source], FAILED, &["Incorrect table name 'bad name'"]),
        (&["export", "shop.files", &full], FAILED, &[&full, "not empty"]),
        (&["export", "shop.flies", &missing], FAILED, &["Unknown table 'flies'"]),
        (&["export", "shed.files", &missing], FAILED, &["Unknown database 'shed'"]),
        (&["export", "shop.parts/r", &missing], FAILED, &["Unknown partition r in table parts"]),
    ]);
    assert!(!Path::new(&missing).exists());
    assert_eq!(tree::read(Path::new(&full)).len(), 1, "what was there stays, alone");
}

#[test]
fn what_a_refused_load_would_have_made_is_not_there() {
    let bench = Bench::new();
    let source = bench.path("source");
    bench.refuses(&[(
        &["load", "new.new", &source, "--replication-num", "3"],
        FAILED,
        &["failed to find 3 different hosts to create table new"],
    )]);
}

#[test]
fn endpoints_that_are_no_s3() {
    let moto = Moto::start_with(&[("INITIAL_NO_AUTH_ACTION_COUNT", "1")]);
    let bench = Bench::new();
    let refused = format!("http://{}", free_address());
    let web = web_server();
    let (plain, tls) = (format!("http://{web}"), format!("https://{web}"));
    let endpoint = |endpoint: &str| format!("s3.endpoint={endpoint}");
    let secret = format!("s3.secret_key={SECRET}");
    let cases = [
        (endpoint("http://no-such-host.invalid:9000"), "does not resolve"),
        (endpoint(&refused), "the connection was refused"),
        (endpoint(&tls), "does not speak TLS"),
        (endpoint(&plain), "answers, but is no S3 service"),
        (endpoint(&moto.endpoint), "does not know this access key"),
    ];
    for (endpoint, words) in &cases {
        let properties = ["--property", endpoint, "--property", "s3.access_key=key", "--property", &secret];
        let region = ["--property", "s3.region=us-east-1", "--property", "use_path_style=true"];
        let create = ["repo", "create", "new", "--location", "s3://bucket/x"];
        let args = [&create[..], &properties, &region].concat();
        bench.refuses(&[(&args, FAILED, &[words])]);
    }
}

/// A web server that has never heard of S3.
fn web_server() -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind a port");
    let address = listener.local_addr().expect("the port's address");
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let Ok(mut connection) = connection else { return };
            // Whoever asks gets the same page; that one has gone is no error.
            let _ = connection.read(&mut [0; 4096]);
            let page = "<html><body>It works!</body></html>";
            let _ = write!(
                connection,
                "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{page}",
                page.len()
            );
        }
    });
    address
}

#[test]
fn a_directory_that_another_process_uses_and_a_coordinator_that_is_none() {
    let bench = Bench::new();
    let data = bench.dir.path().join("standalone");
    let second = server().args(standalone(&data)).output().expect("run tabvault");
    let complained = String::from_utf8_lossy(&second.stderr);
    assert_eq!(second.status.code(), Some(FAILED), "{complained}");
    assert!(
        complained.contains(data.to_str().expect("text")) && complained.contains("another process"),
        "{complained}"
    );
    // The first is not disturbed.
    let _ = bench.shown();

    let nobody = format!("http://{}", free_address());
    let web = format!("http://{}", web_server());
    for fe in [nobody, web, "http://no-such-host.invalid:9020".to_owned()] {
        let output = client(&fe, &["show", "backup", "--insecure"]);
        let complained = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(FAILED), "{complained}");
        assert!(complained.contains(&fe) && complained.trim_end().lines().count() == 1, "{complained}");
    }
}
