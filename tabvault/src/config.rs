//! Settings: of flags, environment variables, a TOML file, and defaults, in this order; the first that says something
//! wins.
//!
//! ```toml
//! [standalone]
//! data = "/srv/tabvault"
//! backends = 5
//!
//! [tls]
//! cert = "/etc/tabvault/cert.pem"
//! key = "/etc/tabvault/key.pem"
//! ca = "/etc/tabvault/ca.pem"
//! ```
//!
//! There is no file unless one is named. Unknown keys are refused.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use tabvault_common::secret::Secret;
use tabvault_fe_coordinator::auth::users::ROOT;

use crate::cli::{ClientArgs, GlobalArgs, LogFormat, OutputFormat, TlsArgs};
use crate::error::{Error, Result};

mod servers;
mod tuning;

pub use servers::{BeConfig, BrokerConfig, FeConfig, StandaloneConfig};
pub use tuning::{AgentTuning, CoordinatorTuning};

/// A whole configuration file. Every process reads the sections that concern it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FileConfig {
    /// Clients.
    pub client: ClientConfig,
    /// `tabvault standalone`.
    pub standalone: StandaloneConfig,
    /// `tabvault fe`.
    pub fe: FeConfig,
    /// `tabvault be`.
    pub be: BeConfig,
    /// `tabvault broker`.
    pub broker: BrokerConfig,
    /// Numbers of coordinators.
    pub coordinator: CoordinatorTuning,
    /// Numbers of agents.
    pub agent: AgentTuning,
    /// How processes prove themselves.
    pub tls: TlsConfig,
    /// Logging.
    pub log: LogConfig,
}

impl FileConfig {
    /// The file that `args` names, or the defaults.
    ///
    /// # Errors
    /// A file that cannot be read or understood, with the line.
    pub fn load(args: &GlobalArgs) -> Result<Self> {
        args.config.as_deref().map_or_else(|| Ok(Self::default()), Self::read)
    }

    fn read(path: &Path) -> Result<Self> {
        let wrong = |why: String| Error::Usage(format!("configuration file {}{why}", path.display()));
        let text = std::fs::read_to_string(path).map_err(|error| wrong(format!(": {error}")))?;
        toml::from_str(&text).map_err(|error| {
            let line = error.span().map_or(1, |span| text[..span.start].matches('\n').count() + 1);
            wrong(format!(", line {line}: {}", error.message().trim().replace('\n', ", ")))
        })
    }
}

/// How a client reaches the coordinator and prints what it hears.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClientConfig {
    /// The coordinator's addresses, tried in turn.
    pub fe: Vec<String>,
    /// How results are printed.
    pub output: OutputFormat,
    /// Who logs in.
    pub user: String,
    /// File with the user's password.
    pub password_file: Option<PathBuf>,
    /// The password itself, from `TABVAULT_PASSWORD` unless a file is named.
    #[serde(skip)]
    pub password: Option<Secret>,
    /// From `[tls]`.
    #[serde(skip)]
    pub tls: TlsConfig,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            fe: vec!["http://127.0.0.1:9020".to_owned()],
            output: OutputFormat::default(),
            user: ROOT.to_owned(),
            password_file: None,
            password: None,
            tls: TlsConfig::default(),
        }
    }
}

impl ClientConfig {
    /// What `args` say, and `file` where they say nothing.
    ///
    /// # Errors
    /// What [`ClientConfig::validate`] refuses.
    pub fn resolve(args: &ClientArgs, file: &FileConfig) -> Result<Self> {
        let mut config = file.client.clone();
        if !args.fe.is_empty() {
            config.fe.clone_from(&args.fe);
        }
        config.output = args.output.unwrap_or(config.output);
        config.user = args.user.clone().unwrap_or(config.user);
        config.password = secret("TABVAULT_PASSWORD")?;
        // What is said on the command line wins over the environment, and that over the file.
        config.password_file = match (&args.password_file, &config.password) {
            (Some(file), _) => Some(file.clone()),
            (None, Some(_)) => None,
            (None, None) => config.password_file,
        };
        config.tls = file.tls.clone().overlay(&args.tls);
        config.validate()?;
        Ok(config)
    }

    /// Refuses what cannot work.
    ///
    /// # Errors
    /// No address, one that is none, or one over which credentials would travel in clear.
    pub fn validate(&self) -> Result<()> {
        self.tls.validate()?;
        if self.user.is_empty() || self.user.contains(':') {
            return Err(Error::Usage(format!("--user `{}`: give a user's name", self.user)));
        }
        if self.fe.is_empty() {
            return Err(Error::Usage("no coordinator is named: give --fe http://127.0.0.1:9020".to_owned()));
        }
        self.fe.iter().try_for_each(|address| check_address(address, self.tls.insecure))
    }
}

