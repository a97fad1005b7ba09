//! A whole cluster in one process, from start to end.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;

use tabvault_common::durable;

use crate::program::{Cluster, refused, run, said, tabvault};

fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn terminate(cluster: &mut Cluster) -> Option<i32> {
    let pid = rustix::process::Pid::from_child(&cluster.child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    cluster.child.wait().unwrap().code()
}

fn standalone(data: &Path, backends: usize) -> std::process::Output {
    tabvault()
        .args(["standalone", "--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0", "--backends", &backends.to_string()])
        .arg("--data")
        .arg(data)
        .output()
        .unwrap()
}

#[test]
fn it_tells_its_health_and_ends_well_when_asked_to() {
    let home = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::start(home.path(), 1);
    let health = get(cluster.http, "/healthz");
    assert!(health.starts_with("HTTP/1.1 200 OK") && health.ends_with("the coordinator leads\n"), "{health}");
    let metrics = get(cluster.http, "/metrics");
    assert!(metrics.contains("text/plain; version=0.0.4"), "{metrics}");
    assert!(metrics.contains("\ntabvault_build_info{version="), "{metrics}");
    assert!(get(cluster.http, "/elsewhere").starts_with("HTTP/1.1 404"));
    assert_eq!(terminate(&mut cluster), Some(0));
}

#[test]
fn a_directory_belongs_to_one_process_and_its_backends_never_shrink() {
    let home = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::start(home.path(), 1);
    refused(&standalone(home.path(), 1), 1, &format!("directory {} is used by another process", home.path().display()));
    let be = home.path().join("be1");
    let agent = run(&format!("be --http 127.0.0.1:0 --log off --data {}", be.display()));
    refused(&agent, 1, &format!("directory {} is used by another process", be.display()));
    assert_eq!(terminate(&mut cluster), Some(0));

    let mut cluster = Cluster::start(home.path(), 2);
    let hosts: serde_json::Value =
        serde_json::from_slice(&cluster.client("show backends --output json").stdout).unwrap();
    let hosts: Vec<_> = hosts.as_array().unwrap().iter().map(|row| row["Host"].as_str().unwrap()).collect();
    assert_eq!(hosts, ["be1", "be2"]);
    assert_eq!(terminate(&mut cluster), Some(0));
    refused(&standalone(home.path(), 1), 1, "has 2 backends, whose tablets would be missing: give at least 2");
}

#[test]
fn a_directory_makes_the_round_trip_and_refusals_end_with_1() {
    let home = tempfile::tempdir().unwrap();
    let path = |name: &str| home.path().join(name).display().to_string();
    std::fs::create_dir(path("in")).unwrap();
    durable::write_file(&home.path().join("in/a file"), b"as it was").unwrap();
    std::os::unix::fs::symlink("a file", path("in/link")).unwrap();
    let cluster = Cluster::start(&home.path().join("data"), 1);
    let ok = |line: &str| {
        let output = cluster.client(line);
        assert!(output.status.success(), "{line}: {}", said(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    let load = format!("load d.t {} --replication-num 1", path("in"));
    assert_eq!(ok(&load), "loaded 2 files (9 B) into d.t as version 2\n");
    ok(&format!("repo create r --location file://{}", path("repository")));
    refused(&cluster.client("backup d.a/b --to r --wait"), 1, "Label format error. regex: ^[-_A-Za-z0-9:]{1,128}$");
    refused(&cluster.client("backup d.l --to q --wait"), 1, "Repository q does not exist");
    let backup: serde_json::Value = serde_json::from_str(&ok("backup d.l:1 --to r --wait --output json")).unwrap();
    assert_eq!(backup[0]["State"], "FINISHED");
    let timestamp = backup[0]["Timestamp"].as_str().unwrap();
    refused(&cluster.client("backup d.l:1 --to r"), 1, "Snapshot with name 'l:1' already exist in repository");
    let details: serde_json::Value =
        serde_json::from_str(&ok(&format!("show snapshots r l:1 {timestamp} --output json"))).unwrap();
    assert_eq!(details[0]["Status"], "OK");
    assert!(serde_json::from_str::<serde_json::Value>(details[0]["Details"].as_str().unwrap()).is_ok());
    ok("drop d.t");
    let restored = ok(&format!("restore d.l:1 --from r --timestamp {timestamp} --property replication_num=1 --wait"));
    assert!(restored.starts_with("restore of d.l:1 from r: FINISHED, ") && restored.contains(timestamp), "{restored}");
    ok(&format!("export d.t {}", path("out")));
    assert_eq!(std::fs::read(path("out/a file")).unwrap(), b"as it was");
    assert_eq!(std::fs::read_link(path("out/link")).unwrap(), Path::new("a file"));
    refused(&cluster.client("cancel backup d"), 1, "No backup job is currently running");
}
