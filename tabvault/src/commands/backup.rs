//! `tabvault backup`.

use crate::cli::clients::BackupArgs;
use crate::commands::{Session, wait};
use crate::config::FileConfig;
use crate::error::Result;

/// Starts a backup, and follows it if asked to.
///
/// # Errors
/// The refusals of BACKUP; with `--wait`, that the job was cancelled.
pub async fn run(args: &BackupArgs, file: &FileConfig) -> Result<()> {
    // 1. What is asked for.
    let request = args.request()?;
    // 2. Start it.
    let session = Session::open(&args.client, file).await?;
    let job = session.client.backup(&request).await?;
    // 3. Follow it, or tell its number.
    let what = format!("backup of {} to {}", args.snapshot, args.to);
    if args.wait { wait::to_the_end(&session, &job, &what).await } else { wait::started(&session, &job, &what) }
}
