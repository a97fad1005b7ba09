//! `tabvault cancel`.

use crate::cli::clients::{CancelArgs, CancelKind};
use crate::commands::Session;
use crate::config::FileConfig;
use crate::error::Result;
use crate::output;

/// Cancels the running job of a database.
///
/// # Errors
/// The refusals of CANCEL.
pub async fn run(args: &CancelArgs, file: &FileConfig) -> Result<()> {
    let session = Session::open(&args.client, file).await?;
    let id = session.client.cancel(&args.request()).await?;
    let kind = match args.kind {
        CancelKind::Backup => "backup",
        CancelKind::Restore => "restore",
    };
    let row = output::row(vec![("JobId", Some(id.to_string()))]);
    // The wish is stored; the job may have passed its commit point already.
    let sentence = format!(
        "asked {kind} job {id} of {} to cancel; `tabvault show {kind} {}` tells how it ended",
        args.db, args.db
    );
    Ok(output::done(session.output, &sentence, &row)?)
}
