//! `tabvault load`.

use crate::cli::clients::LoadArgs;
use crate::commands::Session;
use crate::config::FileConfig;
use crate::error::Result;
use crate::{output, progress};

/// Brings the files of a directory into a table.
///
/// # Errors
/// The refusals of LOAD.
pub async fn run(args: &LoadArgs, file: &FileConfig) -> Result<()> {
    // 1. What is asked for.
    let request = args.request()?;
    // 2. Ask; the answer comes when the files are visible.
    let session = Session::open(&args.client, file).await?;
    let busy = progress::busy(format!("loading into {}", args.object));
    let done = session.client.load(&request).await?;
    drop(busy);
    // 3. Tell.
    let sentence = format!(
        "loaded {} ({}) into {} as version {}",
        output::count(done.files, "file"),
        output::bytes(done.bytes),
        args.object,
        done.version
    );
    let row = output::row(vec![
        ("Version", Some(done.version.to_string())),
        ("Files", Some(done.files.to_string())),
        ("Bytes", Some(done.bytes.to_string())),
    ]);
    Ok(output::done(session.output, &sentence, &row)?)
}
