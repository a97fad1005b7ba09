//! What cannot be meant so is refused with one sentence and exit code 2, what fails with 1; nothing is left behind.

use std::net::TcpListener;

use crate::program::{Cluster, refused, run, said, tabvault};

#[test]
fn other_machines_are_not_let_in_without_tls_unless_that_is_allowed() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("data");
    let data = data.display();
    for line in [
        format!("standalone --data {data} --grpc 0.0.0.0:0"),
        format!("standalone --data {data} --http [::]:0"),
        format!("fe --data {data} --grpc 0.0.0.0:0"),
        format!("be --data {data} --http 0.0.0.0:0"),
        "broker --grpc 0.0.0.0:0".to_owned(),
        // A certificate alone tells nothing about who dials.
        "broker --grpc 0.0.0.0:0 --tls-cert c --tls-key k".to_owned(),
    ] {
        let words = "can be reached from other machines: give --tls-cert, --tls-key and --tls-ca, or allow it without \
                     TLS with --insecure";
        refused(&run(&line), 2, words);
    }
    for line in ["be --data x --fe http://10.9.8.7:1", "show backends --fe http://10.9.8.7:1"] {
        refused(&run(line), 2, "`http://10.9.8.7:1` is another machine, to which credentials would travel in clear");
    }
    assert!(std::fs::read_dir(home.path()).unwrap().next().is_none());
}

#[test]
fn half_of_a_pair_is_refused() {
    refused(&run("broker --tls-cert c"), 2, "--tls-cert is given without --tls-key: give both");
    refused(&run("broker --tls-key k"), 2, "--tls-key is given without --tls-cert: give both");
    refused(&run("standalone --data x --tls-cert c --tls-key k"), 2, "the agents need --tls-ca");
    refused(&run("broker --grpc 127.0.0.1:0 --tls-cert /nowhere/c --tls-key k"), 1, "read /nowhere/c: No such file");
}

#[test]
fn a_directory_must_be_named_and_numbers_must_fit() {
    for process in ["standalone", "fe", "be"] {
        refused(&run(process), 2, "no directory is named: give --data DIR");
    }
    refused(&run("standalone --data x --backends 0"), 2, "--backends 0: give a number from 1 to 64");
    refused(&run("be --data x --fe localhost:1"), 2, "--fe: `localhost:1` is no address such as http://127.0.0.1:9020");
}

#[test]
fn names_of_the_wrong_shape_are_told_the_right_one() {
    for (line, words) in [
        ("load t dir", "`t` names no table: write DB.TABLE or DB.TABLE/PARTITION"),
        ("drop d.t/p", "`d.t/p` names no table: write DB.TABLE"),
        ("backup label --to r", "`label` names no snapshot of a database: write DB.LABEL"),
        ("backup d.l --to r --table t/", "`t/` selects no table: write TABLE, TABLE/P1,P2 or TABLE=ALIAS"),
        ("backup d.l --to r --property type", "a property has a name and a value: write NAME=VALUE"),
        ("broker add b host", "`host` is no address: write HOST:PORT"),
        ("backup d.l", "--to <REPO>"),
        ("restore d.l --from r", "--timestamp <TIMESTAMP>"),
        ("repo alter r", "--property <NAME=VALUE>"),
        ("backup d.l --to r --table a --exclude b", "cannot be used with"),
    ] {
        let output = run(line);
        assert_eq!(output.status.code(), Some(2), "{line}");
        assert!(said(&output).contains(words), "{line}: {}", said(&output));
    }
}

#[test]
fn a_property_that_is_refused_does_not_show_its_value() {
    let output = run("repo create r --location s3://b --property hush");
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("write NAME=VALUE"));
    let twice = run("repo create r --location s3://b --property k=hush --property k=hush");
    refused(&twice, 2, "property `k` is given twice");
    assert!(!said(&twice).contains("hush"));
}

#[test]
fn a_port_that_is_taken_is_named_and_nothing_is_made() {
    let home = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    for process in ["standalone", "fe"] {
        let output = tabvault()
            .args([process, "--http", "127.0.0.1:0", "--grpc", &address.to_string(), "--data"])
            .arg(home.path().join("data"))
            .output()
            .unwrap();
        refused(&output, 1, &format!("listen at --grpc {address}: Address already in use"));
    }
    assert!(std::fs::read_dir(home.path()).unwrap().next().is_none());
}

#[test]
fn what_is_no_coordinator_is_told_so() {
    let home = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(home.path(), 1);
    let output = run(&format!("show backends --fe http://{}", cluster.http));
    refused(&output, 1, "does not answer as a coordinator of this version does");
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let closing = std::thread::spawn(move || drop(silent.accept().unwrap()));
    refused(&run(&format!("show backends --fe http://{address}")), 1, &format!("coordinator at http://{address}: "));
    closing.join().unwrap();
}
