use mysql_common::constants::{CapabilityFlags, ColumnType};

use super::client::{Client, Said, World, cells};
use super::stub::PASSWORD;

const INIT_DB: u8 = 2;
const FIELD_LIST: u8 = 4;
const PING: u8 = 14;
const CHANGE_USER: u8 = 17;
const SET_OPTION: u8 = 27;
const RESET_CONNECTION: u8 = 31;

fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

/// Where the session of `client` is.
async fn place(client: &mut Client) -> String {
    let said = client.query("SHOW DATABASES").await;
    let Said::Rows { rows, .. } = &said[0] else { panic!("{said:?}") };
    cells(&rows[0])[1].clone().unwrap()
}

#[tokio::test]
async fn rows_come_with_their_columns_whichever_end_the_client_wants() {
    let world = World::new();
    for end in [CapabilityFlags::empty(), CapabilityFlags::CLIENT_DEPRECATE_EOF] {
        let mut client = world.connect();
        client.capabilities |= end;
        client.login("alice", PASSWORD, None).await;
        let said = client.query("SHOW DATABASES").await;
        let [Said::Rows { columns, rows, more: false }] = &said[..] else { panic!("{said:?}") };
        let (number, string) = (ColumnType::MYSQL_TYPE_LONGLONG as u8, ColumnType::MYSQL_TYPE_VAR_STRING as u8);
        assert_eq!(columns, &[("Number".to_owned(), number), ("Text".to_owned(), string)]);
        let rows: Vec<_> = rows.iter().map(|row| cells(row)).collect();
        assert_eq!(rows[0], [text("-1"), text("alice 1 None")]);
        assert_eq!(rows[1], [None, text("")]);
        assert_eq!(rows[2], [text("9223372036854775807"), None]);
        client.leave().await;
    }
}

#[tokio::test]
async fn what_is_done_tells_its_first_notice_and_their_number() {
    let mut client = World::new().alice().await;
    let done = Said::Done { affected: 7, warnings: 2, info: "first".to_owned(), more: false };
    assert_eq!(client.query("SHOW TABLES FROM done").await, [done]);
    client.leave().await;
}

#[tokio::test]
async fn several_statements_answer_in_order_until_one_fails() {
    let world = World::new();
    let mut client = world.connect();
    client.capabilities |= CapabilityFlags::CLIENT_MULTI_STATEMENTS;
    client.login("alice", PASSWORD, None).await;
    let text = "SHOW DATABASES; SHOW TABLES FROM done;; SHOW TABLES FROM missing; SHOW TABLES FROM done;";
    let said = client.query(text).await;
    assert!(matches!(said[0], Said::Rows { more: true, .. }), "{said:?}");
    assert!(matches!(said[1], Said::Done { affected: 7, more: true, .. }), "{said:?}");
    assert_eq!(said[2].code(), 1146);
    assert_eq!(said.len(), 3);
    assert_eq!(world.seen.begun.load(std::sync::atomic::Ordering::SeqCst), 3);
    assert_eq!(client.ask(PING, &[]).await, Said::done());
    client.leave().await;
}

#[tokio::test]
async fn several_statements_run_only_for_clients_that_said_they_would_send_some() {
    let world = World::new();
    let mut client = world.alice().await;
    let two = "SHOW TABLES FROM done; SHOW TABLES FROM done";
    assert_eq!(client.query(two).await[0].code(), 1064);
    assert_eq!(world.seen.begun.load(std::sync::atomic::Ordering::SeqCst), 0, "not even the first");
    assert_eq!(client.query("SHOW TABLES FROM done;").await.len(), 1);
    client.command(SET_OPTION, &[0, 0]).await;
    assert_eq!(client.receive().await.unwrap()[0], 0xfe);
    assert_eq!(client.query(two).await.len(), 2);
    client.command(SET_OPTION, &[1, 0]).await;
    assert_eq!(client.receive().await.unwrap()[0], 0xfe);
    assert_eq!(client.query(two).await[0].code(), 1064);
    client.leave().await;
}

#[tokio::test]
async fn rows_that_end_with_an_error_say_so_and_the_connection_goes_on() {
    let mut client = World::new().alice().await;
    let said = client.query("SHOW TABLES FROM halfway").await;
    let [Said::Halfway { rows, code: 1105 }] = &said[..] else { panic!("{said:?}") };
    assert_eq!(cells(&rows[0]), [text("1"), None]);
    let said = client.query("SHOW TABLES FROM uneven").await;
    assert!(matches!(said[..], [Said::Halfway { code: 1105, .. }]), "{said:?}");
    assert_eq!(client.ask(PING, &[]).await, Said::done());
    client.leave().await;
}

