use std::sync::atomic::Ordering;

use tokio::task::yield_now;

use super::client::{Client, Said, World};
use super::stub::PASSWORD;

const QUERY: u8 = 3;
const PING: u8 = 14;

/// Two connections of `alice` on one server, of which the first, number 1, runs a statement without end.
async fn busy(world: &World) -> (Client, Client) {
    let server = world.server();
    let (mut one, mut two) = (world.connect_to(&server), world.connect_to(&server));
    assert_eq!(one.login("alice", PASSWORD, None).await, Said::done());
    assert_eq!(two.login("alice", PASSWORD, None).await, Said::done());
    one.command(QUERY, b"SHOW TABLES FROM slow").await;
    while world.seen.begun.load(Ordering::SeqCst) == 0 {
        yield_now().await;
    }
    (one, two)
}

#[tokio::test]
async fn kill_query_ends_the_statement_and_leaves_the_connection() {
    let world = World::new();
    let (mut one, mut two) = busy(&world).await;
    assert_eq!(two.query("KILL QUERY 1").await, [Said::done()]);
    assert_eq!(one.said().await.code(), 1317);
    assert_eq!(world.seen.dropped.load(Ordering::SeqCst), 1);
    assert_eq!(one.ask(PING, &[]).await, Said::done());
    // Nothing runs: nothing ends.
    assert_eq!(two.query("KILL QUERY 1").await, [Said::done()]);
    assert!(matches!(one.query("SHOW DATABASES").await[..], [Said::Rows { .. }]));
    one.leave().await;
    two.leave().await;
}

#[tokio::test]
async fn kill_query_ends_rows_that_do_not_come() {
    let world = World::new();
    let server = world.server();
    let (mut one, mut two) = (world.connect_to(&server), world.connect_to(&server));
    one.login("alice", PASSWORD, None).await;
    two.login("alice", PASSWORD, None).await;
    one.command(QUERY, b"SHOW TABLES FROM stuck").await;
    while world.seen.stuck.load(Ordering::SeqCst) == 0 {
        yield_now().await;
    }
    assert_eq!(two.query("KILL QUERY 1").await, [Said::done()]);
    assert!(matches!(one.said().await, Said::Halfway { code: 1317, .. }));
    assert_eq!(one.ask(PING, &[]).await, Said::done());
    one.leave().await;
    two.leave().await;
}

#[tokio::test]
async fn kill_ends_the_connection_also_if_it_is_idle() {
    let world = World::new();
    let (mut one, mut two) = busy(&world).await;
    assert_eq!(two.query("KILL 1").await, [Said::done()]);
    assert_eq!(one.said().await.code(), 1317);
    one.restart();
    assert_eq!(one.said().await.code(), 1317);
    one.left().await;
    two.restart();
    assert_eq!(two.query("KILL 2").await, [Said::done()]);
    two.restart();
    assert_eq!(two.said().await.code(), 1317);
    two.left().await;
}

#[tokio::test]
async fn nobody_kills_what_is_not_theirs_unless_they_administrate() {
    let world = World::new();
    let server = world.server();
    let (mut one, mut two) = (world.connect_to(&server), world.connect_to(&server));
    one.login("alice", PASSWORD, None).await;
    two.login("empty", "", None).await;
    assert_eq!(one.query("KILL 2").await[0].code(), 1095);
    assert_eq!(one.query("KILL 3").await[0].code(), 1094);
    assert_eq!(one.query("KILL 4294967297").await[0].code(), 1094);
    assert_eq!(two.query("KILL CONNECTION 1").await, [Said::done()]);
    one.ended().await;
    assert_eq!(two.query("KILL 1").await[0].code(), 1094, "it is gone");
    two.leave().await;
}
