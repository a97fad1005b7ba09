//! One connection: commands come in, answers go out, one after the other.

use std::io;
use std::sync::Arc;

use futures::StreamExt;
use mysql_common::constants::{CapabilityFlags, Command};
use mysql_common::io::ParseBuf;
use mysql_common::packets::AuthPlugin;
use tabvault_common::failure::{Failure, Kind};
use tabvault_fe_coordinator::sql::Statement;
use tabvault_fe_coordinator::sql::answer::{Answer, Rows};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::channel::Channel;
use super::door::{Door, Sql};
use super::login::{self, Ended, Guest, Peer};
use super::packets::{self, End};
use super::refusal::Refusal;
use super::roll::Entry;
use super::statements::Statements;
use super::{LARGEST_BEFORE_LOGIN, Settings};

const COM_QUIT: u8 = Command::COM_QUIT as u8;
const COM_INIT_DB: u8 = Command::COM_INIT_DB as u8;
const COM_QUERY: u8 = Command::COM_QUERY as u8;
const COM_PING: u8 = Command::COM_PING as u8;
const COM_CHANGE_USER: u8 = Command::COM_CHANGE_USER as u8;
const COM_STMT_PREPARE: u8 = Command::COM_STMT_PREPARE as u8;
const COM_STMT_EXECUTE: u8 = Command::COM_STMT_EXECUTE as u8;
const COM_STMT_SEND_LONG_DATA: u8 = Command::COM_STMT_SEND_LONG_DATA as u8;
const COM_STMT_CLOSE: u8 = Command::COM_STMT_CLOSE as u8;
const COM_STMT_RESET: u8 = Command::COM_STMT_RESET as u8;
const COM_SET_OPTION: u8 = Command::COM_SET_OPTION as u8;
const COM_RESET_CONNECTION: u8 = Command::COM_RESET_CONNECTION as u8;

/// How rows travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Text,
    Binary,
}

/// Somebody who came in, and what they have.
pub(super) struct Connection<'a> {
    channel: &'a mut Channel,
    door: Arc<dyn Door>,
    settings: &'a Settings,
    peer: &'a Peer,
    guest: Guest,
    place: Entry,
    sql: Box<dyn Sql>,
    statements: Statements,
}

impl<'a> Connection<'a> {
    /// Lets `guest` begin: the OK that ends a login.
    ///
    /// # Errors
    /// The database they want to begin with is not there, or they have left.
    pub(super) async fn begin(
        channel: &'a mut Channel,
        door: Arc<dyn Door>,
        settings: &'a Settings,
        peer: &'a Peer,
        guest: Guest,
        place: Entry,
    ) -> Result<Self, Ended> {
        let sql = door.open(guest.who.clone(), place.number());
        let statements = Statements::new(settings.limits.packet);
        channel.allow(settings.limits.packet);
        let mut this = Self { channel, door, settings, peer, guest, place, sql, statements };
        if let Some(database) = this.guest.database.take() {
            this.sql.use_database(&database).await.map_err(Refusal::from)?;
        }
        this.done().await?;
        this.channel.flush().await?;
        Ok(this)
    }

    /// Serves commands until the client leaves, or `stop`. A statement under way is not cut off by `stop`.
    ///
    /// # Errors
    /// See [`Ended`].
    pub(super) async fn serve(&mut self, stop: &CancellationToken) -> Result<(), Ended> {
        loop {
            self.channel.restart();
            let command = tokio::select! {
                biased;
                () = stop.cancelled() => return Err(Refusal::shutdown().into()),
                () = self.place.listed().killed() => return Err(Refusal::interrupted().into()),
                command = timeout(self.settings.limits.idle, self.channel.receive()) => command,
            };
            let Some(command) = command.map_err(|_| Refusal::idle())?? else { return Ok(()) };
            match command.split_first() {
                Some((&COM_QUIT, _)) => return Ok(()),
                Some((&COM_CHANGE_USER, body)) => self.change_user(body).await?,
                Some((&command, body)) => self.one(command, body).await?,
                None => self.refuse(&Refusal::unknown_command()).await?,
            }
            self.channel.flush().await?;
        }
    }

