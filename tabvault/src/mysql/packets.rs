//! What the server sends, packet by packet.

use bytes::{BufMut, BytesMut};
use mysql_common::collations::CollationId;
use mysql_common::constants::{CapabilityFlags, ColumnFlags, ColumnType, StatusFlags};
use mysql_common::io::BufMutExt;
use mysql_common::packets::{AuthPlugin, AuthSwitchRequest, Column as Definition, HandshakePacket};
use mysql_common::proto::MySerialize;
use mysql_common::proto::codec::packet_to_chunks;
use tabvault_common::failure::{Failure, Kind};
use tabvault_fe_coordinator::sql::answer::{Cell, CellKind, Column};

use super::refusal::Refusal;

/// What clients may use. What they ask for beyond this is not done.
pub(super) const CAPABILITIES: CapabilityFlags = CapabilityFlags::CLIENT_LONG_PASSWORD
    .union(CapabilityFlags::CLIENT_FOUND_ROWS)
    .union(CapabilityFlags::CLIENT_LONG_FLAG)
    .union(CapabilityFlags::CLIENT_CONNECT_WITH_DB)
    .union(CapabilityFlags::CLIENT_IGNORE_SPACE)
    .union(CapabilityFlags::CLIENT_PROTOCOL_41)
    .union(CapabilityFlags::CLIENT_INTERACTIVE)
    .union(CapabilityFlags::CLIENT_IGNORE_SIGPIPE)
    .union(CapabilityFlags::CLIENT_TRANSACTIONS)
    .union(CapabilityFlags::CLIENT_SECURE_CONNECTION)
    .union(CapabilityFlags::CLIENT_MULTI_STATEMENTS)
    .union(CapabilityFlags::CLIENT_MULTI_RESULTS)
    .union(CapabilityFlags::CLIENT_PS_MULTI_RESULTS)
    .union(CapabilityFlags::CLIENT_PLUGIN_AUTH)
    .union(CapabilityFlags::CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA)
    .union(CapabilityFlags::CLIENT_DEPRECATE_EOF);

/// Bytes that a text column may have at most, as clients are told; only some use it to lay out tables.
const TEXT_LENGTH: u32 = 4 * 65_535;
/// Characters of the longest 64-bit integer.
const INTEGER_LENGTH: u32 = 20;
const OK: u8 = 0x00;
const MORE_DATA: u8 = 0x01;
const FULL_AUTHENTICATION: u8 = 0x04;
const EOF: u8 = 0xfe;
const ERROR: u8 = 0xff;
const NULL: u8 = 0xfb;

/// The first packet. Clients that know `mysql_native_password` answer the salt at once, so that no password travels;
/// those that do not are asked for something else.
pub(super) fn greeting(version: &str, connection: u32, salt: &[u8; 20], capabilities: CapabilityFlags) -> Vec<u8> {
    let [first @ .., _, _, _, _, _, _, _, _, _, _, _, _] = *salt;
    let second: Vec<u8> = salt[first.len()..].iter().copied().chain([0]).collect();
    let plugin = AuthPlugin::MysqlNativePassword.as_bytes().to_vec();
    let collation = CollationId::UTF8MB4_GENERAL_CI as u8;
    let status = StatusFlags::SERVER_STATUS_AUTOCOMMIT;
    let version = version.as_bytes().to_vec();
    written(&HandshakePacket::new(
        10,
        version,
        connection,
        first,
        Some(second),
        capabilities,
        collation,
        status,
        Some(plugin),
    ))
}

/// Asks the client to prove itself by `plugin` with `salt`.
pub(super) fn switch(plugin: &AuthPlugin<'_>, salt: &[u8; 20]) -> Vec<u8> {
    let data: Vec<u8> = salt.iter().copied().chain([0]).collect();
    written(&AuthSwitchRequest::new(plugin.as_bytes().to_vec(), data))
}

/// Asks a client of `caching_sha2_password` for the password itself.
pub(super) fn ask_for_password() -> Vec<u8> {
    vec![MORE_DATA, FULL_AUTHENTICATION]
}

fn written(packet: &impl MySerialize) -> Vec<u8> {
    let mut bytes = Vec::new();
    packet.serialize(&mut bytes);
    bytes
}

/// How an answer ends.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct End {
    /// Warnings that SHOW WARNINGS would tell.
    pub(super) warnings: usize,
    /// Whether the answer of another statement follows.
    pub(super) more: bool,
}

impl End {
    fn status(self) -> StatusFlags {
        let mut status = StatusFlags::SERVER_STATUS_AUTOCOMMIT;
        status.set(StatusFlags::SERVER_MORE_RESULTS_EXISTS, self.more);
        status
    }

    fn warnings(self) -> u16 {
        u16::try_from(self.warnings).unwrap_or(u16::MAX)
    }
}

