use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::task::yield_now;
use tokio::time::Instant;

use super::super::{Listener, start};
use super::client::{Said, World};
use super::stub::{PAGE, Stub, WIDE};

const PING: u8 = 14;
const QUERY: u8 = 3;
/// Turns of the scheduler after which nothing moves any more.
const SETTLED: usize = 10_000;

#[tokio::test]
async fn a_statement_ends_when_its_client_leaves() {
    let world = World::new();
    let mut client = world.alice().await;
    client.command(QUERY, b"SHOW TABLES FROM slow").await;
    while world.seen.begun.load(Ordering::SeqCst) == 0 {
        yield_now().await;
    }
    assert_eq!(world.seen.dropped.load(Ordering::SeqCst), 0);
    client.leave().await;
    assert_eq!(world.seen.dropped.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn rows_that_do_not_come_end_when_their_client_leaves() {
    let world = World::new();
    let mut client = world.alice().await;
    client.command(QUERY, b"SHOW TABLES FROM stuck").await;
    while world.seen.stuck.load(Ordering::SeqCst) == 0 {
        yield_now().await;
    }
    client.leave().await;
}

#[tokio::test]
async fn what_a_client_sends_ahead_waits_for_its_turn() {
    let mut client = World::new().alice().await;
    client.command(QUERY, b"SHOW TABLES FROM done").await;
    client.command(PING, &[]).await;
    client.command(QUERY, b"SHOW DATABASES").await;
    for command in ["done", "ping", "rows"] {
        client.answered();
        let said = client.said().await;
        match command {
            "done" => assert!(matches!(said, Said::Done { affected: 7, .. }), "{said:?}"),
            "ping" => assert_eq!(said, Said::done()),
            _ => assert!(matches!(said, Said::Rows { .. }), "{said:?}"),
        }
    }
    client.leave().await;
}

#[tokio::test]
async fn pages_are_made_only_as_fast_as_the_client_takes_them() {
    let world = World::new();
    let mut client = world.alice().await;
    client.command(QUERY, b"SHOW TABLES FROM many").await;
    let settled = async || {
        for _ in 0..SETTLED {
            yield_now().await;
        }
        world.seen.pages.load(Ordering::SeqCst)
    };
    let held = settled().await;
    assert!((1..5).contains(&held), "{held} pages of {} bytes are made for a client that reads none", PAGE * WIDE);
    for _ in 0..20 * PAGE {
        client.receive().await.unwrap();
    }
    let taken = settled().await;
    assert!((20..25).contains(&taken), "{taken} pages are made for a client that took 20");
    client.leave().await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_nothing_is_left() {
    let world = World::new();
    let mut client = world.alice().await;
    let begun = Instant::now();
    client.command(QUERY, b"SHOW TABLES FROM many").await;
    client.ended().await;
    assert_eq!(begun.elapsed().as_secs(), 60);
}

#[tokio::test]
async fn a_packet_that_is_too_large_is_refused_before_it_is_taken() {
    let mut world = World::new();
    world.settings.limits.packet = 1 << 20;
    let mut client = world.alice().await;
    let fits = [b"SHOW TABLES FROM done -- ", &b"x".repeat((1 << 20) - 26)[..]].concat();
    assert!(matches!(client.ask(QUERY, &fits).await, Said::Done { affected: 7, .. }));
    let said = client.ask(QUERY, &[&fits[..], b"x"].concat()).await;
    assert_eq!(said.code(), 1153, "{said:?}");
    client.left().await;
}

#[tokio::test]
async fn a_packet_in_several_parts_counts_whole() {
    let world = World::new();
    let mut client = world.alice().await;
    let said = client.ask(QUERY, &[&b"SHOW TABLES FROM done -- "[..], &b"x".repeat(17 << 20)].concat()).await;
    assert_eq!(said.code(), 1153, "{said:?}");
    client.left().await;
    let mut client = world.alice().await;
    let largest = [&b"SHOW TABLES FROM done -- "[..], &b"x".repeat((16 << 20) - 26)].concat();
    // It is taken, though no statement is so long.
    assert_eq!(client.ask(QUERY, &largest).await.code(), 1064);
    assert_eq!(client.ask(PING, &[]).await, Said::done());
    client.leave().await;
}

#[tokio::test]
async fn before_login_only_small_packets_are_taken() {
    let mut client = World::new().connect();
    client.greeted().await;
    client.send(&[1; (64 << 10) + 1]).await;
    assert_eq!(client.said().await.code(), 1153);
    client.left().await;
}

#[tokio::test]
async fn packets_that_are_numbered_wrongly_are_refused() {
    let mut client = World::new().alice().await;
    client.send(b"\x0e").await;
    client.restart();
    assert_eq!(client.receive().await.unwrap()[..3], [0xff, 0x84, 0x04], "1156");
    client.left().await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_says_nothing_is_put_out() {
    let mut world = World::new();
    world.settings.limits.idle = Duration::from_secs(100);
    let mut client = world.alice().await;
    let begun = Instant::now();
    client.restart();
    assert_eq!(client.said().await.code(), 4031);
    assert_eq!(begun.elapsed().as_secs(), 100);
    client.left().await;
}

#[tokio::test]
async fn a_server_that_ends_tells_who_is_idle() {
    let world = World::new();
    let mut client = world.alice().await;
    let mut new = world.connect();
    new.greeted().await;
    world.stop.cancel();
    client.restart();
    assert_eq!(client.said().await.code(), 1053);
    client.left().await;
    assert_eq!(new.said().await.code(), 1053);
    new.left().await;
}

#[tokio::test]
async fn one_client_too_many_is_turned_away_until_another_leaves() {
    let mut world = World::new();
    world.settings.limits.connections = 1;
    let listener = Listener::bind("--mysql", "127.0.0.1:0".parse().unwrap()).await.unwrap();
    let serving = start(listener, Arc::new(Stub::default()), world.settings.clone());
    let first_byte = async |stream: &mut TcpStream| {
        let mut head = [0; 5];
        stream.read_exact(&mut head).await.unwrap();
        head[4]
    };
    let mut one = TcpStream::connect(serving.address()).await.unwrap();
    assert_eq!(first_byte(&mut one).await, 10, "a greeting");
    let mut two = TcpStream::connect(serving.address()).await.unwrap();
    let mut said = Vec::new();
    two.read_to_end(&mut said).await.unwrap();
    assert_eq!(said, b"\x17\0\0\0\xff\x10\x04Too many connections");
    drop(one);
    loop {
        let mut next = TcpStream::connect(serving.address()).await.unwrap();
        match first_byte(&mut next).await {
            10 => break,
            other => assert_eq!(other, 0xff),
        }
    }
    serving.shutdown().await;
}
