//! A cluster and a client that only ever says SQL.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use futures::TryStreamExt;
use tabvault_common::ids::JobId;
use tabvault_common::view::JobKind;
use tabvault_fe_coordinator::auth::Identity;
use tabvault_fe_coordinator::coordinator::Coordinator;
use tabvault_fe_coordinator::sql::answer::Answer;
use tabvault_fe_coordinator::sql::{Session, SqlError, Statement, parse};
use tempfile::TempDir;

use crate::checks::{self, fast_dir};
use crate::cluster::{Cluster, Setup};
use crate::crash::Crash;
use crate::tree;

/// A row of an answer: its cells by the names of their columns, NULL as `None`.
pub type Row = BTreeMap<String, Option<String>>;

/// Somebody who is connected.
#[derive(Debug)]
pub struct Client {
    session: Session,
}

impl Client {
    /// A session of `user`, who has proved who they are.
    #[must_use]
    pub fn new(coordinator: &Coordinator, user: &str) -> Self {
        Self { session: Session::new(coordinator.clone(), Identity { user: user.to_owned() }) }
    }

    /// Runs all statements of a text; the answer of the last.
    ///
    /// # Errors
    /// What refuses the text or one of its statements.
    ///
    /// # Panics
    /// If the text holds no statement.
    pub async fn ask(&mut self, text: &str) -> Result<Answer, SqlError> {
        let mut last = None;
        for statement in parse(text)? {
            last = Some(self.session.run(&statement).await?);
        }
        Ok(last.expect("there is a statement"))
    }

    /// Runs a statement.
    ///
    /// # Errors
    /// What refuses it.
    pub async fn say(&mut self, statement: &Statement) -> Result<Answer, SqlError> {
        self.session.run(statement).await
    }

    /// Runs statements; what the last wanted known.
    ///
    /// # Panics
    /// If they are refused, or the last answers rows.
    pub async fn run(&mut self, text: &str) -> Vec<String> {
        match self.ask(text).await {
            Ok(Answer::Done { notices, .. }) => notices,
            Ok(Answer::Rows(_)) => panic!("{text}: answers rows"),
            Err(error) => panic!("{text}: {error}"),
        }
    }

    /// The rows that the last statement answers.
    ///
    /// # Panics
    /// If they are refused, or the last answers none.
    pub async fn rows(&mut self, text: &str) -> Vec<Row> {
        let rows = match self.ask(text).await {
            Ok(Answer::Rows(rows)) => rows,
            Ok(Answer::Done { .. }) => panic!("{text}: answers no rows"),
            Err(error) => panic!("{text}: {error}"),
        };
        let names: Vec<String> = rows.columns.into_iter().map(|column| column.name).collect();
        let pages: Vec<_> = rows.pages.try_collect().await.unwrap_or_else(|error| panic!("{text}: {error}"));
        pages.concat().into_iter().map(|row| names.iter().cloned().zip(row).collect()).collect()
    }

    /// The cells of one column.
    ///
    /// # Panics
    /// As [`Client::rows`], or if there is no such column or a NULL in it.
    pub async fn column(&mut self, name: &str, text: &str) -> Vec<String> {
        self.rows(text).await.iter().map(|row| cell(row, name).to_owned()).collect()
    }
}

/// The cell of a column.
///
/// # Panics
/// If there is no such column, or NULL in it.
#[must_use]
pub fn cell<'a>(row: &'a Row, column: &str) -> &'a str {
    row.get(column).and_then(Option::as_deref).unwrap_or_else(|| panic!("no {column} in {row:?}"))
}

/// A cluster on which everything is done by SQL, with an empty database `shop`, which is the current one, and a
/// repository `repo`. In texts `$label` stands for the timestamp of that label's snapshot.
#[derive(Debug)]
pub struct SqlBench {
    /// What is loaded.
    pub dir: TempDir,
    /// The cluster.
    pub cluster: Cluster,
    /// Holds writes of the coordinator.
    pub crash: Crash,
    /// `ann`, who may do everything.
    pub client: Client,
    loads: u32,
}

impl SqlBench {
    /// Of so many backends.
    ///
    /// # Panics
    /// If it does not start.
    pub async fn new(backends: usize) -> Self {
        checks::log();
        let dir = fast_dir();
        let crash = Crash::never();
        let setup = Setup { crash: Some(crash.clone()), ..Setup::default() };
        let cluster = Cluster::start_with(&dir.path().join("cluster"), backends, setup).await;
        let mut client = Client::new(cluster.fe(), "ann");
        let repository = format!("CREATE REPOSITORY repo WITH LOCAL ON LOCATION \"{}\"", location(&cluster, "repo"));
        client.run(&format!("CREATE DATABASE shop; USE shop; {repository}")).await;
        Self { dir, cluster, crash, client, loads: 0 }
    }

    /// Runs statements that are answered at once; what the last wanted known.
    ///
    /// # Panics
    /// As [`Client::run`].
    pub async fn run(&mut self, text: &str) -> Vec<String> {
        let text = self.fill(text).await;
        self.client.run(&text).await
    }