/// It is done.
pub(super) fn ok(affected: u64, info: &str, end: End) -> Vec<u8> {
    done(OK, affected, info, end)
}

/// No more rows, or no more columns, for a client with `capabilities`.
pub(super) fn eof(capabilities: CapabilityFlags, end: End) -> Vec<u8> {
    if capabilities.contains(CapabilityFlags::CLIENT_DEPRECATE_EOF) {
        return done(EOF, 0, "", end);
    }
    let mut packet = vec![EOF];
    packet.put_u16_le(end.warnings());
    packet.put_u16_le(end.status().bits());
    packet
}

fn done(header: u8, affected: u64, info: &str, end: End) -> Vec<u8> {
    let mut packet = vec![header];
    packet.put_lenenc_int(affected);
    // No statement has an AUTO_INCREMENT.
    packet.put_lenenc_int(0);
    packet.put_u16_le(end.status().bits());
    packet.put_u16_le(end.warnings());
    if !info.is_empty() {
        packet.put_lenenc_str(info.as_bytes());
    }
    packet
}

/// It failed.
pub(super) fn error(refusal: &Refusal) -> Vec<u8> {
    let mut packet = vec![ERROR];
    packet.put_u16_le(refusal.code);
    packet.put_u8(b'#');
    packet.put_slice(refusal.sqlstate.as_bytes());
    packet.put_slice(refusal.message.as_bytes());
    packet
}

/// As [`error`], to somebody who has not said what they understand.
pub(super) fn early_error(refusal: &Refusal) -> Vec<u8> {
    let mut packet = vec![ERROR];
    packet.put_u16_le(refusal.code);
    packet.put_slice(refusal.message.as_bytes());
    packet
}

/// A number of columns.
pub(super) fn count(columns: usize) -> Vec<u8> {
    let mut packet = Vec::new();
    packet.put_lenenc_int(columns as u64);
    packet
}

/// What a column is.
pub(super) fn column(column: &Column) -> Vec<u8> {
    let definition = match column.kind {
        CellKind::Text => Definition::new(ColumnType::MYSQL_TYPE_VAR_STRING)
            .with_character_set(CollationId::UTF8MB4_GENERAL_CI as u16)
            .with_column_length(TEXT_LENGTH),
        CellKind::Integer => Definition::new(ColumnType::MYSQL_TYPE_LONGLONG)
            .with_character_set(CollationId::BINARY as u16)
            .with_column_length(INTEGER_LENGTH)
            .with_flags(ColumnFlags::NUM_FLAG | ColumnFlags::BINARY_FLAG),
    };
    written(&definition.with_name(column.name.as_bytes()))
}

/// What a parameter is: anything.
pub(super) fn parameter() -> Vec<u8> {
    column(&Column { name: "?".to_owned(), kind: CellKind::Text })
}

/// A statement is prepared. Its columns are only known when it has run, which clients expect of SHOW.
pub(super) fn prepared(statement: u32, parameters: u16) -> Vec<u8> {
    let mut packet = vec![OK];
    packet.put_u32_le(statement);
    packet.put_u16_le(0);
    packet.put_u16_le(parameters);
    packet.put_u8(0);
    packet.put_u16_le(0);
    packet
}

/// A row as text, into `packet`.
pub(super) fn text_row(cells: &[Cell], packet: &mut Vec<u8>) {
    packet.clear();
    for cell in cells {
        match cell {
            Some(text) => packet.put_lenenc_str(text.as_bytes()),
            None => packet.put_u8(NULL),
        }
    }
}

/// A row as prepared statements get it, into `packet`.
///
/// # Errors
/// `Internal` for an integer that is none.
pub(super) fn binary_row(columns: &[Column], cells: &[Cell], packet: &mut Vec<u8>) -> Result<(), Failure> {
    // The bits of NULL begin two places late.
    let bit = |index: usize| (1 + (index + 2) / 8, 1 << ((index + 2) % 8));
    packet.clear();
    packet.resize(1 + (columns.len() + 2).div_ceil(8), 0);
    for (index, (column, cell)) in columns.iter().zip(cells).enumerate() {
        let Some(text) = cell else {
            let (byte, bit): (usize, u8) = bit(index);
            packet[byte] |= bit;
            continue;
        };
        match column.kind {
            CellKind::Text => packet.put_lenenc_str(text.as_bytes()),
            CellKind::Integer => {
                let wrong = |_| Failure::fatal(Kind::Internal, format!("column {} is no integer: {text}", column.name));
                packet.put_i64_le(text.parse().map_err(wrong)?);
            }
        }
    }
    Ok(())
}

/// A packet outside any conversation, as it travels.
pub(super) fn alone(payload: &[u8]) -> BytesMut {
    let mut sent = BytesMut::new();
    packet_to_chunks(0, &mut &payload[..], &mut sent);
    sent
}
