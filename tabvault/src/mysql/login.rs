//! How a connection begins: greeting, TLS, and who it is.

use std::net::SocketAddr;

use mysql_common::constants::CapabilityFlags;
use mysql_common::io::ParseBuf;
use mysql_common::packets::{AuthPlugin, HandshakeResponse};
use rustls::crypto::ring;
use tabvault_common::failure::{Failure, Kind, Retry};
use tabvault_common::secret::Secret;
use tabvault_fe_coordinator::auth::{Identity, Proof};
use tabvault_fe_coordinator::sql::session::SERVER_VERSION;

use super::Settings;
use super::channel::{Broken, Channel};
use super::door::Door;
use super::packets::{self, CAPABILITIES};
use super::refusal::Refusal;

/// The size of a request for TLS, which is the head of a login.
const TLS_REQUEST: usize = 32;
/// The size of what `caching_sha2_password` answers to a salt.
const SHA2_ANSWER: usize = 32;

/// Who is at the other end.
#[derive(Debug, Clone)]
pub(super) struct Peer {
    /// Their address, as error messages tell it.
    pub(super) host: String,
    /// Whether they are on this machine.
    pub(super) local: bool,
}

impl From<SocketAddr> for Peer {
    fn from(address: SocketAddr) -> Self {
        let ip = address.ip().to_canonical();
        Self { host: ip.to_string(), local: ip.is_loopback() }
    }
}

/// Why nobody came in, or why a connection ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum Ended {
    /// They are to be told.
    #[error("{0:?}")]
    Refused(Refusal),
    /// They left, or cannot be talked to.
    #[error("{0}")]
    Left(std::io::Error),
}

impl From<Refusal> for Ended {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<std::io::Error> for Ended {
    fn from(error: std::io::Error) -> Self {
        Self::Left(error)
    }
}

impl From<Broken> for Ended {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::Io(error) => Self::Left(error),
            Broken::TooLarge => Self::Refused(Refusal::packet_too_large()),
            Broken::OutOfOrder => Self::Refused(Refusal::out_of_order()),
        }
    }
}

/// Somebody who came in.
#[derive(Debug)]
pub(super) struct Guest {
    pub(super) who: Identity,
    pub(super) capabilities: CapabilityFlags,
    /// Whether the connection is encrypted.
    pub(super) tls: bool,
    /// The database they want to begin with.
    pub(super) database: Option<String>,
}

/// What a client says of itself.
struct Introduction {
    user: String,
    capabilities: CapabilityFlags,
    database: Option<String>,
    plugin: Option<AuthPlugin<'static>>,
    answer: Vec<u8>,
}

/// Greets, encrypts if the client wants it, and learns who it is. The last OK is not sent. `channel` is taken out only
/// while TLS begins, and is missing if that fails.
///
/// # Errors
/// See [`Ended`].
pub(super) async fn login(
    channel: &mut Option<Channel>,
    door: &dyn Door,
    settings: &Settings,
    connection: u32,
    peer: &Peer,
) -> Result<Guest, Ended> {
    // 1. Greet.
    let (salt, offered) = (fresh_salt()?, offered(settings));
    let stream = open(channel)?;
    stream.send(&packets::greeting(SERVER_VERSION, connection, &salt, offered)).await?;
    stream.flush().await?;
    // 2. Encrypt.
    let mut first = next(stream).await?;
    let tls = first.len() == TLS_REQUEST && capabilities(&first)?.contains(CapabilityFlags::CLIENT_SSL);
    if tls {
        let config = settings.tls.clone().ok_or_else(Refusal::bad_handshake)?;
        let plain = channel.take().ok_or_else(closed)?;
        first = next(channel.insert(plain.encrypt(config).await?)).await?;
    }
    if !tls && !peer.local && !settings.insecure {
        return Err(Refusal::insecure().into());
    }
    // 3. Learn who it is.
    let said = introduction(first, offered)?;
    let stream = open(channel)?;
    let who = prove(stream, door, peer, tls, &said.user, said.plugin.as_ref(), Some((&salt, said.answer))).await?;
    Ok(Guest { who, capabilities: said.capabilities, tls, database: said.database })
}

fn open(channel: &mut Option<Channel>) -> Result<&mut Channel, Ended> {
    channel.as_mut().ok_or_else(closed)
}

fn closed() -> Ended {
    Ended::Left(std::io::ErrorKind::NotConnected.into())
}

