//! Logging to stderr.

use std::io;

use tracing_subscriber::EnvFilter;

use crate::cli::LogFormat;
use crate::config::LogConfig;
use crate::error::{Error, Result};

/// Starts logging for the rest of the process; `default` is the filter where the configuration names none.
///
/// # Errors
/// A filter that cannot be read.
pub fn start(config: &LogConfig, default: &str) -> Result<()> {
    let text = config.filter.as_deref().unwrap_or(default);
    let filter = EnvFilter::try_new(text).map_err(|error| {
        Error::Usage(format!("--log `{text}`: {error}: write a filter such as info or warn,tabvault_be_agent=debug"))
    })?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    // An error means that logging was started before.
    let _ = match config.format {
        LogFormat::Text => lines.with_ansi(io::IsTerminal::is_terminal(&io::stderr())).try_init(),
        LogFormat::Json => lines.json().try_init(),
    };
    Ok(())
}
