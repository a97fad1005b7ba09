//! A client of the least kind, that says just what a test wants said.

use std::sync::Arc;

use mysql_common::auth::plugins::mysql_native_password::scramble_native;
use mysql_common::constants::CapabilityFlags;
use mysql_common::io::ParseBuf;
use mysql_common::packets::{AuthPlugin, HandshakePacket, HandshakeResponse, SslRequest};
use mysql_common::proto::MySerialize;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;

use super::super::channel::Stream;
use super::super::login::Peer;
use super::super::{Limits, Server, Settings};
use super::stub::{PASSWORD, Seen, Stub};

/// Bytes that the pipe between client and server holds.
const PIPE: usize = 4096;

pub(super) const USUAL: CapabilityFlags = CapabilityFlags::CLIENT_PROTOCOL_41
    .union(CapabilityFlags::CLIENT_SECURE_CONNECTION)
    .union(CapabilityFlags::CLIENT_PLUGIN_AUTH)
    .union(CapabilityFlags::CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA);

/// What the other end is.
pub(super) struct World {
    pub(super) settings: Settings,
    pub(super) peer: Peer,
    pub(super) seen: Arc<Seen>,
    pub(super) stop: CancellationToken,
    pub(super) trusted: RootCertStore,
}

impl World {
    /// A server without TLS, and a client on the same machine.
    pub(super) fn new() -> Self {
        Self {
            settings: Settings { limits: Limits::default(), tls: None, insecure: false },
            peer: Peer { host: "127.0.0.1".to_owned(), local: true },
            seen: Arc::default(),
            stop: CancellationToken::new(),
            trusted: RootCertStore::empty(),
        }
    }

    /// The same with TLS.
    pub(super) fn with_tls() -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let certificate = CertificateDer::from(made.cert.der().to_vec());
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let mut world = Self::new();
        world.trusted.add(certificate.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = builder.with_no_client_auth().with_single_cert(vec![certificate], key).unwrap();
        world.settings.tls = Some(Arc::new(config));
        world
    }

    pub(super) fn afar(mut self) -> Self {
        self.peer = Peer { host: "10.0.0.7".to_owned(), local: false };
        self
    }

    pub(super) fn server(&self) -> Server {
        let door = Arc::new(Stub { seen: self.seen.clone() });
        Server::new(door, self.settings.clone(), self.stop.clone(), CancellationToken::new())
    }

    /// A new connection, of which nothing has been read.
    pub(super) fn connect(&self) -> Client {
        self.connect_to(&self.server())
    }

    /// As [`World::connect`], beside others on the same server.
    pub(super) fn connect_to(&self, server: &Server) -> Client {
        let (near, far) = tokio::io::duplex(PIPE);
        let served = tokio::spawn(server.serve(Box::new(far), self.peer.clone()));
        Client { stream: Box::new(near), sequence: 0, capabilities: USUAL, salt: Vec::new(), served }
    }

    /// A connection of `alice`, logged in.
    pub(super) async fn alice(&self) -> Client {
        let mut client = self.connect();
        assert_eq!(client.login("alice", PASSWORD, None).await, Said::done());
        client
    }
}

/// One end of a connection.
pub(super) struct Client {
    pub(super) stream: Box<dyn Stream>,
    sequence: u8,
    pub(super) capabilities: CapabilityFlags,
    pub(super) salt: Vec<u8>,
    served: JoinHandle<()>,
}

/// What the server said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Said {
    Done {
        affected: u64,
        warnings: u16,
        info: String,
        more: bool,
    },
    Error {
        code: u16,
        sqlstate: String,
        message: String,
    },
    Rows {
        columns: Vec<(String, u8)>,
        rows: Vec<Vec<u8>>,
        more: bool,
    },
    /// The rows so far, and the error that ended them.
    Halfway {
        rows: Vec<Vec<u8>>,
        code: u16,
    },
}

impl Said {
    pub(super) fn done() -> Self {
        Self::Done { affected: 0, warnings: 0, info: String::new(), more: false }
    }

    pub(super) fn code(&self) -> u16 {
        match self {
            Self::Error { code, .. } => *code,
            other => panic!("no error: {other:?}"),
        }
    }
}

