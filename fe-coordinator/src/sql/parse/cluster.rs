//! Repositories, brokers and backends.

use super::cursor::{Cursor, Parsed};
use super::parts;
use crate::sql::statement::{ConfigOf, CreateRepository, Statement};
use crate::sql::token::Kind;

pub(super) fn create_repository(cursor: &mut Cursor<'_>, read_only: bool) -> Parsed<Statement> {
    let name = cursor.name("a repository's name")?;
    cursor.need("WITH")?;
    let storage = parts::storage(cursor)?;
    cursor.need_all(&["ON", "LOCATION"])?;
    let location = cursor.text("a location as a string")?;
    let properties = parts::secret_properties(cursor)?;
    Ok(Statement::CreateRepository(CreateRepository { name, read_only, storage, location, properties }))
}

pub(super) fn alter_repository(cursor: &mut Cursor<'_>) -> Parsed<Statement> {
    let name = cursor.name("a repository")?;
    cursor.need("PROPERTIES")?;
    Ok(Statement::AlterRepository { name, properties: parts::secret_list(cursor)? })
}

pub(super) fn admin(cursor: &mut Cursor<'_>) -> Parsed<Statement> {
    match cursor.one_of(&["SET", "SHOW"]).unwrap_or_default() {
        "SET" => {
            let of = match cursor.one_of(&["AGENT", "REPOSITORY", "CONFIG"]).unwrap_or_default() {
                "AGENT" => ConfigOf::Agent(backend(cursor)?),
                "REPOSITORY" => ConfigOf::Repository(cursor.name("a repository")?),
                "CONFIG" => {
                    return Ok(Statement::SetConfig { of: ConfigOf::Agents, config: parts::plain_list(cursor)? });
                }
                _ => return cursor.unexpected(),
            };
            cursor.need("CONFIG")?;
            Ok(Statement::SetConfig { of, config: parts::plain_list(cursor)? })
        }
        "SHOW" => {
            cursor.need("CONFIG")?;
            Ok(Statement::ShowConfig { like: parts::like(cursor)? })
        }
        _ => cursor.unexpected(),
    }
}

pub(super) fn alter_system(cursor: &mut Cursor<'_>) -> Parsed<Statement> {
    match cursor.one_of(&["ADD", "DROP", "DECOMMISSION"]).unwrap_or_default() {
        "ADD" => {
            cursor.need("BROKER")?;
            let name = cursor.name("a broker's name")?;
            Ok(Statement::AddBroker { name, addresses: addresses(cursor)? })
        }
        "DROP" => {
            let all = cursor.word("ALL");
            cursor.need("BROKER")?;
            let name = cursor.name("a broker's name")?;
            let addresses = if all { Vec::new() } else { addresses(cursor)? };
            Ok(Statement::DropBroker { name, addresses })
        }
        "DECOMMISSION" => {
            cursor.need("BACKEND")?;
            cursor.commas(backend).map(Statement::DecommissionBackends)
        }
        _ => cursor.unexpected(),
    }
}

fn addresses(cursor: &mut Cursor<'_>) -> Parsed<Vec<String>> {
    cursor.commas(|cursor| cursor.text("\"host:port\""))
}

/// A backend's number, or `"host"`, `"host:port"` or `"number"`.
fn backend(cursor: &mut Cursor<'_>) -> Parsed<String> {
    if let Kind::Number(number) = cursor.peek() {
        cursor.advance();
        return Ok(number.clone());
    }
    cursor.ask("a backend's number");
    cursor.text("\"host\"")
}