fn offered(settings: &Settings) -> CapabilityFlags {
    if settings.tls.is_some() { CAPABILITIES | CapabilityFlags::CLIENT_SSL } else { CAPABILITIES }
}

async fn next(channel: &mut Channel) -> Result<Vec<u8>, Ended> {
    channel.receive().await?.ok_or_else(closed)
}

fn capabilities(packet: &[u8]) -> Result<CapabilityFlags, Refusal> {
    let bits = ParseBuf(packet).checked_eat_u32_le().ok_or_else(Refusal::bad_handshake)?;
    Ok(CapabilityFlags::from_bits_truncate(bits))
}

/// Reads a login. Clients ask for more than is offered and then leave out what was not, so only what both know counts.
fn introduction(mut packet: Vec<u8>, offered: CapabilityFlags) -> Result<Introduction, Refusal> {
    let capabilities = capabilities(&packet)? & offered;
    if !capabilities.contains(CapabilityFlags::CLIENT_PROTOCOL_41) {
        return Err(Refusal::bad_handshake());
    }
    packet[..4].copy_from_slice(&capabilities.bits().to_le_bytes());
    let said: HandshakeResponse<'_> = ParseBuf(&packet).parse(()).map_err(|_| Refusal::bad_handshake())?;
    let database = said.db_name().filter(|name| !name.is_empty());
    Ok(Introduction {
        user: utf8(said.user())?,
        capabilities,
        database: database.map(utf8).transpose()?,
        plugin: said.auth_plugin().map(|plugin| plugin.clone().into_owned()),
        answer: said.scramble_buf().to_vec(),
    })
}

pub(super) fn utf8(bytes: &[u8]) -> Result<String, Refusal> {
    String::from_utf8(bytes.to_vec()).map_err(|_| Refusal::not_utf8())
}

/// Who `user` is, who speaks `plugin`. `early` is what the client answered to the greeting's salt before it was asked.
///
/// # Errors
/// See [`Ended`].
pub(super) async fn prove(
    channel: &mut Channel,
    door: &dyn Door,
    peer: &Peer,
    tls: bool,
    user: &str,
    plugin: Option<&AuthPlugin<'_>>,
    early: Option<(&[u8; 20], Vec<u8>)>,
) -> Result<Identity, Ended> {
    // The password itself is asked for over TLS only.
    let sha2 = tls && plugin == Some(&AuthPlugin::CachingSha2Password);
    let native = matches!(plugin, None | Some(AuthPlugin::MysqlNativePassword));
    let fits = |answer: &[u8]| if sha2 { answer.len() == SHA2_ANSWER } else { native };
    let early = early.filter(|(_, answer)| fits(answer));
    let (salt, answer) = match early {
        Some((salt, answer)) => (*salt, answer),
        None => {
            let plugin = if sha2 { AuthPlugin::CachingSha2Password } else { AuthPlugin::MysqlNativePassword };
            let salt = fresh_salt()?;
            channel.send(&packets::switch(&plugin, &salt)).await?;
            channel.flush().await?;
            (salt, next(channel).await?)
        }
    };
    let given = !matches!(&answer[..], [] | [0]);
    let proof = match (sha2, given) {
        (false, _) => Proof::MysqlNative { salt, response: answer },
        (true, false) => Proof::Password(Secret::new("")),
        (true, true) => {
            channel.send(&packets::ask_for_password()).await?;
            channel.flush().await?;
            Proof::Password(password(next(channel).await?)?)
        }
    };
    door.authenticate(user, &proof).await.map_err(|failure| match failure.kind {
        Kind::Unauthenticated => Refusal::access_denied(user, &peer.host, given).into(),
        _ => Refusal::from(failure).into(),
    })
}

fn password(mut packet: Vec<u8>) -> Result<Secret, Refusal> {
    if packet.pop() != Some(0) {
        return Err(Refusal::bad_handshake());
    }
    String::from_utf8(packet).map(Secret::new).map_err(|_| Refusal::not_utf8())
}

/// Bytes that nobody can foretell; none is 0, which ends strings, or `$`, as MySQL has it.
fn fresh_salt() -> Result<[u8; 20], Refusal> {
    let mut salt = [0; 20];
    ring::default_provider().secure_random.fill(&mut salt).map_err(|_| Failure {
        kind: Kind::Internal,
        retry: Retry::Safe,
        message: "the operating system gives no random bytes".to_owned(),
    })?;
    for byte in &mut salt {
        *byte &= 0x7f;
        if matches!(*byte, 0 | b'$') {
            *byte += 1;
        }
    }
    Ok(salt)
}