    async fn one(&mut self, command: u8, body: &[u8]) -> io::Result<()> {
        let answered = match command {
            COM_QUERY => self.query(body).await?,
            COM_STMT_EXECUTE => self.execute(body).await?,
            COM_STMT_PREPARE => self.prepare(body).await?,
            COM_INIT_DB => self.use_database(body).await?,
            COM_PING => Ok(self.done().await?),
            COM_SET_OPTION => self.set_option(body).await?,
            COM_RESET_CONNECTION => Ok(self.reset().await?),
            COM_STMT_RESET => match number(body).and_then(|number| self.statements.reset(number)) {
                Ok(()) => Ok(self.done().await?),
                Err(refusal) => Err(refusal),
            },
            // These two have no answer, whatever is wrong with them.
            COM_STMT_CLOSE => {
                let _ = number(body).map(|number| self.statements.close(number));
                Ok(())
            }
            COM_STMT_SEND_LONG_DATA => {
                self.send_ahead(body);
                Ok(())
            }
            _ => Err(Refusal::unknown_command()),
        };
        match answered {
            Ok(()) => Ok(()),
            Err(refusal) => self.refuse(&refusal).await,
        }
    }

    async fn done(&mut self) -> io::Result<()> {
        self.channel.send(&packets::ok(0, "", End::default())).await
    }

    async fn refuse(&mut self, refusal: &Refusal) -> io::Result<()> {
        self.channel.send(&packets::error(refusal)).await
    }

    async fn eof(&mut self, end: End) -> io::Result<()> {
        self.channel.send(&packets::eof(self.guest.capabilities, end)).await
    }

    /// The end of columns, for clients that want one.
    async fn end_of_columns(&mut self) -> io::Result<()> {
        if self.guest.capabilities.contains(CapabilityFlags::CLIENT_DEPRECATE_EOF) {
            return Ok(());
        }
        self.eof(End::default()).await
    }

    async fn query(&mut self, body: &[u8]) -> io::Result<Result<(), Refusal>> {
        let read = text(body).and_then(|text| Ok(self.sql.parse(text)?));
        match read.and_then(|statements| self.allowed(statements)) {
            Ok(statements) => self.run(&statements, Format::Text).await,
            Err(refusal) => Ok(Err(refusal)),
        }
    }

    /// Several statements are for clients that said they would send some: others may have been tricked into it.
    fn allowed(&self, statements: Vec<Statement>) -> Result<Vec<Statement>, Refusal> {
        match statements.len() {
            0 => Err(Refusal::empty()),
            1 => Ok(statements),
            _ if self.guest.capabilities.contains(CapabilityFlags::CLIENT_MULTI_STATEMENTS) => Ok(statements),
            _ => Err(Refusal::one_statement_at_a_time()),
        }
    }

    async fn prepare(&mut self, body: &[u8]) -> io::Result<Result<(), Refusal>> {
        let (number, parameters) = match text(body).and_then(|text| self.statements.prepare(text)) {
            Ok(prepared) => prepared,
            Err(refusal) => return Ok(Err(refusal)),
        };
        self.channel.send(&packets::prepared(number, parameters)).await?;
        for _ in 0..parameters {
            self.channel.send(&packets::parameter()).await?;
        }
        if parameters > 0 {
            self.end_of_columns().await?;
        }
        Ok(Ok(()))
    }

