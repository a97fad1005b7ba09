use super::world::World;

#[tokio::test]
async fn a_backup_is_seen_and_cancelled_in_the_words_of_the_field() {
    let mut world = World::furnished().await;
    world.run("BACKUP SNAPSHOT d.friday TO r ON (t PARTITION (p1, p2), u)").await.unwrap();
    let (columns, rows) = world.rows("SHOW BACKUP").await;
    assert_eq!(
        columns.join(" "),
        "JobId SnapshotName DbName State BackupObjs CreateTime SnapshotFinishedTime UploadFinishedTime FinishedTime \
         UnfinishedTasks Progress TaskErrMsg Status Timeout"
    );
    assert_eq!(
        (rows[0][1].as_deref(), rows[0][2].as_deref(), rows[0][13].as_deref()),
        (Some("friday"), Some("d"), Some("86400"))
    );
    assert_eq!(rows[0][5].as_deref(), Some("2025-07-31 14:02:01"));
    let (code, message) = world.refused("BACKUP SNAPSHOT d.saturday TO r").await;
    assert!(
        code == 1105 && message.starts_with("Can only run one backup or restore job of a database at same time"),
        "{message}"
    );
    let (_, message) = world.refused("CANCEL BACKUP WHERE LABEL = 'saturday'").await;
    assert_eq!(message, "No backup job is currently running");
    assert!(
        world.refused("CANCEL BACKUP WHERE LABEL LIKE 's%'").await.1.starts_with("No backup job is currently running")
    );
    assert!(world.refused("CANCEL RESTORE").await.1.starts_with("No restore job is currently running"));
    world.run("CANCEL BACKUP FROM d WHERE LABEL LIKE 'f_i%'").await.unwrap();
    let id = world.coordinator.jobs(None, None)[0].id;
    world.ended(id).await;
    let (_, rows) = world.rows("SHOW BACKUP").await;
    assert_eq!(rows[0][3].as_deref(), Some("CANCELLED"));
    assert!(rows[0][12].as_deref().unwrap().contains("ann"), "{:?}", rows[0][12]);
    let (_, message) = world.refused("CANCEL BACKUP WHERE LABEL = 'friday'").await;
    assert_eq!(message, "Job with label friday can not be cancelled. state: CANCELLED");
}

#[tokio::test]
async fn jobs_are_listed_newest_last_and_chosen_by_label() {
    let mut world = World::furnished().await;
    for label in ["a_1", "ab1", "b_1"] {
        world.snapshot(label).await;
    }
    let labels =
        |rows: Vec<Vec<Option<String>>>| -> Vec<String> { rows.into_iter().filter_map(|row| row[1].clone()).collect() };
    assert_eq!(labels(world.rows("SHOW BACKUP FROM d").await.1), ["a_1", "ab1", "b_1"]);
    assert_eq!(labels(world.rows("SHOW BACKUP WHERE SnapshotName = 'ab1'").await.1), ["ab1"]);
    assert_eq!(labels(world.rows("SHOW BACKUP WHERE SnapshotName LIKE 'a%'").await.1), ["a_1", "ab1"]);
    assert_eq!(labels(world.rows(r"SHOW BACKUP WHERE SnapshotName LIKE '_\_1'").await.1), ["a_1", "b_1"]);
    assert_eq!(labels(world.rows("SHOW BACKUP WHERE SnapshotName LIKE 'x%'").await.1), [""; 0]);
    let (_, message) = world.refused("BACKUP SNAPSHOT ab1 TO r").await;
    assert!(message.starts_with("Snapshot with name 'ab1' already exist in repository"), "{message}");
}

#[tokio::test]
async fn what_a_backup_cannot_be_is_refused() {
    let mut world = World::furnished().await;
    for (text, words) in [
        ("BACKUP SNAPSHOT `a b` TO r", "Label format error. regex: ^[-_A-Za-z0-9:]{1,128}$"),
        ("BACKUP SNAPSHOT l TO r ON (t, t)", "Duplicated table: t"),
        ("BACKUP SNAPSHOT l TO r ON (t AS s)", "Can not set alias for table in Backup Command"),
        ("BACKUP SNAPSHOT l TO r PROPERTIES ('colour' = 'red')", "Unknown backup job properties: [colour]"),
        ("BACKUP SNAPSHOT l TO r PROPERTIES ('timeout' = '60')", "timeout must be at least 10 min"),
        ("BACKUP SNAPSHOT l TO r PROPERTIES ('type' = 'partial')", "Invalid property 'type': partial; write full or"),
        ("BACKUP SNAPSHOT l TO r EXCLUDE (t, u)", "nothing to back up in database d: EXCLUDE leaves no table"),
    ] {
        let (code, message) = world.refused(text).await;
        assert!(code == 1105 && message.starts_with(words), "{text}: {code} {message}");
    }
}

