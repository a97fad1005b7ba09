//! Flags of the commands that talk to a coordinator.

use clap::{Args, Subcommand, ValueEnum};
use tabvault_common::request::ObjectSelection;

use super::ClientArgs;
use super::names::{self, ObjectName, Property, SnapshotName};

/// `tabvault load`.
#[derive(Debug, Clone, Args)]
pub struct LoadArgs {
    /// Where to; made if new
    #[arg(value_name = "DB.TABLE[/PARTITION]", value_parser = names::object)]
    pub object: ObjectName,
    /// Directory or URI, as the agents see it
    pub dir: String,
    /// Buckets of what is made
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub buckets: Option<u32>,
    /// Replicas of what is made
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub replication_num: Option<u32>,
    /// Property of the storage, such as s3.endpoint
    #[arg(long, value_name = "NAME=VALUE", value_parser = names::property)]
    pub property: Vec<Property>,
    /// As of every client.
    #[command(flatten)]
    pub client: ClientArgs,
}

/// `tabvault export`.
#[derive(Debug, Clone, Args)]
pub struct ExportArgs {
    /// What
    #[arg(value_name = "DB.TABLE[/PARTITION]", value_parser = names::object)]
    pub object: ObjectName,
    /// Directory or URI, as the agents see it: empty, or not there yet
    pub dir: String,
    /// Property of the storage, such as s3.endpoint
    #[arg(long, value_name = "NAME=VALUE", value_parser = names::property)]
    pub property: Vec<Property>,
    /// As of every client.
    #[command(flatten)]
    pub client: ClientArgs,
}

/// `tabvault drop`.
#[derive(Debug, Clone, Args)]
pub struct DropArgs {
    /// The table
    #[arg(value_name = "DB.TABLE", value_parser = names::table)]
    pub object: ObjectName,
    /// As of every client.
    #[command(flatten)]
    pub client: ClientArgs,
}

/// `tabvault repo`.
#[derive(Debug, Clone, Args)]
pub struct RepoArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: RepoCommand,
}

/// `tabvault repo …`.
#[derive(Debug, Clone, Subcommand)]
pub enum RepoCommand {
    /// Probe a location and make it known as a repository
    Create {
        /// Its name
        name: String,
        /// file:///dir or s3://bucket/prefix
        #[arg(long, value_name = "URI")]
        location: String,
        /// Property of the storage, such as s3.endpoint
        #[arg(long, value_name = "NAME=VALUE", value_parser = names::property)]
        property: Vec<Property>,
        /// Brokers to go through
        #[arg(long, value_name = "NAME")]
        broker: Option<String>,
        /// Never write to it
        #[arg(long)]
        read_only: bool,
        /// As of every client.
        #[command(flatten)]
        client: ClientArgs,
    },
    /// Change properties, such as credentials
    Alter {
        /// Its name
        name: String,
        /// Property of the storage
        #[arg(long, value_name = "NAME=VALUE", value_parser = names::property, required = true)]
        property: Vec<Property>,
        /// As of every client.
        #[command(flatten)]
        client: ClientArgs,
    },
    /// Forget a repository; what is stored there stays
    Drop {
        /// Its name
        name: String,
        /// As of every client.
        #[command(flatten)]
        client: ClientArgs,
    },
    /// List repositories
    List {
        /// As of every client.
        #[command(flatten)]
        client: ClientArgs,
    },
}

/// `tabvault backup`.
#[derive(Debug, Clone, Args)]
pub struct BackupArgs {
    /// The database, and the label of the new snapshot
    #[arg(value_name = "DB.LABEL", value_parser = names::snapshot)]
    pub snapshot: SnapshotName,
    /// The repository
    #[arg(long, value_name = "REPO")]
    pub to: String,
    /// Only this table or these partitions
    #[arg(long, value_name = "TABLE[/P1,P2]", value_parser = names::selection)]
    pub table: Vec<ObjectSelection>,
    /// All but this table or these partitions
    #[arg(long, value_name = "TABLE[/P1,P2]", value_parser = names::selection, conflicts_with = "table")]
    pub exclude: Vec<ObjectSelection>,
    /// Property of the job: type, content, compression, max_file_size
    #[arg(long, value_name = "NAME=VALUE", value_parser = names::property)]
    pub property: Vec<Property>,
    /// Seconds that the job may take [default: 86400]
    #[arg(long, value_name = "SECONDS")]
    pub timeout: Option<u64>,
    /// Follow the job and fail unless it ends FINISHED
    #[arg(long)]
    pub wait: bool,
    /// As of every client.
    #[command(flatten)]
    pub client: ClientArgs,
}

