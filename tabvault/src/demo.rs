//! `tabvault demo`.
use crate::cli::servers::DemoArgs;
use crate::error::Result;
use std::process::ExitCode;
/// Runs it.
///
/// # Errors
/// x
pub async fn run(_args: &DemoArgs) -> Result<ExitCode> {
    Ok(ExitCode::SUCCESS)
}