#[tokio::test]
async fn a_cell_larger_than_a_packet_may_be_comes_in_several() {
    let mut client = World::new().alice().await;
    let said = client.query("SHOW TABLES FROM huge").await;
    let Said::Rows { rows, .. } = &said[0] else { panic!("no rows") };
    assert_eq!(cells(&rows[0])[1].as_ref().unwrap().len(), super::stub::HUGE);
    assert_eq!(client.ask(PING, &[]).await, Said::done());
    client.leave().await;
}

#[tokio::test]
async fn what_cannot_be_understood_is_refused_and_the_connection_goes_on() {
    let mut client = World::new().alice().await;
    assert_eq!(client.query("").await[0].code(), 1065);
    assert_eq!(client.query(" ; /* nothing */ ;-- at all").await[0].code(), 1065);
    let said = client.query("SHOW NONSENSE").await;
    assert_eq!(said[0].code(), 1064, "{said:?}");
    assert_eq!(client.ask(3, b"SHOW \xff").await.code(), 1300);
    assert_eq!(client.ask(FIELD_LIST, b"t\0").await.code(), 1047);
    assert_eq!(client.ask(0xf0, b"").await.code(), 1047);
    assert_eq!(client.ask(SET_OPTION, b"").await.code(), 1047);
    assert_eq!(client.ask(PING, &[]).await, Said::done());
    client.leave().await;
}

#[tokio::test]
async fn a_database_is_used_until_another_is() {
    let mut client = World::new().alice().await;
    assert_eq!(client.ask(INIT_DB, "库".as_bytes()).await, Said::done());
    assert_eq!(place(&mut client).await, "alice 1 Some(\"库\")");
    assert_eq!(client.ask(INIT_DB, b"missing").await.code(), 1049);
    assert_eq!(client.ask(INIT_DB, b"\xff").await.code(), 1300);
    assert_eq!(place(&mut client).await, "alice 1 Some(\"库\")");
    client.leave().await;
}

#[tokio::test]
async fn a_reset_forgets_all_but_user_and_database() {
    let mut client = World::new().alice().await;
    client.ask(INIT_DB, b"shop").await;
    client.command(22, b"SHOW DATABASES").await;
    assert_eq!(client.receive().await.unwrap()[..5], [0, 1, 0, 0, 0]);
    assert!(matches!(client.ask(23, &[1, 0, 0, 0, 0, 1, 0, 0, 0]).await, Said::Rows { .. }));
    assert_eq!(client.ask(RESET_CONNECTION, &[]).await, Said::done());
    assert_eq!(place(&mut client).await, "alice 1 Some(\"shop\")");
    assert_eq!(client.ask(23, &[1, 0, 0, 0, 0, 1, 0, 0, 0]).await.code(), 1243);
    client.leave().await;
}

#[tokio::test]
async fn a_connection_passes_to_another_user_who_proves_it() {
    let world = World::new();
    let mut client = world.alice().await;
    client.command(CHANGE_USER, b"empty\0\0shop\0\x2d\0mysql_native_password\0").await;
    assert_eq!(client.receive().await.unwrap()[0], 0xfe, "proof is asked for");
    client.send(&[]).await;
    assert_eq!(client.said().await, Said::done());
    assert_eq!(place(&mut client).await, "empty 1 Some(\"shop\")");
    client.command(CHANGE_USER, b"alice\0\0\0").await;
    client.receive().await.unwrap();
    client.send(&[9; 20]).await;
    assert_eq!(client.said().await.code(), 1045);
    client.left().await;
}

#[tokio::test]
async fn who_wants_to_be_somebody_of_a_very_long_name_is_put_out() {
    let mut client = World::new().alice().await;
    client.command(CHANGE_USER, &[&vec![b'x'; 64 << 10][..], b"\0\0\0"].concat()).await;
    assert_eq!(client.said().await.code(), 1153);
    client.left().await;
}

#[tokio::test]
async fn a_client_says_goodbye() {
    let mut client = World::new().alice().await;
    client.command(1, &[]).await;
    client.left().await;
}