    async fn execute(&mut self, body: &[u8]) -> io::Result<Result<(), Refusal>> {
        let mut body = ParseBuf(body);
        // After the number: whether a cursor is wanted, which nobody has to get, and the number of repetitions: 1.
        let statement = body.checked_eat_u32_le().filter(|_| body.checked_skip(5));
        let bound = statement.ok_or_else(Refusal::bad_arguments);
        match bound.and_then(|number| self.statements.bind(number, body.0)) {
            Ok(statements) if statements.is_empty() => Ok(Err(Refusal::empty())),
            Ok(statements) => self.run(&statements, Format::Binary).await,
            Err(refusal) => Ok(Err(refusal)),
        }
    }

    fn send_ahead(&mut self, body: &[u8]) {
        let mut body = ParseBuf(body);
        if let (Some(statement), Some(parameter)) = (body.checked_eat_u32_le(), body.checked_eat_u16_le()) {
            self.statements.send_ahead(statement, parameter, body.0);
        }
    }

    async fn use_database(&mut self, body: &[u8]) -> io::Result<Result<(), Refusal>> {
        let name = match text(body) {
            Ok(name) => name,
            Err(refusal) => return Ok(Err(refusal)),
        };
        match self.sql.use_database(name).await {
            Ok(()) => Ok(Ok(self.done().await?)),
            Err(error) => Ok(Err(error.into())),
        }
    }

    async fn set_option(&mut self, body: &[u8]) -> io::Result<Result<(), Refusal>> {
        let several = match body {
            [0, 0] => true,
            [1, 0] => false,
            _ => return Ok(Err(Refusal::unknown_command())),
        };
        self.guest.capabilities.set(CapabilityFlags::CLIENT_MULTI_STATEMENTS, several);
        Ok(Ok(self.eof(End::default()).await?))
    }

    /// A new session of the same user on the same database.
    async fn reset(&mut self) -> io::Result<()> {
        let database = self.sql.database().map(str::to_owned);
        self.sql = self.door.open(self.guest.who.clone(), self.place.number());
        self.statements.clear();
        if let Some(database) = database {
            // It may be gone by now, and then none is in use.
            let _ = self.sql.use_database(&database).await;
        }
        self.done().await
    }

    /// Another user. Who fails to be one is put out, as at a login.
    async fn change_user(&mut self, body: &[u8]) -> Result<(), Ended> {
        // Whoever wants to be somebody else gets no more room than before a login.
        if body.len() > LARGEST_BEFORE_LOGIN {
            return Err(Refusal::packet_too_large().into());
        }
        self.channel.allow(LARGEST_BEFORE_LOGIN);
        let mut body = ParseBuf(body);
        let user = login::utf8(body.eat_null_str())?;
        // The answer to the greeting's salt, which is not taken twice.
        let told = body.checked_eat_u8_str();
        let database = login::utf8(body.eat_null_str())?;
        // The character set.
        let plugin = body.checked_skip(2).then(|| body.eat_null_str()).filter(|name| !name.is_empty());
        if told.is_none() {
            return Err(Refusal::bad_handshake().into());
        }
        let plugin = plugin.map(AuthPlugin::from_bytes);
        let proved = login::prove(self.channel, &*self.door, self.peer, self.guest.tls, &user, plugin.as_ref(), None);
        let who = timeout(self.settings.limits.login, proved).await.map_err(|_| Refusal::bad_handshake())??;
        self.channel.allow(self.settings.limits.packet);
        self.sql = self.door.open(who.clone(), self.place.number());
        self.place.listed().belongs_to(&who.user);
        self.guest.who = who;
        self.statements.clear();
        if !database.is_empty() {
            self.sql.use_database(&database).await.map_err(Refusal::from)?;
        }
        Ok(self.done().await?)
    }

