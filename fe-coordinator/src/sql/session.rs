//! Who is connected: the current database, variables, and what the last statement wanted known.
//!
//! # Overview
//! A session runs statements one after the other ([`Session::run`]). Whether its user may is asked at every statement,
//! so that a privilege that is taken away is gone at once, and before any name is looked up: whoever has no privilege
//! learns nothing of what exists.
//!
//! # Cancellation
//! A dropped future of [`Session::run`] leaves the statement done or not done; the session can be used on.

use tabvault_common::failure::{Failure, Kind};

use self::variables::Variables;
use super::answer::Answer;
use super::error::SqlError;
use super::statement::{Show, Statement};
use crate::auth::{Identity, Privilege};
use crate::coordinator::Coordinator;

pub(super) mod variables;

/// What the server calls itself: connectors read the number before the first `-` to know what it can do.
pub const SERVER_VERSION: &str = concat!("5.7.99-tabvault-", env!("CARGO_PKG_VERSION"));

/// Most messages of one statement that SHOW WARNINGS lists.
const MAX_MESSAGES: usize = 100;

/// A connected user.
#[derive(Debug)]
pub struct Session {
    pub(super) coordinator: Coordinator,
    pub(super) who: Identity,
    pub(super) database: Option<String>,
    pub(super) connection: u64,
    pub(super) variables: Variables,
    pub(super) messages: Vec<Message>,
}

/// A row of SHOW WARNINGS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) error: bool,
    pub(super) code: u16,
    pub(super) text: String,
}

impl Message {
    fn of(error: &SqlError) -> Self {
        Self { error: true, code: error.code, text: error.failure.message.clone() }
    }
}

impl Session {
    /// A session of somebody who has proved who they are.
    #[must_use]
    pub fn new(coordinator: Coordinator, who: Identity) -> Self {
        let variables = Variables::default();
        Self { coordinator, who, database: None, connection: 0, variables, messages: Vec::new() }
    }

    /// The same with the number of its connection, which CONNECTION_ID() answers.
    #[must_use]
    pub fn with_connection(self, connection: u64) -> Self {
        Self { connection, ..self }
    }

    /// The current database.
    #[must_use]
    pub fn database(&self) -> Option<&str> {
        self.database.as_deref()
    }

    /// Whose session it is.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.who
    }

    /// How many messages SHOW WARNINGS would list.
    #[must_use]
    pub fn warnings(&self) -> u16 {
        u16::try_from(self.messages.len()).unwrap_or(u16::MAX)
    }

    /// USE: chooses the current database.
    ///
    /// # Errors
    /// `PermissionDenied` in the same words whether or not it exists; then 1049 "Unknown database 'd'".
    pub async fn use_database(&mut self, name: &str) -> Result<(), SqlError> {
        let found = self.find_database(name).await;
        self.messages = found.as_ref().err().map(Message::of).into_iter().collect();
        found?;
        self.database = Some(name.to_owned());
        Ok(())
    }

    async fn find_database(&self, name: &str) -> Result<(), SqlError> {
        self.may_see(name).await?;
        let known = self.coordinator.catalog().databases().await?;
        if known.iter().any(|known| known == name) { Ok(()) } else { Err(SqlError::unknown_database(name)) }
    }

    /// Reads a text, whole or not at all. What is wrong with it is what SHOW WARNINGS lists next.
    ///
    /// # Errors
    /// As [`parse`](super::parse()).
    pub fn parse(&mut self, text: &str) -> Result<Vec<Statement>, SqlError> {
        super::parse(text).inspect_err(|error| self.messages = vec![Message::of(error)])
    }

    /// Runs a statement.
    ///
    /// # Errors
    /// What refuses it. Rows may still end with a failure while they are taken.
    pub async fn run(&mut self, statement: &Statement) -> Result<Answer, SqlError> {
        let result = self.execute(statement).await;
        // What looks at the messages of the statement before leaves them.
        let looks_back = match statement {
            Statement::Show(Show::Warnings | Show::Errors) => true,
            Statement::Select(_) => result.is_ok(),
            _ => false,
        };
        if !looks_back {
            self.messages = messages(&result);
        }
        result
    }

    /// Refuses whoever is no administrator.
    pub(super) async fn admin(&self) -> Result<(), SqlError> {
        Ok(self.coordinator.authorizer().authorize(&self.who, &Privilege::Admin).await?)
    }

    /// Refuses whoever may neither load into `database` nor administrate.
    pub(super) async fn may_see(&self, database: &str) -> Result<(), SqlError> {
        let privilege = Privilege::Load(database.to_owned());
        Ok(self.coordinator.authorizer().authorize(&self.who, &privilege).await?)
    }

    /// Whether the user has a privilege.
    pub(super) async fn has(&self, privilege: &Privilege) -> Result<bool, SqlError> {
        match self.coordinator.authorizer().authorize(&self.who, privilege).await {
            Ok(()) => Ok(true),
            Err(failure) if failure.kind == Kind::PermissionDenied => Ok(false),
            Err(failure) => Err(failure.into()),
        }
    }

    /// The database that is meant: the one named, or the current one.
    pub(super) fn meant<'a>(&'a self, named: Option<&'a str>) -> Result<&'a str, SqlError> {
        named.or(self.database.as_deref()).ok_or_else(|| SqlError {
            failure: Failure::fatal(Kind::InvalidArgument, "No database selected: name one, or choose one with USE"),
            code: 1046,
            sqlstate: "3D000",
            place: None,
        })
    }
}

fn messages(result: &Result<Answer, SqlError>) -> Vec<Message> {
    match result {
        Ok(Answer::Rows(_)) => Vec::new(),
        Ok(Answer::Done { notices, .. }) => {
            let notice = |text: &String| Message { error: false, code: 1105, text: text.clone() };
            notices.iter().take(MAX_MESSAGES).map(notice).collect()
        }
        Err(error) => vec![Message::of(error)],
    }
}
