//! `tabvault restore`.

use crate::cli::clients::RestoreArgs;
use crate::commands::{Session, wait};
use crate::config::FileConfig;
use crate::error::Result;

/// Starts a restore, and follows it if asked to.
///
/// # Errors
/// The refusals of RESTORE; with `--wait`, that the job was cancelled.
pub async fn run(args: &RestoreArgs, file: &FileConfig) -> Result<()> {
    // 1. What is asked for.
    let request = args.request()?;
    // 2. Start it.
    let session = Session::open(&args.client, file).await?;
    let job = session.client.restore(&request).await?;
    // 3. Follow it, or tell its number.
    let what = format!("restore of {} from {}", args.snapshot, args.from);
    if args.wait { wait::to_the_end(&session, &job, &what).await } else { wait::started(&session, &job, &what) }
}
