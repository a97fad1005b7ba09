//! `tabvault drop`.

use crate::cli::clients::DropArgs;
use crate::commands::Session;
use crate::config::FileConfig;
use crate::error::Result;
use crate::output;

/// Drops a table.
///
/// # Errors
/// The refusals of DROP TABLE.
pub async fn run(args: &DropArgs, file: &FileConfig) -> Result<()> {
    let session = Session::open(&args.client, file).await?;
    session.client.drop_table(&args.object.database, &args.object.table).await?;
    let row = output::row(vec![("Table", Some(args.object.to_string()))]);
    Ok(output::done(session.output, &format!("dropped {}", args.object), &row)?)
}