/// `tabvault restore`.
#[derive(Debug, Clone, Args)]
pub struct RestoreArgs {
    /// The database the snapshot came from, and its label
    #[arg(value_name = "DB.LABEL", value_parser = names::snapshot)]
    pub snapshot: SnapshotName,
    /// The repository
    #[arg(long, value_name = "REPO")]
    pub from: String,
    /// The snapshot's timestamp, as `show snapshots` tells it
    #[arg(long, value_name = "TIMESTAMP")]
    pub timestamp: String,
    /// Another database to restore into, made if new
    #[arg(long, value_name = "DB")]
    pub into: Option<String>,
    /// Only this table or these partitions, possibly under another name
    #[arg(long, value_name = "TABLE[/P1,P2][=ALIAS]", value_parser = names::selection)]
    pub table: Vec<ObjectSelection>,
    /// All but this table or these partitions
    #[arg(long, value_name = "TABLE[/P1,P2]", value_parser = names::selection, conflicts_with = "table")]
    pub exclude: Vec<ObjectSelection>,
    /// Property of the job: replication_num, allow_load, reserve_replica and more
    #[arg(long, value_name = "NAME=VALUE", value_parser = names::property)]
    pub property: Vec<Property>,
    /// Seconds that the job may take [default: 86400]
    #[arg(long, value_name = "SECONDS")]
    pub timeout: Option<u64>,
    /// Follow the job and fail unless it ends FINISHED
    #[arg(long)]
    pub wait: bool,
    /// As of every client.
    #[command(flatten)]
    pub client: ClientArgs,
}

/// `tabvault show`.
#[derive(Debug, Clone, Args)]
pub struct ShowArgs {
    /// What to show.
    #[command(subcommand)]
    pub what: ShowCommand,
}

/// `tabvault show …`.
#[derive(Debug, Clone, Subcommand)]
pub enum ShowCommand {
    /// Backups, the newest last
    Backup(OfDatabase),
    /// Restores, the newest last
    Restore(OfDatabase),
    /// Snapshots of a repository, or what is in one
    Snapshots {
        /// The repository
        repo: String,
        /// Only snapshots with this label
        label: Option<String>,
        /// The one with this timestamp, in detail
        timestamp: Option<String>,
        /// As of every client.
        #[command(flatten)]
        client: ClientArgs,
    },
    /// Databases
    Databases(Everything),
    /// Tables of a database
    Tables {
        /// The database
        db: String,
        /// As of every client.
        #[command(flatten)]
        client: ClientArgs,
    },
    /// Partitions of a table
    Partitions {
        /// The table
        #[arg(value_name = "DB.TABLE", value_parser = names::table)]
        object: ObjectName,
        /// As of every client.
        #[command(flatten)]
        client: ClientArgs,
    },
    /// Tablets and their replicas
    Tablets {
        /// The table or partition
        #[arg(value_name = "DB.TABLE[/PARTITION]", value_parser = names::object)]
        object: ObjectName,
        /// As of every client.
        #[command(flatten)]
        client: ClientArgs,
    },
    /// Backends
    Backends(Everything),
    /// Broker processes
    Brokers(Everything),
    /// Repositories
    Repositories(Everything),
}

impl ShowCommand {
    /// What every client takes.
    #[must_use]
    pub fn client(&self) -> &ClientArgs {
        match self {
            Self::Backup(OfDatabase { client, .. })
            | Self::Restore(OfDatabase { client, .. })
            | Self::Snapshots { client, .. }
            | Self::Tables { client, .. }
            | Self::Partitions { client, .. }
            | Self::Tablets { client, .. }
            | Self::Databases(Everything { client })
            | Self::Backends(Everything { client })
            | Self::Brokers(Everything { client })
            | Self::Repositories(Everything { client }) => client,
        }
    }
}

/// Of one database or of all.
#[derive(Debug, Clone, Args)]
pub struct OfDatabase {
    /// Only of this database
    pub db: Option<String>,
    /// As of every client.
    #[command(flatten)]
    pub client: ClientArgs,
}

/// All there are.
#[derive(Debug, Clone, Args)]
pub struct Everything {
    /// As of every client.
    #[command(flatten)]
    pub client: ClientArgs,
}

/// `tabvault watch`.
#[derive(Debug, Clone, Args)]
pub struct WatchArgs {
    /// Only of this database
    pub db: Option<String>,
    /// As of every client.
    #[command(flatten)]
    pub client: ClientArgs,
}

/// `tabvault cancel`.
#[derive(Debug, Clone, Args)]
pub struct CancelArgs {
    /// Which kind of job
    pub kind: CancelKind,
    /// Whose job
    pub db: String,
    /// Only the job with this label
    #[arg(long)]
    pub label: Option<String>,
    /// As of every client.
    #[command(flatten)]
    pub client: ClientArgs,
}

/// Backup or restore.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CancelKind {
    /// The running backup
    Backup,
    /// The running restore
    Restore,
}

/// `tabvault sql`.
#[derive(Debug, Clone, Args)]
pub struct SqlArgs {
    /// Statements to run; without them they are read from stdin, line by line from a terminal
    #[arg(short, long, value_name = "SQL")]
    pub execute: Option<String>,
    /// The database that names without one are of
    #[arg(short = 'D', long, value_name = "DB")]
    pub database: Option<String>,
    /// Go on after a statement that fails
    #[arg(short, long)]
    pub force: bool,
    /// As of every client.
    #[command(flatten)]
    pub client: ClientArgs,
}
