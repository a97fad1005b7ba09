use super::world::World;
use crate::sql::answer::{Answer, CellKind};
use crate::sql::session::SERVER_VERSION;

#[tokio::test]
async fn drivers_get_the_answers_they_ask_for_on_connecting() {
    let mut world = World::furnished().await;
    let (columns, rows) = world
        .rows("SELECT VERSION(), DATABASE(), @@transaction_isolation AS level, @@sql_mode, @@lower_case_table_names, 1, 'x', NULL")
        .await;
    assert_eq!(columns[2], "level");
    let cells: Vec<Option<&str>> = rows[0].iter().map(Option::as_deref).collect();
    let expected =
        [Some(SERVER_VERSION), Some("d"), Some("REPEATABLE-READ"), Some(""), Some("0"), Some("1"), Some("x"), None];
    assert_eq!(cells, expected);
    assert!(SERVER_VERSION.starts_with("5.7."));
    for text in
        ["SET NAMES utf8mb4", "SET autocommit = 0", "SET @@session.autocommit = ON", "BEGIN", "COMMIT", "ROLLBACK"]
    {
        assert!(matches!(world.run(text).await.unwrap(), Answer::Done { affected: 0, .. }), "{text}");
    }
    let (_, rows) = world.rows("SHOW VARIABLES LIKE 'Max\\_allowed%'").await;
    assert_eq!(rows, [[Some("max_allowed_packet".to_owned()), Some("16777216".to_owned())]]);
    assert!(world.first_column("SHOW COLLATION").await.contains(&"utf8mb4_general_ci".to_owned()));
    for text in ["SHOW CHARACTER SET", "SHOW ENGINES", "SHOW PLUGINS", "SHOW PROCESSLIST"] {
        assert!(!world.rows(text).await.1.is_empty(), "{text}");
    }
}

#[tokio::test]
async fn numbers_are_told_from_text() {
    let mut world = World::new().await;
    let Answer::Rows(rows) = world.run("SELECT 1, 1.5, 'a', @@autocommit, @@version").await.unwrap() else {
        panic!("no rows");
    };
    let kinds: Vec<CellKind> = rows.columns.into_iter().map(|column| column.kind).collect();
    use CellKind::{Integer, Text};
    assert_eq!(kinds, [Integer, Text, Text, Integer, Text]);
}

#[tokio::test]
async fn an_integer_that_no_signed_column_holds_is_text() {
    let mut world = World::new().await;
    let text = "SELECT @@sql_select_limit, 9223372036854775807, 9223372036854775808";
    let Answer::Rows(rows) = world.run(text).await.unwrap() else { panic!("no rows") };
    let kinds: Vec<CellKind> = rows.columns.into_iter().map(|column| column.kind).collect();
    assert_eq!(kinds, [CellKind::Text, CellKind::Integer, CellKind::Text]);
}

#[tokio::test]
async fn what_is_made_of_little_text_is_bounded() {
    let mut world = World::new().await;
    world.run(&format!("SET @a = '{}'", "x".repeat(4096))).await.unwrap();
    assert!(world.refused("SET @b = CONCAT(@a, 'x')").await.1.contains("CONCAT"));
    world.run("SET @b = CONCAT(@a, '')").await.unwrap();
    let select = |item: &str, times: usize| format!("SELECT {}", vec![item; times].join(", "));
    assert!(world.refused(&select("1", 1025)).await.1.contains("1024 items"));
    assert_eq!(world.rows(&select("1", 1024)).await.0.len(), 1024);
    assert!(world.refused(&select("@a", 257)).await.1.contains("1048576 bytes"));
    assert_eq!(world.rows(&select("@a", 256)).await.0.len(), 256);
}

#[tokio::test]
async fn what_is_set_is_what_is_asked_for_and_a_set_happens_wholly_or_not() {
    let mut world = World::new().await;
    world.run("SET @a = 'x', sql_mode = CONCAT(@@sql_mode, 'ANSI'), time_zone = '+00:00'").await.unwrap();
    let (_, rows) = world.rows("SELECT @a, @@sql_mode, @@time_zone, @never").await;
    assert_eq!(rows[0], [Some("x".to_owned()), Some("ANSI".to_owned()), Some("+00:00".to_owned()), None]);
    assert_eq!(
        world.refused("SET sql_mode = '', nonsense = 1").await,
        (1193, "Unknown system variable 'nonsense'".to_owned())
    );
    assert_eq!(world.rows("SELECT @@sql_mode").await.1[0], [Some("ANSI".to_owned())]);
    assert_eq!(world.refused("SELECT @@nonsense").await.0, 1193);
    assert_eq!(world.refused("SET version = '8'").await.0, 1238);
    assert!(world.refused("SET GLOBAL sql_mode = ''").await.1.contains("leave GLOBAL out"));
    world.run("SET sql_mode = DEFAULT").await.unwrap();
    assert_eq!(world.rows("SELECT @@sql_mode").await.1[0], [Some(String::new())]);
    world.run("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED").await.unwrap();
    assert_eq!(world.rows("SELECT @@tx_isolation").await.1[0], [Some("READ-COMMITTED".to_owned())]);
}

#[tokio::test]
async fn an_error_is_what_show_errors_lists_until_the_next_statement() {
    let mut world = World::furnished().await;
    world.refused("USE x").await;
    assert_eq!(
        world.rows("SELECT @@error_count, @@warning_count").await.1[0],
        [Some("1".to_owned()), Some("1".to_owned())]
    );
    let (_, rows) = world.rows("SHOW ERRORS").await;
    assert_eq!(
        rows[0].iter().map(|cell| cell.as_deref().unwrap()).collect::<Vec<_>>(),
        ["Error", "1049", "Unknown database 'x'"]
    );
    world.run("USE d").await.unwrap();
    assert!(world.rows("SHOW WARNINGS").await.1.is_empty());
}

#[tokio::test]
async fn a_connection_that_is_not_there_cannot_be_killed() {
    let mut world = World::new().await;
    assert_eq!(world.refused("KILL 7").await, (1094, "Unknown thread id: 7".to_owned()));
}
