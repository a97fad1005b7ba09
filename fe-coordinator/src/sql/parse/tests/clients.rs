//! What mariadb, PyMySQL, mysql-connector-python, SQLAlchemy, DBeaver and Connector/J send by themselves.

use super::{become_these, s, some};
use crate::sql::statement::{
    Function, Isolation, Literal, Scope, Select, SelectItem, SelectValue, SetItem, SetValue, Statement, Variable,
};

fn variable(scope: Option<Scope>, name: &str) -> Variable {
    Variable { scope, name: s(name) }
}

fn set(scope: Option<Scope>, name: &str, value: SetValue) -> SetItem {
    SetItem::Variable { variable: variable(scope, name), value }
}

fn number(text: &str) -> SetValue {
    SetValue::Literal(Literal::Number(s(text)))
}

fn text(text: &str) -> SetValue {
    SetValue::Literal(Literal::Text(s(text)))
}

fn select(items: Vec<(SelectValue, &str)>, limit: Option<u64>) -> Statement {
    let items = items.into_iter().map(|(value, name)| SelectItem { value, name: s(name) }).collect();
    Statement::Select(Select { items, limit })
}

#[test]
fn select_of_variables_functions_and_literals() {
    let function = |function| SelectValue::Function(function);
    let literal = |literal| SelectValue::Literal(literal);
    let comment = || SelectValue::Variable(variable(None, "version_comment"));
    let increment = || SelectValue::Variable(variable(Some(Scope::Session), "auto_increment_increment"));
    become_these(vec![
        ("select @@version_comment limit 1", select(vec![(comment(), "@@version_comment")], Some(1))),
        ("SELECT DATABASE()", select(vec![(function(Function::Database), "DATABASE()")], None)),
        (
            "select database(), USER() u LIMIT 0, 1",
            select(vec![(function(Function::Database), "database()"), (function(Function::User), "u")], Some(1)),
        ),
        (
            "/* mysql-connector-j-8 */SELECT  @@session.auto_increment_increment AS auto_increment_increment, \
             @@version_comment AS `v c`",
            select(vec![(increment(), "auto_increment_increment"), (comment(), "v c")], None),
        ),
        (
            "SELECT VERSION(), CURRENT_USER, CONNECTION_ID(), NOW(), LAST_INSERT_ID()",
            select(
                vec![
                    (function(Function::Version), "VERSION()"),
                    (function(Function::CurrentUser), "CURRENT_USER"),
                    (function(Function::ConnectionId), "CONNECTION_ID()"),
                    (function(Function::Now), "NOW()"),
                    (function(Function::LastInsertId), "LAST_INSERT_ID()"),
                ],
                None,
            ),
        ),
        (
            "SELECT 1, -1.5, NULL, TRUE, 'it''s' FROM DUAL LIMIT 5 OFFSET 1",
            select(
                vec![
                    (literal(Literal::Number(s("1"))), "1"),
                    (literal(Literal::Number(s("-1.5"))), "-1.5"),
                    (literal(Literal::Null), "NULL"),
                    (literal(Literal::Number(s("1"))), "TRUE"),
                    (literal(Literal::Text(s("it's"))), "it's"),
                ],
                Some(0),
            ),
        ),
        ("SELECT @x AS 'a b'", select(vec![(SelectValue::UserVariable(s("x")), "a b")], None)),
    ]);
}

#[test]
fn set_in_all_its_forms() {
    let sets = |items| Statement::Set(items);
    let session = Some(Scope::Session);
    let charset = |charset: Option<&str>, collation: Option<&str>| SetItem::Names {
        charset: charset.map(s),
        collation: collation.map(s),
    };
    let transaction = |scope, isolation, read_only| SetItem::Transaction { scope, isolation, read_only };
    let mode = || SetValue::Variable(variable(None, "sql_mode"));
    become_these(vec![
        ("SET AUTOCOMMIT = 0", sets(vec![set(None, "AUTOCOMMIT", number("0"))])),
        ("SET NAMES utf8mb4", sets(vec![charset(Some("utf8mb4"), None)])),
        (
            "SET NAMES 'utf8mb4' COLLATE 'utf8mb4_0900_ai_ci'",
            sets(vec![charset(Some("utf8mb4"), Some("utf8mb4_0900_ai_ci"))]),
        ),
        ("SET NAMES DEFAULT", sets(vec![charset(None, None)])),
        ("SET CHARACTER SET utf8", sets(vec![SetItem::CharacterSet(some("utf8"))])),
        ("SET @@session.autocommit = OFF", sets(vec![set(session, "autocommit", SetValue::Word(s("OFF")))])),
        (
            "SET character_set_results = NULL",
            sets(vec![set(None, "character_set_results", SetValue::Literal(Literal::Null))]),
        ),
        ("SET SQL_SELECT_LIMIT=DEFAULT", sets(vec![set(None, "SQL_SELECT_LIMIT", SetValue::Word(s("DEFAULT")))])),
        (
            "SET SESSION a = 1, b := ON, @c = 'x', GLOBAL d = @@sql_mode, e = @c",
            sets(vec![
                set(session, "a", number("1")),
                set(session, "b", SetValue::Word(s("ON"))),
                SetItem::UserVariable { name: s("c"), value: text("x") },
                set(Some(Scope::Global), "d", mode()),
                set(Some(Scope::Global), "e", SetValue::UserVariable(s("c"))),
            ]),
        ),
        (
            "set autocommit=1, sql_mode = concat(@@sql_mode,',STRICT_TRANS_TABLES')",
            sets(vec![
                set(None, "autocommit", number("1")),
                set(None, "sql_mode", SetValue::Concat(vec![mode(), text(",STRICT_TRANS_TABLES")])),
            ]),
        ),
        (
            "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
            sets(vec![transaction(session, Some(Isolation::RepeatableRead), None)]),
        ),
        (
            "SET TRANSACTION READ ONLY, ISOLATION LEVEL READ COMMITTED",
            sets(vec![transaction(None, Some(Isolation::ReadCommitted), Some(true))]),
        ),
        (
            "/*!40101 SET @OLD_SQL_MODE=@@SQL_MODE */",
            sets(vec![SetItem::UserVariable {
                name: s("OLD_SQL_MODE"),
                value: SetValue::Variable(variable(None, "SQL_MODE")),
            }]),
        ),
    ]);
    assert_eq!(super::parse("/*!80000 SET x = 1 */;").unwrap(), []);
}

#[test]
fn transactions_use_and_kill() {
    let kill = |query| Statement::Kill { connection: 7, query };
    become_these(vec![
        ("START TRANSACTION", Statement::Begin),
        ("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY", Statement::Begin),
        ("BEGIN WORK", Statement::Begin),
        ("COMMIT", Statement::Commit),
        ("rollback", Statement::Rollback),
        ("USE `my db`", Statement::Use(s("my db"))),
        ("KILL 7", kill(false)),
        ("KILL QUERY 7", kill(true)),
    ]);
}
