use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use futures::stream::TryStreamExt;
use tabvault_broker::open::Options;
use tabvault_broker::process::Config;
use tabvault_broker::remote::{Connection, RemoteStorage};
use tabvault_broker::storage::Storage;
use tabvault_common::access::StorageAccess;
use tabvault_common::failure::{Kind, Retry};
use tabvault_common::secret::Secret;
use tokio::net::TcpListener;
use tonic::transport::Identity;

use crate::canned::{Canned, answer};
use crate::process::Process;

fn remote(access: &StorageAccess) -> RemoteStorage {
    RemoteStorage::new(access, &Connection::default()).unwrap()
}

/// An address at which nobody listens.
async fn nobody() -> String {
    format!("http://{}", TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap())
}

/// What the storage behind the brokers of this process has.
async fn memory(name: &str) -> Arc<dyn Storage> {
    let options = Options { memory: true, ..Options::default() };
    options.open(&StorageAccess::direct(format!("memory://{name}"))).await.unwrap()
}

#[tokio::test]
async fn failures_cross_the_wire_unchanged() {
    let process = Process::start(Config::default()).await;
    let root = tempfile::tempdir().unwrap();
    std::fs::write(root.path().join("file"), "f").unwrap();
    let access = StorageAccess::direct(format!("file://{}", root.path().display()));
    let near = tabvault_broker::local::LocalStorage::new(root.path()).unwrap();
    let far = remote(&process.through(&access));
    assert_eq!(far.location(), near.location());
    assert_eq!(far.get("x", 1).await.unwrap_err(), near.get("x", 1).await.unwrap_err());
    assert_eq!(far.put("file/x", Bytes::new()).await.unwrap_err(), near.put("file/x", Bytes::new()).await.unwrap_err());
}

#[tokio::test]
async fn the_next_broker_is_used_when_one_is_out_of_reach() {
    let (first, second) = (Process::start(Config::default()).await, Process::start(Config::default()).await);
    let mut access = StorageAccess::direct("memory://failover");
    access.brokers = vec![nobody().await, first.address.clone(), second.address.clone()];
    let storage = remote(&access);
    storage.put("a", Bytes::from_static(b"a")).await.unwrap();
    first.stop().await;
    // What was under way may break; what comes after finds the other broker.
    let mut answer = storage.get("a", 9).await;
    if let Err(failure) = &answer {
        assert_eq!((failure.kind, failure.retry), (Kind::Unreachable, Retry::Safe), "{failure}");
        answer = storage.get("a", 9).await;
    }
    assert_eq!(answer.unwrap(), "a");
}

#[tokio::test]
async fn without_any_broker_nothing_has_happened() {
    let mut access = StorageAccess::direct("memory://none");
    access.brokers = vec![nobody().await, nobody().await];
    let storage = remote(&access);
    let failure = storage.create("a", Bytes::new()).await.unwrap_err();
    assert_eq!((failure.kind, failure.retry), (Kind::Unreachable, Retry::Safe));
    assert!(access.brokers.iter().all(|address| failure.message.contains(address)), "{failure}");
}

#[tokio::test]
async fn a_create_whose_broker_dies_has_an_unknown_outcome() {
    // It accepts the connection and the request, and then closes.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        // The first connection only looks whether this is HTTP/2.
        let (mut look, _) = listener.accept().await.unwrap();
        look.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.unwrap();
        let (mut connection, _) = listener.accept().await.unwrap();
        // An empty SETTINGS frame lets the client believe in HTTP/2.
        connection.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.unwrap();
        let mut seen = Vec::new();
        while !seen.windows(4).any(|window| window == b"lost") {
            let mut some = [0; 4096];
            let n = connection.read(&mut some).await.unwrap();
            seen.extend_from_slice(&some[..n]);
        }
    });
    let mut access = StorageAccess::direct("memory://x");
    access.brokers = vec![address];
    let failure = remote(&access).create("a", Bytes::from_static(b"lost")).await.unwrap_err();
    assert_eq!(failure.retry, Retry::OutcomeUnknown, "{failure}");
}

