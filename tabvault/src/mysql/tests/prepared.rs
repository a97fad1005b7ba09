use mysql_common::constants::{CapabilityFlags, ColumnType};

use super::client::{Client, Said, World};
use super::stub::PASSWORD;

const PREPARE: u8 = 22;
const EXECUTE: u8 = 23;
const SEND_LONG_DATA: u8 = 24;
const CLOSE: u8 = 25;
const RESET: u8 = 26;
const PING: u8 = 14;
const QUESTION: &str = "SHOW BACKUP FROM shop WHERE SnapshotName = ?";

/// Prepares `text` and answers with its number.
async fn prepare(client: &mut Client, text: &str, parameters: u16) -> u32 {
    client.command(PREPARE, text.as_bytes()).await;
    let packet = client.receive().await.unwrap();
    assert_eq!(packet.len(), 12, "{packet:?}");
    assert_eq!((packet[0], &packet[5..7], &packet[7..9]), (0, &[0, 0][..], &parameters.to_le_bytes()[..]));
    let end = !client.capabilities.contains(CapabilityFlags::CLIENT_DEPRECATE_EOF) && parameters > 0;
    for _ in 0..parameters + u16::from(end) {
        client.receive().await.unwrap();
    }
    u32::from_le_bytes(packet[1..5].try_into().unwrap())
}

async fn execute(client: &mut Client, number: u32, values: &[u8]) -> Vec<Said> {
    client.command(EXECUTE, &[&number.to_le_bytes()[..], &[0, 1, 0, 0, 0], values].concat()).await;
    client.all_said().await
}

fn string(text: &str) -> Vec<u8> {
    let length = u8::try_from(text.len()).unwrap();
    [&[0, 1, ColumnType::MYSQL_TYPE_VAR_STRING as u8, 0, length], text.as_bytes()].concat()
}

#[tokio::test]
async fn a_value_takes_the_place_of_its_question_mark() {
    let world = World::new();
    for end in [CapabilityFlags::empty(), CapabilityFlags::CLIENT_DEPRECATE_EOF] {
        let mut client = world.connect();
        client.capabilities |= end;
        client.login("alice", PASSWORD, None).await;
        let number = prepare(&mut client, QUESTION, 1).await;
        assert!(matches!(execute(&mut client, number, &string("done")).await[..], [Said::Done { affected: 7, .. }]));
        assert_eq!(execute(&mut client, number, &string("missing")).await[0].code(), 1146);
        assert!(matches!(execute(&mut client, number, &string("other")).await[..], [Said::Rows { .. }]));
        client.leave().await;
    }
}

#[tokio::test]
async fn rows_of_prepared_statements_are_binary() {
    let mut client = World::new().alice().await;
    let number = prepare(&mut client, "SHOW DATABASES", 0).await;
    let said = execute(&mut client, number, &[]).await;
    let [Said::Rows { columns, rows, more: false }] = &said[..] else { panic!("{said:?}") };
    assert_eq!(columns.len(), 2);
    let text = b"alice 1 None";
    assert_eq!(rows[0], [&[0, 0][..], &(-1_i64).to_le_bytes(), &[12], text].concat());
    assert_eq!(rows[1], [0, 0b0100, 0], "the first is NULL, the second empty");
    assert_eq!(rows[2], [&[0, 0b1000][..], &i64::MAX.to_le_bytes()].concat());
    client.leave().await;
}

#[tokio::test]
async fn an_integer_that_is_none_is_an_error_and_not_a_wrong_number() {
    let mut client = World::new().alice().await;
    let number = prepare(&mut client, "SHOW TABLES FROM wrong", 0).await;
    let said = execute(&mut client, number, &[]).await;
    assert!(matches!(said[..], [Said::Halfway { code: 1105, .. }]), "{said:?}");
    assert_eq!(client.ask(PING, &[]).await, Said::done());
    client.leave().await;
}