impl Client {
    /// The next packet; `None` at the end.
    pub(super) async fn receive(&mut self) -> Option<Vec<u8>> {
        let mut packet = Vec::new();
        loop {
            let mut head = [0; 4];
            if let Err(error) = self.stream.read_exact(&mut head).await {
                assert!(packet.is_empty(), "the server closed within a packet: {error}");
                return None;
            }
            assert_eq!(head[3], self.sequence, "packets are numbered");
            self.sequence = self.sequence.wrapping_add(1);
            let length = usize::from(head[0]) | usize::from(head[1]) << 8 | usize::from(head[2]) << 16;
            let mut part = vec![0; length];
            self.stream.read_exact(&mut part).await.unwrap();
            packet.extend(part);
            if length < 0xff_ff_ff {
                return Some(packet);
            }
        }
    }

    /// Sends a packet; an error means that the server has closed, which reading will tell.
    pub(super) async fn send(&mut self, payload: &[u8]) {
        let parts = if payload.is_empty() { vec![payload] } else { payload.chunks(0xff_ff_ff).collect() };
        for part in parts {
            let length = u32::try_from(part.len()).unwrap().to_le_bytes();
            let head = [length[0], length[1], length[2], self.sequence];
            self.sequence = self.sequence.wrapping_add(1);
            let _ = self.stream.write_all(&[&head[..], part].concat()).await;
        }
        let _ = self.stream.flush().await;
    }

    /// Reads the greeting.
    pub(super) async fn greeted(&mut self) -> HandshakePacket<'static> {
        let packet = self.receive().await.unwrap();
        let greeting: HandshakePacket<'_> = ParseBuf(&packet).parse(()).unwrap();
        self.salt = [greeting.scramble_1_ref(), &greeting.scramble_2_ref().unwrap()[..12]].concat();
        greeting.into_owned()
    }

    /// Goes on over TLS.
    pub(super) async fn encrypt(mut self, trusted: &RootCertStore) -> Self {
        let mut request = Vec::new();
        self.capabilities |= CapabilityFlags::CLIENT_SSL;
        SslRequest::new(self.capabilities, 1 << 24, 45).serialize(&mut request);
        self.send(&request).await;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = builder.with_root_certificates(trusted.clone()).with_no_client_auth();
        let name = ServerName::try_from("localhost").unwrap();
        let stream = TlsConnector::from(Arc::new(config)).connect(name, self.stream).await.unwrap();
        Self { stream: Box::new(stream), ..self }
    }

    /// Sends a login with the answer of a plugin.
    pub(super) async fn introduce(
        &mut self,
        user: &str,
        plugin: AuthPlugin<'_>,
        answer: &[u8],
        database: Option<&str>,
    ) {
        let bytes = |text: &str| text.as_bytes().to_vec();
        let response = HandshakeResponse::new(
            Some(answer.to_vec()),
            (8, 0, 0),
            Some(bytes(user)),
            database.map(bytes),
            Some(plugin),
            self.capabilities,
            None,
            1 << 24,
        );
        let mut packet = Vec::new();
        response.serialize(&mut packet);
        self.send(&packet).await;
    }

    /// The answer of `mysql_native_password` to the salt.
    pub(super) fn native(&self, password: &str) -> Vec<u8> {
        scramble_native(&self.salt, password.as_bytes()).map(Vec::from).unwrap_or_default()
    }

    /// A whole login with `mysql_native_password`.
    pub(super) async fn login(&mut self, user: &str, password: &str, database: Option<&str>) -> Said {
        self.greeted().await;
        let answer = self.native(password);
        self.introduce(user, AuthPlugin::MysqlNativePassword, &answer, database).await;
        self.said().await
    }

    /// A new command begins.
    pub(super) fn restart(&mut self) {
        self.sequence = 0;
    }

    /// The answer to a command of one packet follows.
    pub(super) fn answered(&mut self) {
        self.sequence = 1;
    }

    /// Sends a command.
    pub(super) async fn command(&mut self, command: u8, body: &[u8]) {
        self.sequence = 0;
        self.send(&[&[command], body].concat()).await;
    }

    /// Sends a command and reads what is said to it first.
    pub(super) async fn ask(&mut self, command: u8, body: &[u8]) -> Said {
        self.command(command, body).await;
        self.said().await
    }

    /// Sends a query and reads all that is said to it.
    pub(super) async fn query(&mut self, text: &str) -> Vec<Said> {
        self.command(3, text.as_bytes()).await;
        self.all_said().await
    }

    pub(super) async fn all_said(&mut self) -> Vec<Said> {
        let mut all = Vec::new();
        loop {
            all.push(self.said().await);
            if !matches!(all.last(), Some(Said::Done { more: true, .. } | Said::Rows { more: true, .. })) {
                return all;
            }
        }
    }

    /// The next answer.
    pub(super) async fn said(&mut self) -> Said {
        let packet = self.receive().await.expect("the server answers");
        match packet[0] {
            0x00 => done(&packet),
            0xff => error(&packet),
            columns => self.rows(columns.into()).await,
        }
    }

    async fn rows(&mut self, count: usize) -> Said {
        let mut columns = Vec::new();
        for _ in 0..count {
            columns.push(definition(&self.receive().await.unwrap()));
        }
        let marks_end = !self.capabilities.contains(CapabilityFlags::CLIENT_DEPRECATE_EOF);
        if marks_end {
            assert_eq!(self.receive().await.unwrap().len(), 5, "columns end with an EOF");
        }
        let mut rows = Vec::new();
        loop {
            let packet = self.receive().await.unwrap();
            match packet[0] {
                0xff => return Said::Halfway { rows, code: code(&packet) },
                0xfe if packet.len() == 5 && marks_end => {
                    return Said::Rows { columns, rows, more: packet[3] & 8 != 0 };
                }
                0xfe if !marks_end => {
                    let Said::Done { more, .. } = done(&packet) else { panic!("an OK ends rows") };
                    return Said::Rows { columns, rows, more };
                }
                _ => rows.push(packet),
            }
        }
    }

    /// Hangs up, and sees that the server's part ends without a panic.
    pub(super) async fn leave(self) {
        drop(self.stream);
        self.served.await.unwrap();
    }

    /// Sees that the server's part ends while the client is still there.
    pub(super) async fn ended(self) {
        self.served.await.unwrap();
    }

    /// Sees that the server has hung up.
    pub(super) async fn left(mut self) {
        assert_eq!(self.receive().await, None, "the server hangs up");
        self.leave().await;
    }
}