#[tokio::test]
async fn another_service_is_no_broker_and_the_next_one_is_used() {
    let broker = Process::start(Config::default()).await;
    let others = [
        (Canned::http(vec![answer(200, "hi")]).await, "a web server listens there, not a broker"),
        (Canned::bytes(b"SSH-2.0-OpenSSH_9.2p1\r\n").await, "an SSH server listens there, not a broker"),
        (Canned::bytes(b"-ERR unknown command\r\n").await, "another service listens there, not a broker"),
        (Canned::bytes(&[21, 3, 3, 0, 2, 2, 10]).await, "it expects TLS"),
        (Canned::bytes(b"").await, "it hangs up when it is spoken to"),
    ];
    for (other, says) in others {
        let mut access = StorageAccess::direct("memory://others");
        access.brokers = vec![format!("http://{}", other.address)];
        let failure = remote(&access).create("a", Bytes::new()).await.unwrap_err();
        assert_eq!((failure.kind, failure.retry), (Kind::Unreachable, Retry::Safe), "{failure}");
        assert!(failure.message.contains(says) && failure.message.contains(&other.address), "{failure}");
        access.brokers.push(broker.address.clone());
        remote(&access).put("a", Bytes::new()).await.unwrap();
    }
}

#[tokio::test]
async fn another_service_of_grpc_is_no_broker() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(
        tonic::transport::Server::builder()
            .add_routes(tonic::service::Routes::default())
            .serve_with_incoming(tonic::transport::server::TcpIncoming::from(listener)),
    );
    let mut access = StorageAccess::direct("memory://grpc");
    access.brokers = vec![address.clone()];
    let storage = remote(&access);
    for failure in [storage.stat("a").await.unwrap_err(), storage.put("a", Bytes::new()).await.unwrap_err()] {
        assert_eq!((failure.kind, failure.retry), (Kind::Unreachable, Retry::Safe), "{failure}");
        assert!(failure.message.contains(&format!("{address} answers, but is no broker")), "{failure}");
    }
}

#[tokio::test]
async fn a_writer_that_is_dropped_leaves_nothing_behind() {
    let process = Process::start(Config { writes: 1, ..Config::default() }).await;
    let storage = remote(&process.through(&StorageAccess::direct("memory://dropped")));
    let mut writer = storage.writer("a", None).await.unwrap();
    writer.write(Bytes::from(vec![0; 3 << 20])).await.unwrap();
    drop(writer);
    // The only turn is free again once the broker has cleaned up.
    let writer = storage.writer("b", None).await.unwrap();
    writer.close().await.unwrap();
    let left: Vec<_> = memory("dropped").await.list("").await.unwrap().try_collect().await.unwrap();
    assert_eq!(left.into_iter().map(|object| object.path).collect::<Vec<_>>(), ["b"]);
}

#[tokio::test]
async fn what_is_written_whole_does_not_wait_for_what_is_written_piece_by_piece() {
    let process = Process::start(Config { writes: 4, ..Config::default() }).await;
    let storage = remote(&process.through(&StorageAccess::direct("memory://turns")));
    let mut writers = Vec::new();
    for n in 0..3 {
        let mut writer = storage.writer(&format!("long/{n}"), None).await.unwrap();
        writer.write(Bytes::from(vec![0; 3 << 20])).await.unwrap();
        writers.push(writer);
    }
    // One more of them waits, and what commits a job does not.
    let fourth = tokio::spawn({
        let storage = storage.clone();
        async move {
            let mut writer = storage.writer("long/3", None).await?;
            for _ in 0..64 {
                writer.write(Bytes::from(vec![0; 1 << 20])).await?;
            }
            writer.close().await
        }
    });
    for n in 0..8 {
        storage.put(&format!("commit/{n}"), Bytes::from_static(b"x")).await.unwrap();
    }
    assert!(!fourth.is_finished());
    for writer in writers {
        writer.close().await.unwrap();
    }
    fourth.await.unwrap().unwrap();
}