    /// Runs statements and sends their answers; the first that fails is the last.
    async fn run(&mut self, statements: &[Statement], format: Format) -> io::Result<Result<(), Refusal>> {
        self.place.listed().begin();
        for (index, statement) in statements.iter().enumerate() {
            let more = index + 1 < statements.len();
            let mut counted = Counted::default();
            tracing::debug!(%statement, "statement");
            let ran = match statement {
                Statement::Kill { connection, query } => Ok(self.kill(*connection, *query).await),
                _ => {
                    let listed = self.place.listed();
                    let work = self.channel.unless_gone(listed.unless_ended(self.sql.run(statement)));
                    work.await.ok_or_else(gone)?.ok_or_else(Refusal::interrupted).map(|ran| ran.map_err(Refusal::from))
                }
            };
            let sent = match ran.flatten() {
                Ok(Answer::Done { affected, notices }) => {
                    let info = notices.first().map_or("", String::as_str);
                    let end = End { warnings: notices.len(), more };
                    Ok(self.channel.send(&packets::ok(affected, info, end)).await?)
                }
                Ok(Answer::Rows(rows)) => self.rows(rows, format, more).await?,
                Err(refusal) => Err(refusal),
            };
            match sent {
                Ok(()) => counted.outcome = "done",
                Err(refusal) => {
                    counted.outcome = "failed";
                    tracing::debug!(code = refusal.code, why = refusal.message, "statement failed");
                    return Ok(Err(refusal));
                }
            }
        }
        Ok(Ok(()))
    }

    /// Ends another connection of the same user, or of anybody for an administrator; or only what it runs.
    async fn kill(&mut self, number: u64, query: bool) -> Result<Answer, Refusal> {
        let other = self.place.find(number).ok_or_else(|| Refusal::unknown_connection(number))?;
        let mine = other.user() == self.guest.who.user;
        if !mine && self.door.administrates(&self.guest.who).await.is_err() {
            return Err(Refusal::not_your_connection(number));
        }
        if query {
            other.end_statement()
        } else {
            other.kill()
        }
        Ok(Answer::Done { affected: 0, notices: Vec::new() })
    }

    /// Sends rows as fast as the client takes them.
    async fn rows(&mut self, rows: Rows, format: Format, more: bool) -> io::Result<Result<(), Refusal>> {
        let Rows { columns, mut pages } = rows;
        self.channel.send(&packets::count(columns.len())).await?;
        for column in &columns {
            self.channel.send(&packets::column(column)).await?;
        }
        self.end_of_columns().await?;
        let mut packet = Vec::new();
        loop {
            let next =
                self.channel.unless_gone(self.place.listed().unless_ended(pages.next())).await.ok_or_else(gone)?;
            let page = match next {
                Some(Some(Ok(page))) => page,
                Some(Some(Err(failure))) => return Ok(Err(failure.into())),
                Some(None) => break,
                None => return Ok(Err(Refusal::interrupted())),
            };
            for cells in &page {
                let fits = match format {
                    _ if cells.len() != columns.len() => Err(Failure::fatal(
                        Kind::Internal,
                        format!("a row has {} cells where there are {} columns", cells.len(), columns.len()),
                    )),
                    Format::Text => {
                        packets::text_row(cells, &mut packet);
                        Ok(())
                    }
                    Format::Binary => packets::binary_row(&columns, cells, &mut packet),
                };
                if let Err(failure) = fits {
                    return Ok(Err(failure.into()));
                }
                self.channel.send(&packet).await?;
            }
        }
        Ok(Ok(self.eof(End { warnings: 0, more }).await?))
    }
}

fn gone() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "the client left while its statement ran")
}

fn text(body: &[u8]) -> Result<&str, Refusal> {
    std::str::from_utf8(body).map_err(|_| Refusal::not_utf8())
}

fn number(body: &[u8]) -> Result<u32, Refusal> {
    ParseBuf(body).checked_eat_u32_le().ok_or_else(Refusal::bad_arguments)
}

/// Counts a statement when it is over, also one that is dropped with its connection.
struct Counted {
    outcome: &'static str,
}

impl Default for Counted {
    fn default() -> Self {
        Self { outcome: "cancelled" }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        metrics::counter!("tabvault_mysql_statements_total", "outcome" => self.outcome).increment(1);
    }
}
