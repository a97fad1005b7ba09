//! The commands that talk to a coordinator: one verb, one file.

use crate::cli::{ClientArgs, OutputFormat};
use crate::client::Client;
use crate::config::{ClientConfig, FileConfig};
use crate::error::Result;

pub mod backup;
pub mod broker;
pub mod cancel;
pub mod drop;
pub mod export;
pub mod load;
pub mod repo;
pub mod restore;
pub mod show;
pub mod sql;
pub mod wait;
pub mod watch;

/// A connected client, and how its results are printed.
#[derive(Debug)]
pub struct Session {
    /// The client.
    pub client: Client,
    /// How results are printed.
    pub output: OutputFormat,
}

impl Session {
    /// Connects as `args` and `file` say.
    ///
    /// # Errors
    /// Settings that cannot work, or a coordinator that cannot be reached.
    pub async fn open(args: &ClientArgs, file: &FileConfig) -> Result<Self> {
        let config = ClientConfig::resolve(args, file)?;
        Ok(Self { client: Client::connect(&config).await?, output: config.output })
    }
}