    /// Runs a BACKUP or RESTORE to its end, which is FINISHED with nothing to complain about; what the statement wanted
    /// known.
    ///
    /// # Panics
    /// If it is refused or does not end so.
    pub async fn finish(&mut self, text: &str) -> Vec<String> {
        let (id, notices) = self.begin(text).await;
        let row = self.ended(id, text).await;
        assert_eq!((cell(&row, "State"), cell(&row, "Status")), ("FINISHED", "[OK]"), "{text}");
        notices
    }

    /// Runs a BACKUP or RESTORE; its job, and what the statement wanted known.
    ///
    /// # Panics
    /// If it is refused.
    pub async fn begin(&mut self, text: &str) -> (JobId, Vec<String>) {
        let text = self.fill(text).await;
        let notices = self.client.run(&text).await;
        (self.cluster.newest(kind(&text)).id, notices)
    }

    /// Waits until the job of the statement `text` has ended; how SHOW BACKUP or SHOW RESTORE then shows it.
    ///
    /// # Panics
    /// If it does not end.
    pub async fn ended(&mut self, id: JobId, text: &str) -> Row {
        let job = self.cluster.wait_archived(id).await;
        let show = match kind(text) {
            JobKind::Backup => "BACKUP",
            JobKind::Restore => "RESTORE",
        };
        let rows = self.client.rows(&format!("SHOW {show} FROM `{}`", job.database)).await;
        let id = id.to_string();
        rows.into_iter().find(|row| cell(row, "JobId") == id).expect("the job is shown")
    }

    /// What refuses a text.
    ///
    /// # Panics
    /// If nothing does.
    pub async fn refused(&mut self, text: &str) -> SqlError {
        let text = self.fill(text).await;
        match self.client.ask(&text).await {
            Err(error) => error,
            Ok(answer) => panic!("{text}: not refused, but {answer:?}"),
        }
    }

    /// Loads the tree of a seed into `table` or `table PARTITION (p)` of `shop`.
    ///
    /// # Panics
    /// If it is refused.
    pub async fn load(&mut self, into: &str, seed: u64) {
        let load = self.load_statement(into, seed);
        self.client.run(&load).await;
    }

    /// The statement that [`SqlBench::load`] says.
    pub fn load_statement(&mut self, into: &str, seed: u64) -> String {
        let tree = self.tree(seed);
        self.loads += 1;
        format!("LOAD LABEL shop.load{} (DATA INFILE(\"file://{}/**\") INTO TABLE {into})", self.loads, tree.display())
    }

    /// The table, or `table PARTITION (p)`, holds the tree of that seed and nothing else.
    ///
    /// # Panics
    /// If not.
    pub async fn holds(&mut self, table: &str, seed: u64) {
        let out = TempDir::new_in(self.dir.path()).expect("make a directory");
        let target = out.path().join("out");
        self.client.run(&format!("EXPORT TABLE {table} TO \"file://{}\"", target.display())).await;
        tree::assert_same(&self.tree(seed), &target);
    }

    /// The names of what a database holds.
    pub async fn tables(&mut self, database: &str) -> Vec<String> {
        self.client.column("Table", &format!("SHOW TABLES FROM `{database}`")).await
    }

    /// The names of a table's partitions, in the order of names.
    pub async fn partitions(&mut self, table: &str) -> Vec<String> {
        let mut names = self.client.column("PartitionName", &format!("SHOW PARTITIONS FROM {table}")).await;
        names.sort();
        names
    }

    fn tree(&self, seed: u64) -> PathBuf {
        let tree = self.dir.path().join(format!("tree{seed}"));
        if !tree.exists() {
            tree::make_small(&tree, seed);
        }
        tree
    }

    /// `text` with timestamps where it says `$label`.
    pub async fn fill(&mut self, text: &str) -> String {
        let mut filled = text.to_owned();
        while let Some(start) = filled.find('$') {
            let name = filled[start + 1..].split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or("");
            let show = format!("SHOW SNAPSHOT ON repo WHERE SNAPSHOT = '{name}'");
            let timestamps = self.client.column("Timestamp", &show).await;
            assert_eq!(timestamps.len(), 1, "snapshots {name}");
            filled = filled.replacen(&format!("${name}"), &timestamps[0], 1);
        }
        filled
    }
}

/// Where a repository of that name lies that is made below a cluster's directory.
#[must_use]
pub fn location(cluster: &Cluster, name: &str) -> String {
    let path: &Path = &cluster.dir;
    format!("file://{}", path.join(name).display())
}

fn kind(text: &str) -> JobKind {
    match parse(text).ok().as_ref().and_then(|statements| statements.last()) {
        Some(Statement::Backup(_)) => JobKind::Backup,
        Some(Statement::Restore(_)) => JobKind::Restore,
        other => panic!("{text}: no BACKUP or RESTORE, but {other:?}"),
    }
}