fn done(packet: &[u8]) -> Said {
    let mut body = ParseBuf(&packet[1..]);
    let affected = body.eat_lenenc_int();
    assert_eq!(body.eat_lenenc_int(), 0, "nothing is inserted");
    let status = body.eat_u16_le();
    let warnings = body.eat_u16_le();
    let info = if body.is_empty() { &[][..] } else { body.eat_lenenc_str() };
    assert!(body.is_empty(), "nothing follows");
    assert_ne!(status & 2, 0, "every statement commits by itself");
    Said::Done { affected, warnings, info: String::from_utf8(info.to_vec()).unwrap(), more: status & 8 != 0 }
}

fn code(packet: &[u8]) -> u16 {
    u16::from_le_bytes([packet[1], packet[2]])
}

fn error(packet: &[u8]) -> Said {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    assert_eq!(packet[3], b'#', "a class follows");
    Said::Error { code: code(packet), sqlstate: text(&packet[4..9]), message: text(&packet[9..]) }
}

fn definition(packet: &[u8]) -> (String, u8) {
    let column: mysql_common::packets::Column = ParseBuf(packet).parse(()).unwrap();
    (column.name_str().into_owned(), column.column_type() as u8)
}

/// A row of the text protocol.
pub(super) fn cells(row: &[u8]) -> Vec<Option<String>> {
    let mut row = ParseBuf(row);
    let mut cells = Vec::new();
    while !row.is_empty() {
        cells.push(if row.0[0] == 0xfb {
            row.skip(1);
            None
        } else {
            Some(String::from_utf8(row.eat_lenenc_str().to_vec()).unwrap())
        });
    }
    cells
}
