//! The user's guide says what is true: all of its statements run, one after the other.

use std::path::Path;

use tabvault_common::view::JobKind;
use tabvault_fe_coordinator::sql::statement::{Match, Restore, Show};
use tabvault_fe_coordinator::sql::{Statement, parse};
use tabvault_integration_tests::checks::{self, fast_dir};
use tabvault_integration_tests::cluster::Cluster;
use tabvault_integration_tests::sql::Client;
use tabvault_integration_tests::tree;

const GUIDE: &str = include_str!("../../../docs/users-guide.md");

/// The contents of the guide's SQL blocks.
fn blocks() -> Vec<&'static str> {
    GUIDE.split("```sql\n").skip(1).map(|rest| rest.split("```").next().unwrap_or(rest)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_statement_of_the_users_guide_is_accepted_and_every_job_in_it_finishes() {
    let dir = fast_dir();
    let old = Cluster::start(&dir.path().join("old"), 3).await;
    let new = Cluster::start(&dir.path().join("new"), 1).await;
    let mut at_old = Client::new(old.fe(), "ann");
    let mut at_new = Client::new(new.fe(), "ann");
    at_new.run("CREATE DATABASE shop; USE shop").await;
    let blocks = blocks();
    assert!(blocks.len() > 10, "{}", blocks.len());
    for block in blocks {
        let in_new = block.starts_with("-- In the new cluster.");
        let (cluster, client) = if in_new { (&new, &mut at_new) } else { (&old, &mut at_old) };
        let text = block.replace("file:///mnt/", &format!("file://{}/", dir.path().display()));
        for statement in parse(&text).unwrap_or_else(|error| panic!("{}", error.render(&text))) {
            run(cluster, client, statement).await;
        }
    }
}

async fn run(cluster: &Cluster, client: &mut Client, mut statement: Statement) {
    match &mut statement {
        // The harness lets everybody in, and has no bucket; both are tested elsewhere.
        Statement::User(_) | Statement::Show(Show::Grants(_)) => return,
        Statement::CreateRepository(create) if create.location.starts_with("s3://") => return,
        Statement::CreateRepository(create) => make_directory(&create.location),
        Statement::Load(load) => {
            let path = load.source.trim_start_matches("file://").trim_end_matches("/**").to_owned();
            if !Path::new(&path).exists() {
                tree::make_small(Path::new(&path), path.len() as u64);
            }
        }
        Statement::Export(export) => make_directory(export.target.rsplit_once('/').expect("a path").0),
        Statement::Restore(restore) | Statement::ExplainRestore(restore) => put_timestamp(cluster, restore).await,
        Statement::Show(Show::Snapshots {
            repository,
            label: Some(Match::Equals(label)),
            timestamp: Some(timestamp),
        }) => {
            *timestamp = cluster.timestamp(repository, label).await;
        }
        _ => {}
    }
    let answer = client.say(&statement).await;
    match (&statement, answer) {
        (Statement::Cancel { .. }, Err(error)) => {
            let message = error.to_string();
            assert!(
                message.contains("job is currently running") || message.contains("can not be cancelled"),
                "{statement}: {message}"
            );
        }
        (_, Err(error)) => panic!("{statement}: {error}"),
        (Statement::Backup(_), Ok(_)) => finished(cluster, JobKind::Backup).await,
        (Statement::Restore(_), Ok(_)) => finished(cluster, JobKind::Restore).await,
        (Statement::ExplainBackup(_) | Statement::ExplainRestore(_) | Statement::Show(_), Ok(_)) => {
            assert!(!client.rows(&statement.to_string()).await.is_empty() || in_no_list(&statement), "{statement}");
        }
        _ => {}
    }
}

/// Restores have not been begun where the guide first lists them.
fn in_no_list(statement: &Statement) -> bool {
    matches!(statement, Statement::Show(Show::Restore { .. }))
}

async fn finished(cluster: &Cluster, kind: JobKind) {
    let id = cluster.newest(kind).id;
    checks::assert_finished(&*cluster.wait_archived(id).await);
}

async fn put_timestamp(cluster: &Cluster, restore: &mut Restore) {
    let timestamp = cluster.timestamp(&restore.repository, &restore.label).await;
    let given = restore.properties.insert("backup_timestamp".to_owned(), timestamp);
    assert!(given.is_some(), "the guide gives a timestamp");
}

fn make_directory(location: &str) {
    std::fs::create_dir_all(location.trim_start_matches("file://")).expect("make a directory");
}