#[tokio::test]
async fn what_a_restore_cannot_be_is_refused() {
    let mut world = World::furnished().await;
    let at = world.snapshot("l").await;
    let one = "'replication_num' = '1'";
    for (text, words) in [
        ("RESTORE SNAPSHOT l FROM r".to_owned(), "Missing backup_timestamp property"),
        (format!("RESTORE SNAPSHOT l FROM q PROPERTIES ('backup_timestamp' = '{at}')"), "Repository q does not exist"),
        (
            "RESTORE SNAPSHOT l FROM r PROPERTIES ('backup_timestamp' = '2001-01-01-00-00-00')".to_owned(),
            "Failed to get info of snapshot 'l' because: it has no timestamp '2001-01-01-00-00-00'",
        ),
        (
            format!("RESTORE SNAPSHOT l FROM r PROPERTIES ('backup_timestamp' = '{at}', 'allow_load' = 'maybe')"),
            "Invalid boolean property 'allow_load': maybe",
        ),
        (
            format!("RESTORE SNAPSHOT l FROM r PROPERTIES ('backup_timestamp' = '{at}', 'x' = 'y')"),
            "Unknown restore job properties: [x]",
        ),
        (
            format!("RESTORE SNAPSHOT e.l FROM r ON (x) PROPERTIES ('backup_timestamp' = '{at}', {one})"),
            "Table x does not exist in snapshot l",
        ),
        (
            format!("RESTORE SNAPSHOT e.l FROM r ON (t PARTITION (x)) PROPERTIES ('backup_timestamp' = '{at}', {one})"),
            "Partition x of table t does not exist in snapshot",
        ),
        (
            format!("RESTORE SNAPSHOT e.l FROM r ON (t AS s, u AS s) PROPERTIES ('backup_timestamp' = '{at}', {one})"),
            "Duplicated alias name: s",
        ),
        (
            format!("RESTORE SNAPSHOT e.l FROM r PROPERTIES ('backup_timestamp' = '{at}', 'replication_num' = '2')"),
            "failed to find 2 different hosts to create table",
        ),
        (
            format!("RESTORE SNAPSHOT l FROM r DATABASE other AS e PROPERTIES ('backup_timestamp' = '{at}', {one})"),
            "Unknown database 'other' in snapshot l",
        ),
        (
            format!("RESTORE SNAPSHOT a.l FROM r DATABASE d AS e PROPERTIES ('backup_timestamp' = '{at}', {one})"),
            "RESTORE goes into one database: a stands before the label and e after AS",
        ),
        (
            format!("RESTORE SNAPSHOT l FROM r PROPERTIES ('backup_timestamp' = '{at}')"),
            "Table t already exist, and snapshot l holds definitions only",
        ),
    ] {
        let (code, message) = world.refused(&text).await;
        assert!(code == 1105 && message.contains(words), "{text}: {code} {message}");
    }
}

#[tokio::test]
async fn a_restore_goes_where_its_statement_says() {
    let mut world = World::furnished().await;
    let at = world.snapshot("l").await;
    for (statement, into) in [
        ("RESTORE SNAPSHOT l FROM r", "here"),
        ("RESTORE SNAPSHOT named.l FROM r", "named"),
        ("RESTORE SNAPSHOT l FROM r DATABASE d AS copy", "copy"),
        ("RESTORE SNAPSHOT before.l FROM r DATABASE d", "before"),
        ("RESTORE SNAPSHOT l FROM r DATABASE d", "d"),
    ] {
        let text = format!("{statement} PROPERTIES ('backup_timestamp' = '{at}', 'replication_num' = '1')");
        // A snapshot of definitions goes into no table that is there.
        world.run(&format!("DROP DATABASE IF EXISTS {into}")).await.unwrap();
        world.run("CREATE DATABASE IF NOT EXISTS here; USE here").await.unwrap();
        world.run(&text).await.unwrap();
        let job = world.coordinator.jobs(None, None).last().unwrap().clone();
        assert_eq!(job.database, into, "{statement}");
        world.ended(job.id).await;
        let (columns, rows) = world.rows(&format!("SHOW BRIEF RESTORE FROM {into} WHERE Label = 'l'")).await;
        assert_eq!(columns.len(), 15);
        assert_eq!(rows[0][4].as_deref(), Some("FINISHED"), "{rows:?}");
        assert_eq!(world.first_column(&format!("SHOW TABLES FROM {into}")).await, ["t", "u"]);
    }
    let (columns, _) = world.rows("SHOW RESTORE FROM d").await;
    assert_eq!(
        columns.join(" "),
        "JobId Label Timestamp DbName State AllowLoad ReplicationNum RestoreObjs CreateTime MetaPreparedTime \
         SnapshotFinishedTime DownloadFinishedTime FinishedTime UnfinishedTasks Progress TaskErrMsg Status Timeout"
    );
}

#[tokio::test]
async fn snapshots_are_listed_and_described() {
    let mut world = World::furnished().await;
    let at = world.snapshot("friday").await;
    world.snapshot("saturday").await;
    let (columns, rows) = world.rows("SHOW SNAPSHOT ON r").await;
    assert_eq!(columns, ["Snapshot", "Timestamp", "Status"]);
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[0], [Some("friday".to_owned()), Some(at.clone()), Some("OK".to_owned())]);
    assert_eq!(world.first_column("SHOW SNAPSHOT ON r WHERE SNAPSHOT = 'saturday'").await, ["saturday"]);
    assert_eq!(world.first_column("SHOW SNAPSHOT ON r WHERE SNAPSHOT LIKE 'f%'").await, ["friday"]);
    let seconds = &at[..19];
    let one = format!("SHOW SNAPSHOT ON r WHERE SNAPSHOT = 'friday' AND TIMESTAMP = '{seconds}'");
    let (columns, rows) = world.rows(&one).await;
    assert_eq!(columns, ["Snapshot", "Timestamp", "Database", "Details", "Status"]);
    assert_eq!((rows[0][2].as_deref(), rows[0][4].as_deref()), (Some("d"), Some("OK")));
    let details: serde_json::Value = serde_json::from_str(rows[0][3].as_deref().unwrap()).unwrap();
    assert_eq!(details["tables"][0]["name"], "t");
    let (_, message) =
        world.refused("SHOW SNAPSHOT ON r WHERE SNAPSHOT = 'friday' AND TIMESTAMP = '2001-01-01-00-00-00'").await;
    assert!(message.ends_with("Maybe specified wrong backup timestamp"), "{message}");
    let alone = format!("SHOW SNAPSHOT ON r WHERE TIMESTAMP = '{at}'");
    assert!(world.refused(&alone).await.1.contains("needs the label as well"));
}
