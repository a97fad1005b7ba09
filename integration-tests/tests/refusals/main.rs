//! Every refusal that users search for is provoked, by SQL on a cluster with agents and real files.

#![allow(clippy::panic, reason = "a test that cannot go on panics")]

mod objects;
mod others;
mod privileges;
mod provoked;
mod repositories;
mod restores;
mod running;

/// MySQL's number and the words. `{}` stands for a name, `…` for more words.
const REFUSALS: &[(u16, &str)] = &[
    // The text, and who sends it.
    (1064, "syntax error at line {}, column {}: found {}, expected …"),
    (1045, "Access denied for user '{}'"),
    (1227, "Access denied; you need (at least one of) the ADMIN privilege(s) for this operation"),
    // Repositories.
    (1105, "Repository {} does not exist"),
    (1105, "Repository {} is read only"),
    (1105, "Repository {} already exist"),
    (1105, "broker does not exist: {}"),
    (1105, "Backup or restore job is running on this repository. Can not drop it"),
    // What else runs.
    (1105, "Can only run one backup or restore job of a database at same time"),
    (1105, "Snapshot with name '{}' already exist in repository"),
    (1105, "No backup job is currently running"),
    (1105, "No restore job is currently running"),
    (1105, "Job with label {} can not be cancelled. state: {}"),
    // What a statement names.
    (1049, "Unknown database '{}'"),
    (1146, "Unknown table '{}'"),
    (1105, "Unknown partition {} in table {}"),
    (1105, "Duplicated table: {}"),
    (1105, "Duplicated alias name: {}"),
    (1105, "Can not set alias for table in Backup Command"),
    (1105, "Table {}'s state is not NORMAL: {}"),
    (1105, "Table {} does not exist in snapshot {}"),
    (1105, "Partition {} of table {} does not exist in snapshot"),
    // Tables that are others than the snapshot's.
    (1105, "Table {} already exist but with different schema"),
    (1105, "Table {} already exist but with different key type"),
    (1105, "Partition {} of table {} has different range with partition in repository"),
    (1105, "Partition {} of table {} has conflict range with existing ranges"),
    (1105, "Partition {} of table {} has different replication num '{}' with partition in repository, which is {}"),
    // The snapshot.
    (1105, "Failed to get info of snapshot '{}' because: …. Maybe specified wrong backup timestamp"),
    (1105, "Missing backup_timestamp property"),
    // Properties and labels.
    (1105, "Unknown backup job properties: [{}]"),
    (1105, "Unknown restore job properties: [{}]"),
    (1105, "Invalid boolean property '{}': {}"),
    (1105, "timeout must be at least 10 min"),
    (1105, "Label format error. regex: …"),
    // Where it would lie. Users of small clusters meet this one first: it says what there is and what to set.
    (1105, "failed to find {} different hosts to create table … {} backends … replication_num"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_refusal_that_users_search_for_is_provoked() {
    let (repositories, running, objects) = tokio::join!(repositories::scene(), running::scene(), objects::scene());
    let (restores, others, privileges) = tokio::join!(restores::scene(), others::scene(), privileges::scene());
    let all = [repositories, running, objects, restores, others, privileges];
    let missing: Vec<_> = REFUSALS.iter().filter(|(_, words)| !all.iter().any(|some| some.met(words))).collect();
    assert!(missing.is_empty(), "nobody provokes {missing:#?}");
}
