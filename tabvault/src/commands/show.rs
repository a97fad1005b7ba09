//! `tabvault show`.

use tabvault_common::view::JobKind;
use tabvault_common::view::cells::{self, ResultSet};

use crate::cli::clients::{ShowArgs, ShowCommand};
use crate::commands::Session;
use crate::config::FileConfig;
use crate::error::Result;
use crate::output;

mod details;

/// Shows what there is.
///
/// # Errors
/// What is asked for does not exist, or the coordinator cannot be reached.
pub async fn run(args: &ShowArgs, file: &FileConfig) -> Result<()> {
    let session = Session::open(args.what.client(), file).await?;
    let client = &session.client;
    let set = match &args.what {
        ShowCommand::Backup(of) => cells::backups(&client.list_jobs(JobKind::Backup, of.db.as_deref()).await?),
        ShowCommand::Restore(of) => {
            cells::restores(&client.list_jobs(JobKind::Restore, of.db.as_deref()).await?, false)
        }
        ShowCommand::Snapshots { repo, label: Some(label), timestamp: Some(timestamp), .. } => {
            let details = client.describe_snapshot(repo, label, timestamp).await?;
            return details::print(session.output, details).await;
        }
        ShowCommand::Snapshots { repo, label, .. } => {
            cells::snapshots(&client.list_snapshots(repo, label.as_deref()).await?)
        }
        ShowCommand::Databases(_) => databases(client.list_databases().await?),
        ShowCommand::Tables { db, .. } => cells::tables(&client.list_tables(db).await?),
        ShowCommand::Partitions { object, .. } => {
            cells::partitions(&client.list_partitions(&object.database, &object.table).await?)
        }
        ShowCommand::Tablets { object, .. } => {
            let partition = object.partition.as_deref();
            cells::tablets(&client.list_tablets(&object.database, &object.table, partition).await?)
        }
        ShowCommand::Backends(_) => cells::backends(&client.list_backends().await?),
        ShowCommand::Brokers(_) => cells::brokers(&client.list_brokers().await?),
        ShowCommand::Repositories(_) => cells::repositories(&client.list_repositories().await?),
    };
    Ok(output::print(session.output, &set)?)
}

fn databases(names: Vec<String>) -> ResultSet {
    ResultSet { columns: vec!["Database"], rows: names.into_iter().map(|name| vec![Some(name)]).collect() }
}