#[tokio::test]
async fn an_object_that_is_too_large_to_be_written_whole_is_refused() {
    let process = Process::start(Config { small_object: 1000, ..Config::default() }).await;
    let storage = remote(&process.through(&StorageAccess::direct("memory://small")));
    storage.put("a", Bytes::from(vec![0; 1000])).await.unwrap();
    let failure = storage.put("a", Bytes::from(vec![0; 8 << 20])).await.unwrap_err();
    assert_eq!((failure.kind, failure.retry), (Kind::ResourceExhausted, Retry::Never), "{failure}");
}

#[tokio::test]
async fn a_broker_serves_only_its_locations() {
    let config = Config { locations: vec!["memory://open/here/".to_owned()], ..Config::default() };
    let process = Process::start(config).await;
    for (location, served) in [
        ("memory://open/here", true),
        ("memory://open/here/below", true),
        ("memory://open/hereafter", false),
        ("file:///etc", false),
    ] {
        let storage = remote(&process.through(&StorageAccess::direct(location)));
        let answer = storage.stat("passwd").await;
        assert_eq!(answer.as_ref().err().map(|failure| failure.kind), (!served).then_some(Kind::PermissionDenied));
    }
}

#[tokio::test]
async fn a_broker_with_a_token_serves_only_who_knows_it() {
    let config = Config { token: Some(Secret::new("sesame")), ..Config::default() };
    let process = Process::start(config).await;
    let access = process.through(&StorageAccess::direct("memory://token"));
    for (token, served) in [(None, false), (Some("sesam"), false), (Some("sesame"), true)] {
        let connection = Connection { token: token.map(Secret::new), ..Connection::default() };
        let storage = RemoteStorage::new(&access, &connection).unwrap();
        for answer in [storage.put("a", Bytes::new()).await, storage.stat("a").await.map(|_| ())] {
            assert_eq!(answer.err().map(|failure| failure.kind), (!served).then_some(Kind::Unauthenticated));
        }
        assert!(!format!("{storage:?}{connection:?}").contains("sesam"));
    }
}

#[tokio::test]
async fn keys_do_not_travel_in_clear_to_another_machine() {
    let mut access = StorageAccess::direct("s3://b");
    access.properties = BTreeMap::from([("s3.region".to_owned(), Secret::new("r"))]);
    access.brokers = vec!["http://192.0.2.1:8000".to_owned()];
    let failure = RemoteStorage::new(&access, &Connection::default()).unwrap_err();
    assert_eq!(failure.kind, Kind::FailedPrecondition);
    let connection = Connection { insecure: true, ..Connection::default() };
    assert!(RemoteStorage::new(&access, &connection).is_ok());
}

#[tokio::test]
async fn a_broker_is_talked_to_by_tls() {
    let ca_key = rcgen::KeyPair::generate().unwrap();
    let mut ca = rcgen::CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let issuer = rcgen::Issuer::from_params(&ca, &ca_key);
    let ca_pem = ca.self_signed(&ca_key).unwrap().pem();
    let key = rcgen::KeyPair::generate().unwrap();
    let leaf = rcgen::CertificateParams::new(vec!["broker.test".to_owned()]).unwrap();
    let pem = leaf.signed_by(&key, &issuer).unwrap().pem();

    let identity = Identity::from_pem(pem, key.serialize_pem());
    let process = Process::start_with(Config::default(), Some(identity)).await;
    let access = process.through(&StorageAccess::direct("memory://tls"));
    assert_eq!(RemoteStorage::new(&access, &Connection::default()).unwrap_err().kind, Kind::InvalidArgument);

    let domain = Some("broker.test".to_owned());
    let connection = Connection { ca: Some(ca_pem.clone().into()), domain, ..Connection::default() };
    RemoteStorage::new(&access, &connection).unwrap().put("a", Bytes::new()).await.unwrap();

    let connection = Connection { ca: Some(ca_pem.into()), ..Connection::default() };
    let failure = RemoteStorage::new(&access, &connection).unwrap().put("a", Bytes::new()).await.unwrap_err();
    assert_eq!(failure.kind, Kind::Unreachable);
    assert!(failure.message.contains("certificate"), "{failure}");
}