#[tokio::test]
async fn a_text_that_cannot_be_read_is_refused_when_it_is_prepared() {
    let mut client = World::new().alice().await;
    assert_eq!(client.ask(PREPARE, b"SHOW NONSENSE").await.code(), 1064);
    assert_eq!(client.ask(PREPARE, b"\xff").await.code(), 1300);
    assert_eq!(client.ask(PREPARE, b"SHOW DATABASES; SHOW DATABASES").await.code(), 1064, "one at a time");
    assert_eq!(client.ask(PREPARE, b" ; -- nothing").await.code(), 1065);
    assert_eq!(client.ask(EXECUTE, b"").await.code(), 1210);
    let number = prepare(&mut client, QUESTION, 1).await;
    assert_eq!(execute(&mut client, number, &[]).await[0].code(), 1210, "the value is missing");
    client.leave().await;
}

#[tokio::test]
async fn a_statement_that_is_closed_is_gone() {
    let mut client = World::new().alice().await;
    let number = prepare(&mut client, QUESTION, 1).await;
    client.command(CLOSE, &number.to_le_bytes()).await;
    // It has no answer: the next is that of the next command.
    assert_eq!(execute(&mut client, number, &string("done")).await[0].code(), 1243);
    client.command(CLOSE, &number.to_le_bytes()).await;
    client.command(CLOSE, &[]).await;
    assert_eq!(client.ask(RESET, &number.to_le_bytes()).await.code(), 1243);
    assert_ne!(prepare(&mut client, QUESTION, 1).await, number, "a number is not used twice");
    client.leave().await;
}

#[tokio::test]
async fn a_value_may_be_sent_ahead_in_pieces_until_it_is_reset() {
    let mut client = World::new().alice().await;
    let number = prepare(&mut client, QUESTION, 1).await;
    let ahead = |piece: &str| [&number.to_le_bytes()[..], &[0, 0], piece.as_bytes()].concat();
    let blob = [0, 1, ColumnType::MYSQL_TYPE_BLOB as u8, 0];
    client.command(SEND_LONG_DATA, &ahead("do")).await;
    client.command(SEND_LONG_DATA, &ahead("ne")).await;
    assert!(matches!(execute(&mut client, number, &blob).await[..], [Said::Done { affected: 7, .. }]));
    assert_eq!(execute(&mut client, number, &blob).await[0].code(), 1210, "it is used up");
    client.command(SEND_LONG_DATA, &ahead("missing")).await;
    assert_eq!(client.ask(RESET, &number.to_le_bytes()).await, Said::done());
    assert!(matches!(execute(&mut client, number, &string("done")).await[..], [Said::Done { affected: 7, .. }]));
    client.leave().await;
}

#[tokio::test]
async fn what_is_sent_ahead_is_bounded_over_all_statements() {
    let mut world = World::new();
    world.settings.limits.packet = 1000;
    let mut client = world.alice().await;
    let (one, two) = (prepare(&mut client, QUESTION, 1).await, prepare(&mut client, QUESTION, 1).await);
    let blob = [0, 1, ColumnType::MYSQL_TYPE_BLOB as u8, 0];
    for number in [one, two] {
        client.command(SEND_LONG_DATA, &[&number.to_le_bytes()[..], &[0, 0], &[b'x'; 600]].concat()).await;
    }
    assert!(matches!(execute(&mut client, one, &blob).await[..], [Said::Rows { .. }]));
    assert_eq!(execute(&mut client, two, &blob).await[0].code(), 1153);
    // For a parameter that is not there.
    client.command(SEND_LONG_DATA, &[&one.to_le_bytes()[..], &[1, 0], b"x"].concat()).await;
    assert_eq!(execute(&mut client, one, &string("done")).await[0].code(), 1153);
    assert!(matches!(execute(&mut client, one, &string("done")).await[..], [Said::Done { .. }]));
    client.leave().await;
}

#[tokio::test]
async fn prepared_statements_are_bounded() {
    let mut client = World::new().alice().await;
    for _ in 0..1024 {
        prepare(&mut client, "SHOW DATABASES", 0).await;
    }
    assert_eq!(client.ask(PREPARE, b"SHOW DATABASES").await.code(), 1461);
    client.command(CLOSE, &[1, 0, 0, 0]).await;
    prepare(&mut client, "SHOW DATABASES", 0).await;
    client.leave().await;
    let mut client = World::new().alice().await;
    let long = format!("SHOW DATABASES -- {}", "x".repeat(600 << 10));
    prepare(&mut client, &long, 0).await;
    assert_eq!(client.ask(PREPARE, long.as_bytes()).await.code(), 1461);
    client.leave().await;
}
