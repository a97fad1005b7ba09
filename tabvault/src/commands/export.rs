//! `tabvault export`.

use crate::cli::clients::ExportArgs;
use crate::commands::Session;
use crate::config::FileConfig;
use crate::error::Result;
use crate::{output, progress};

/// Writes a table's files out.
///
/// # Errors
/// The refusals of EXPORT.
pub async fn run(args: &ExportArgs, file: &FileConfig) -> Result<()> {
    // 1. What is asked for.
    let request = args.request()?;
    // 2. Ask; the answer comes when all files are there.
    let session = Session::open(&args.client, file).await?;
    let busy = progress::busy(format!("exporting {}", args.object));
    let done = session.client.export(&request).await?;
    drop(busy);
    // 3. Tell.
    let sentence = format!(
        "exported {} ({}) of {} to {}",
        output::count(done.files, "file"),
        output::bytes(done.bytes),
        args.object,
        request.target.location
    );
    let row = output::row(vec![
        ("Location", Some(request.target.location)),
        ("Files", Some(done.files.to_string())),
        ("Bytes", Some(done.bytes.to_string())),
    ]);
    Ok(output::done(session.output, &sentence, &row)?)
}
