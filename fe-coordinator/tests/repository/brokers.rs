//! ADD, DROP and SHOW BROKER, and heartbeats against processes that live and die.

use std::time::Duration;

use tabvault_common::failure::Kind;
use tabvault_common::view::BrokerView;
use tabvault_fe_coordinator::brokers::BrokerAddress;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio_stream::wrappers::TcpListenerStream;

use crate::support::*;

fn at(port: u16) -> BrokerAddress {
    BrokerAddress { host: "127.0.0.1".to_owned(), port }
}

/// A process that speaks the health protocol, until it is told to end.
struct Living {
    port: u16,
    end: oneshot::Sender<()>,
    ended: tokio::task::JoinHandle<()>,
}

impl Living {
    async fn start(port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (_, health) = tonic_health::server::health_reporter();
        let (end, told) = oneshot::channel::<()>();
        let server = tonic::transport::Server::builder().add_service(health);
        let ended = tokio::spawn(async move {
            let told = async { drop(told.await) };
            server.serve_with_incoming_shutdown(TcpListenerStream::new(listener), told).await.unwrap();
        });
        Self { port, end, ended }
    }

    async fn stop(self) {
        drop(self.end);
        self.ended.await.unwrap();
    }
}

#[tokio::test]
async fn brokers_are_added_listed_and_dropped() {
    let brokers = Cluster::new().await.brokers;
    brokers.add("b", &[at(8001), at(8000)]).await.unwrap();
    brokers.add("a", &[BrokerAddress { host: "::1".to_owned(), port: 9 }]).await.unwrap();
    let listed: Vec<_> = brokers.list().await.unwrap().into_iter().map(|b| (b.name, b.host, b.port, b.alive)).collect();
    let row = |name: &str, host: &str, port| (name.to_owned(), host.to_owned(), port, false);
    assert_eq!(listed, [row("a", "::1", 9), row("b", "127.0.0.1", 8000), row("b", "127.0.0.1", 8001)]);
    assert_eq!(brokers.addresses("a").await.unwrap(), ["http://[::1]:9"]);

    let failure = brokers.add("b", &[at(8002), at(8001)]).await.unwrap_err();
    assert_eq!(
        (failure.kind, failure.message.as_str()),
        (Kind::AlreadyExists, "broker already exists: b at 127.0.0.1:8001")
    );
    assert_eq!(brokers.addresses("b").await.unwrap().len(), 2);
    brokers.drop_broker("b", &at(8001)).await.unwrap();
    assert_eq!(brokers.addresses("b").await.unwrap(), ["http://127.0.0.1:8000"]);
    let failure = brokers.drop_broker("b", &at(8001)).await.unwrap_err();
    assert_eq!(failure.message, "broker does not exist: b at 127.0.0.1:8001");
    brokers.drop_broker("b", &at(8000)).await.unwrap();
    assert_eq!(brokers.addresses("b").await.unwrap_err().message, "broker does not exist: b");
}

#[tokio::test]
async fn what_is_no_broker_is_refused() {
    let brokers = Cluster::new().await.brokers;
    for (name, host, port) in
        [("b/c", "h", 1), ("", "h", 1), ("b", "", 1), ("b", "h/x", 1), ("b", "u@h", 1), ("b", "h", 0)]
    {
        let address = BrokerAddress { host: host.to_owned(), port };
        let failure = brokers.add(name, &[address]).await.unwrap_err();
        assert_eq!(failure.kind, Kind::InvalidArgument, "{name} {host} {port}");
    }
    assert_eq!(brokers.add("b", &[]).await.unwrap_err().kind, Kind::InvalidArgument);
    assert_eq!(brokers.add("b", &[at(1), at(1)]).await.unwrap_err().kind, Kind::AlreadyExists);
    // A prefix of a name is not the name.
    brokers.add("broker", &[at(1)]).await.unwrap();
    for name in ["brok", "", "broker/127"] {
        assert_eq!(brokers.addresses(name).await.unwrap_err().message, format!("broker does not exist: {name}"));
    }
}

#[tokio::test]
async fn a_heartbeat_tells_the_living_from_the_dead() {
    let cluster = Cluster::new().await;
    let brokers = &cluster.brokers;
    let (first, second) = (Living::start(0).await, Living::start(0).await);
    let (dying, staying) = if first.port < second.port { (first, second) } else { (second, first) };
    let port = dying.port;
    brokers.add("b", &[at(dying.port), at(staying.port)]).await.unwrap();
    let view = async || -> BrokerView { brokers.list().await.unwrap().remove(0) };
    let unknown = view().await;
    assert_eq!((unknown.alive, unknown.last_start_time, unknown.last_update_time), (false, None, None));

    brokers.heartbeat().await.unwrap();
    let started = view().await;
    assert_eq!((started.alive, started.last_start_time, started.last_update_time), (true, Some(NOW), Some(NOW)));
    let both = [format!("http://127.0.0.1:{port}"), format!("http://127.0.0.1:{}", staying.port)];
    assert_eq!(brokers.addresses("b").await.unwrap(), both);

    cluster.clock.advance(Duration::from_secs(5));
    let later = NOW.after(Duration::from_secs(5));
    brokers.heartbeat().await.unwrap();
    assert_eq!((view().await.last_start_time, view().await.last_update_time), (Some(NOW), Some(later)));

    dying.stop().await;
    cluster.clock.advance(Duration::from_secs(5));
    brokers.heartbeat().await.unwrap();
    let dead = view().await;
    assert_eq!((dead.alive, dead.last_start_time, dead.last_update_time), (false, Some(NOW), Some(later)));
    let error = dead.error.unwrap();
    assert!(error.starts_with(&format!("ask broker http://127.0.0.1:{port} whether it lives: ")), "{error}");
    assert_eq!(brokers.addresses("b").await.unwrap(), [both[1].clone(), both[0].clone()]);

    let again = Living::start(port).await;
    brokers.heartbeat().await.unwrap();
    let back = view().await;
    assert_eq!((back.alive, back.last_start_time, back.error), (true, Some(NOW.after(Duration::from_secs(10))), None));
    again.stop().await;
}

#[tokio::test]
async fn a_broker_that_is_added_is_asked_at_once() {
    let cluster = Cluster::new().await;
    let brokers = cluster.brokers.clone();
    let living = Living::start(0).await;
    let alive = async |name: &str| {
        let shown = async || brokers.list().await.unwrap().into_iter().any(|view| view.name == name && view.alive);
        while !shown().await {
            tokio::task::yield_now().await;
        }
    };
    let soon = async |name: &str| tokio::time::timeout(Duration::from_secs(30), alive(name)).await.unwrap();
    brokers.add("a", &[at(living.port)]).await.unwrap();
    // The clock stands still: after the first, no heartbeat is due.
    let watch = tokio::spawn(brokers.clone().watch(Duration::from_secs(60)));
    soon("a").await;
    brokers.add("b", &[at(living.port)]).await.unwrap();
    soon("b").await;
    watch.abort();
    living.stop().await;
}
