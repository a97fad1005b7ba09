//! What stands behind the listener: who may come in, and the session each of them gets.

use async_trait::async_trait;
use tabvault_common::failure::Failure;
use tabvault_fe_coordinator::auth::{Identity, Privilege, Proof};
use tabvault_fe_coordinator::coordinator::Coordinator;
use tabvault_fe_coordinator::sql::answer::Answer;
use tabvault_fe_coordinator::sql::{Session, SqlError, Statement};

/// Lets people in.
#[async_trait]
pub(super) trait Door: Send + Sync {
    /// Who this is; as `Authorizer::authenticate`.
    async fn authenticate(&self, user: &str, proof: &Proof) -> Result<Identity, Failure>;

    /// Whether `who` may do what administrators may.
    async fn administrates(&self, who: &Identity) -> Result<(), Failure>;

    /// A new session for `who` on the connection with this number.
    fn open(&self, who: Identity, connection: u32) -> Box<dyn Sql>;
}

/// One connection's session.
#[async_trait]
pub(super) trait Sql: Send {
    /// The database in use.
    fn database(&self) -> Option<&str>;

    /// Uses another database.
    async fn use_database(&mut self, name: &str) -> Result<(), SqlError>;

    /// Reads a text, whole or not at all.
    fn parse(&mut self, text: &str) -> Result<Vec<Statement>, SqlError>;

    /// Runs a statement; dropped, it is done or not done.
    async fn run(&mut self, statement: &Statement) -> Result<Answer, SqlError>;
}

#[async_trait]
impl Door for Coordinator {
    async fn authenticate(&self, user: &str, proof: &Proof) -> Result<Identity, Failure> {
        self.authorizer().authenticate(user, proof).await
    }

    async fn administrates(&self, who: &Identity) -> Result<(), Failure> {
        self.authorizer().authorize(who, &Privilege::Admin).await
    }

    fn open(&self, who: Identity, connection: u32) -> Box<dyn Sql> {
        Box::new(Session::new(self.clone(), who).with_connection(connection.into()))
    }
}

#[async_trait]
impl Sql for Session {
    fn database(&self) -> Option<&str> {
        Session::database(self)
    }

    async fn use_database(&mut self, name: &str) -> Result<(), SqlError> {
        Session::use_database(self, name).await
    }

    fn parse(&mut self, text: &str) -> Result<Vec<Statement>, SqlError> {
        Session::parse(self, text)
    }

    async fn run(&mut self, statement: &Statement) -> Result<Answer, SqlError> {
        Session::run(self, statement).await
    }
}
