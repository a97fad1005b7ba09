//! A door without a coordinator behind it: what a statement does stands in the name of the database it asks for.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use futures::stream;
use mysql_common::auth::plugins::mysql_native_password::scramble_native;
use tabvault_common::failure::{Failure, Kind};
use tabvault_fe_coordinator::auth::{Identity, Proof};
use tabvault_fe_coordinator::sql::answer::{Answer, CellKind, Column, Rows};
use tabvault_fe_coordinator::sql::{SqlError, Statement};

use super::super::door::{Door, Sql};

/// What `alice` says to come in; `empty` says nothing.
pub(super) const PASSWORD: &str = "pässword";
/// Rows of a page of the long answer, and the characters of each.
pub(super) const PAGE: usize = 64;
pub(super) const WIDE: usize = 1024;
/// Characters of a cell that fits into no packet.
pub(super) const HUGE: usize = (16 << 20) + 5;

/// Lets `alice` and `empty` in.
#[derive(Debug, Default)]
pub(super) struct Stub {
    pub(super) seen: Arc<Seen>,
}

/// What happened behind the door.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Statements that were begun.
    pub(super) begun: AtomicUsize,
    /// Statements that were dropped under way.
    pub(super) dropped: AtomicUsize,
    /// Rows that are waited for and never come.
    pub(super) stuck: AtomicUsize,
    /// Pages that were asked for.
    pub(super) pages: AtomicUsize,
}

#[async_trait]
impl Door for Stub {
    async fn authenticate(&self, user: &str, proof: &Proof) -> Result<Identity, Failure> {
        let password = match user {
            "alice" => PASSWORD,
            "empty" => "",
            "broken" => return Err(Failure::transient(Kind::Unreachable, "the users cannot be read")),
            _ => return Err(denied()),
        };
        let right = match proof {
            Proof::Password(given) => given.expose() == password,
            Proof::MysqlNative { salt, response } => match scramble_native(salt, password.as_bytes()) {
                Some(expected) => response[..] == expected,
                None => response.is_empty(),
            },
        };
        if right { Ok(Identity { user: user.to_owned() }) } else { Err(denied()) }
    }

    async fn administrates(&self, who: &Identity) -> Result<(), Failure> {
        if who.user == "empty" { Ok(()) } else { Err(denied()) }
    }

    fn open(&self, who: Identity, connection: u32) -> Box<dyn Sql> {
        Box::new(Session { who, connection, database: None, seen: self.seen.clone() })
    }
}

fn denied() -> Failure {
    Failure::fatal(Kind::Unauthenticated, "Access denied")
}

struct Session {
    who: Identity,
    connection: u32,
    database: Option<String>,
    seen: Arc<Seen>,
}

#[async_trait]
impl Sql for Session {
    fn database(&self) -> Option<&str> {
        self.database.as_deref()
    }

    async fn use_database(&mut self, name: &str) -> Result<(), SqlError> {
        if name == "missing" {
            return Err(SqlError::unknown_database(name));
        }
        self.database = Some(name.to_owned());
        Ok(())
    }

    fn parse(&mut self, text: &str) -> Result<Vec<Statement>, SqlError> {
        tabvault_fe_coordinator::sql::parse(text)
    }

    async fn run(&mut self, statement: &Statement) -> Result<Answer, SqlError> {
        let does = format!("{statement:?}");
        let seen = self.seen.clone();
        seen.begun.fetch_add(1, Ordering::SeqCst);
        let does = |what: &str| does.contains(what);
        match () {
            () if does("slow") => {
                let _dropped = Dropped(&self.seen.dropped);
                std::future::pending().await
            }
            () if does("done") => {
                Ok(Answer::Done { affected: 7, notices: vec!["first".to_owned(), "second".to_owned()] })
            }
            () if does("missing") => Err(SqlError::unknown_table("missing")),
            () if does("halfway") => Ok(rows(vec![
                Ok(vec![vec![Some("1".to_owned()), None]]),
                Err(Failure::fatal(Kind::Corrupt, "the rest is damaged")),
            ])),
            () if does("wrong") => Ok(rows(vec![Ok(vec![vec![Some("one".to_owned()), None]])])),
            () if does("uneven") => Ok(rows(vec![Ok(vec![vec![None]])])),
            () if does("huge") => Ok(rows(vec![Ok(vec![vec![None, Some("x".repeat(HUGE))]])])),
            () if does("stuck") => {
                let mut answer = rows(Vec::new());
                if let Answer::Rows(rows) = &mut answer {
                    rows.pages = Box::pin(stream::once(async move {
                        seen.stuck.fetch_add(1, Ordering::SeqCst);
                        std::future::pending().await
                    }));
                }
                Ok(answer)
            }
            () if does("many") => {
                let pages = stream::repeat_with(move || {
                    seen.pages.fetch_add(1, Ordering::SeqCst);
                    Ok(vec![vec![Some("5".to_owned()), Some("x".repeat(WIDE))]; PAGE])
                });
                let Answer::Rows(rows) = rows(Vec::new()) else { panic!("rows are rows") };
                Ok(Answer::Rows(Rows { pages: Box::pin(pages), ..rows }))
            }
            () => {
                let text = format!("{} {} {:?}", self.who.user, self.connection, self.database);
                Ok(rows(vec![
                    Ok(vec![vec![Some("-1".to_owned()), Some(text)]]),
                    Ok(vec![]),
                    Ok(vec![vec![None, Some(String::new())], vec![Some(i64::MAX.to_string()), None]]),
                ]))
            }
        }
    }
}

struct Dropped<'a>(&'a AtomicUsize);

impl Drop for Dropped<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

type Page = Result<Vec<Vec<Option<String>>>, Failure>;

fn rows(pages: Vec<Page>) -> Answer {
    let column = |name: &str, kind| Column { name: name.to_owned(), kind };
    let columns = vec![column("Number", CellKind::Integer), column("Text", CellKind::Text)];
    Answer::Rows(Rows { columns, pages: Box::pin(stream::iter(pages)) })
}