/// Refuses an address that is none, or over which credentials would travel in clear.
fn check_address(address: &str, insecure: bool) -> Result<()> {
    let wrong = || Error::Usage(format!("--fe: `{address}` is no address such as http://127.0.0.1:9020"));
    let uri: tonic::transport::Uri = address.parse().map_err(|_| wrong())?;
    let host = uri.host().ok_or_else(wrong)?;
    match uri.scheme_str() {
        Some("https") => Ok(()),
        Some("http") if insecure || is_loopback(host) => Ok(()),
        Some("http") => Err(Error::Usage(format!(
            "--fe: `{address}` is another machine, to which credentials would travel in clear: write https://, or allow \
             it with --insecure"
        ))),
        _ => Err(wrong()),
    }
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || bare.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// How processes prove themselves to each other.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TlsConfig {
    /// Certificate of this process, PEM.
    pub cert: Option<PathBuf>,
    /// Its key, PEM.
    pub key: Option<PathBuf>,
    /// Authority that signed the certificates of peers, PEM.
    pub ca: Option<PathBuf>,
    /// Name in a peer's certificate where it is not the host that is dialled.
    pub domain: Option<String>,
    /// Whether other machines are allowed without TLS.
    pub insecure: bool,
}

impl TlsConfig {
    pub(crate) fn overlay(self, args: &TlsArgs) -> Self {
        Self {
            cert: args.tls_cert.clone().or(self.cert),
            key: args.tls_key.clone().or(self.key),
            ca: args.tls_ca.clone().or(self.ca),
            domain: args.tls_domain.clone().or(self.domain),
            insecure: args.insecure || self.insecure,
        }
    }

    /// Refuses a certificate without its key, and the reverse.
    ///
    /// # Errors
    /// Names the missing one.
    pub fn validate(&self) -> Result<()> {
        match (&self.cert, &self.key) {
            (Some(_), None) => Err(Error::Usage("--tls-cert is given without --tls-key: give both".to_owned())),
            (None, Some(_)) => Err(Error::Usage("--tls-key is given without --tls-cert: give both".to_owned())),
            _ => Ok(()),
        }
    }

    /// Refuses an address beyond this machine unless peers prove themselves, or that was waived.
    ///
    /// # Errors
    /// Names the flags that would be right.
    pub fn check_listen(&self, flag: &str, address: SocketAddr) -> Result<()> {
        let proven = self.encrypts() && self.ca.is_some();
        if address.ip().is_loopback() || proven || self.insecure {
            return Ok(());
        }
        Err(Error::Usage(format!(
            "{flag} {address} can be reached from other machines: give --tls-cert, --tls-key and --tls-ca, or allow it \
             without TLS with --insecure"
        )))
    }

    /// As [`TlsConfig::check_listen`], where peers prove themselves by a password: it must not travel in clear.
    ///
    /// # Errors
    /// Names the flags that would be right.
    pub fn check_login(&self, flag: &str, address: SocketAddr) -> Result<()> {
        if address.ip().is_loopback() || self.encrypts() || self.insecure {
            return Ok(());
        }
        Err(Error::Usage(format!(
            "{flag} {address} can be reached from other machines: give --tls-cert and --tls-key, or allow it without TLS \
             with --insecure"
        )))
    }

    fn encrypts(&self) -> bool {
        self.cert.is_some() && self.key.is_some()
    }
}

/// What is logged.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    /// Such as `info`; servers log `info` and clients `warn` unless told otherwise.
    pub filter: Option<String>,
    /// How lines look.
    pub format: LogFormat,
}

impl LogConfig {
    /// What `args` say, and `file` where they say nothing.
    #[must_use]
    pub fn resolve(args: &GlobalArgs, file: &FileConfig) -> Self {
        Self {
            filter: args.log.clone().or_else(|| file.log.filter.clone()),
            format: args.log_format.unwrap_or(file.log.format),
        }
    }
}

/// The secret in an environment variable; there is no flag for it, since others see what is typed.
fn secret(name: &str) -> Result<Option<Secret>> {
    match std::env::var(name) {
        Ok(text) if !text.is_empty() => Ok(Some(Secret::new(text))),
        Ok(_) | Err(std::env::VarError::NotPresent) => Ok(None),
        Err(std::env::VarError::NotUnicode(_)) => Err(Error::Usage(format!("{name} is not UTF-8"))),
    }
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Why MySQL clients are not listened to at `address`; empty if they are.
    fn refusal(address: &str, connections: usize, tls: TlsConfig) -> String {
        let mut config =
            StandaloneConfig { data: "/data".into(), mysql_max_connections: connections, ..Default::default() };
        config.mysql = address.parse().unwrap();
        config.tls = tls;
        config.validate().err().map_or_else(String::new, |error| error.to_string())
    }

    #[test]
    fn mysql_clients_of_other_machines_need_tls_but_no_certificate_of_their_own() {
        let file = || Some(PathBuf::from("file"));
        let own = TlsConfig { cert: file(), key: file(), ..TlsConfig::default() };
        assert_eq!(refusal("127.0.0.1:9030", 256, TlsConfig::default()), "");
        let why = refusal("0.0.0.0:9030", 256, TlsConfig::default());
        assert!(why.contains("--mysql 0.0.0.0:9030") && why.contains("--tls-cert and --tls-key"), "{why}");
        assert_eq!(refusal("0.0.0.0:9030", 256, TlsConfig { insecure: true, ..TlsConfig::default() }), "");
        let fe =
            FeConfig { data: "/data".into(), mysql: "0.0.0.0:9030".parse().unwrap(), tls: own, ..FeConfig::default() };
        fe.validate().unwrap();
    }

    #[test]
    fn a_number_of_mysql_clients_is_bounded_from_both_sides() {
        for wrong in [0, 10_001] {
            let why = refusal("127.0.0.1:9030", wrong, TlsConfig::default());
            assert!(why.contains("from 1 to 10000"), "{why}");
        }
    }
}
