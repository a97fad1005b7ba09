//! `tabvault standalone` after one of its backends was decommissioned: it starts with those that are left.

use std::time::Duration;

use tabvault_integration_tests::binary::client_ok;
use tabvault_integration_tests::processes::Server;

/// Polls of 50 milliseconds: half a minute.
const PATIENCE: usize = 600;

fn backends(fe: &str) -> Vec<String> {
    let rows: serde_json::Value = serde_json::from_str(&client_ok(fe, &["show", "backends", "--output", "json"]))
        .expect("SHOW BACKENDS prints JSON");
    let host = |row: &serde_json::Value| Some(row["Host"].as_str()?.to_owned());
    let mut hosts: Vec<_> = rows.as_array().into_iter().flatten().filter_map(host).collect();
    // Numbers are given in the order in which agents attach.
    hosts.sort();
    hosts
}

#[test]
fn a_standalone_starts_again_without_the_backend_that_was_decommissioned() {
    let dir = tempfile::tempdir().expect("a directory");
    let data = dir.path().join("data").display().to_string();
    let args = ["standalone", "--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0", "--data", &data];
    let mut server = Server::start(args);
    let fe = format!("http://{}", server.address);
    assert_eq!(backends(&fe), ["be1", "be2", "be3"]);

    client_ok(&fe, &["sql", "-e", "ALTER SYSTEM DECOMMISSION BACKEND \"be3\""]);
    let gone = (0..PATIENCE).any(|_| {
        std::thread::sleep(Duration::from_millis(50));
        backends(&fe) == ["be1", "be2"]
    });
    assert!(gone, "be3 does not leave: {:?}", backends(&fe));
    server.kill();

    let server = Server::start(args);
    assert_eq!(backends(&format!("http://{}", server.address)), ["be1", "be2"]);
}
