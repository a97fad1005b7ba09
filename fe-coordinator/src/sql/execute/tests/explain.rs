use super::world::World;

impl World {
    async fn explained(&mut self, text: &str) -> Vec<(String, String)> {
        let (columns, rows) = self.rows(text).await;
        assert_eq!(columns, ["Item", "Value"]);
        let pair = |row: Vec<Option<String>>| {
            let mut cells = row.into_iter().map(Option::unwrap);
            (cells.next().unwrap(), cells.next().unwrap())
        };
        rows.into_iter().map(pair).collect()
    }
}

fn value<'a>(rows: &'a [(String, String)], item: &str) -> Option<&'a str> {
    rows.iter().find(|(name, _)| name == item).map(|(_, value)| value.as_str())
}

fn all<'a>(rows: &'a [(String, String)], item: &str) -> Vec<&'a str> {
    rows.iter().filter(|(name, _)| name == item).map(|(_, value)| value.as_str()).collect()
}

#[tokio::test]
async fn a_backup_is_explained_without_being_begun() {
    let mut world = World::furnished().await;
    world.run("LOAD LABEL l (DATA INFILE('file:///in') INTO TABLE t PARTITION (p1))").await.unwrap();
    let rows = world.explained("EXPLAIN BACKUP SNAPSHOT friday TO r").await;
    for (item, expected) in [
        ("Accepted", "true"),
        ("Database", "d"),
        ("Snapshot", "friday"),
        ("Repository", "r"),
        ("Tables", "2"),
        ("Partitions", "4"),
        ("Tablets", "7"),
        ("Files", "6"),
        ("Bytes", "60"),
        ("PackedFiles", "6"),
        ("Packs", "1"),
        ("Objects", "0"),
        // A manifest for each of four partitions, one pack, and five beside.
        ("Requests", "10"),
        ("Backends", "10001"),
    ] {
        assert_eq!(value(&rows, item), Some(expected), "{item}: {rows:?}");
    }
    assert_eq!(all(&rows, "Refusal"), [""; 0]);
    assert!(world.coordinator.jobs(None, None).is_empty());
    assert!(world.rows("SHOW SNAPSHOT ON r").await.1.is_empty());
    let one = world.explained("EXPLAIN BACKUP SNAPSHOT friday TO r ON (t PARTITION (p1))").await;
    assert_eq!((value(&one, "Partitions"), value(&one, "Tablets")), (Some("1"), Some("2")));
}

#[tokio::test]
async fn an_incremental_backup_without_a_parent_is_explained_as_what_it_is() {
    let mut world = World::furnished().await;
    world.snapshot("definitions").await;
    let text = "EXPLAIN BACKUP SNAPSHOT friday TO r PROPERTIES ('type' = 'incremental')";
    let rows = world.explained(text).await;
    assert_eq!((value(&rows, "Accepted"), value(&rows, "Tablets")), (Some("true"), Some("7")));
    let notice = "repository r has no snapshot with data of database d that this cluster made: nothing is shared";
    assert_eq!(all(&rows, "Notice"), [notice]);
    assert_eq!(all(&world.explained("EXPLAIN BACKUP SNAPSHOT friday TO r").await, "Notice"), [""; 0]);
}

#[tokio::test]
async fn every_reason_to_refuse_a_backup_is_a_row_and_the_rest_is_said_nevertheless() {
    let mut world = World::furnished().await;
    let text = "EXPLAIN BACKUP SNAPSHOT `a b` TO q PROPERTIES ('timeout' = '1')";
    let rows = world.explained(text).await;
    assert_eq!(value(&rows, "Accepted"), Some("false"));
    let refusals = all(&rows, "Refusal");
    assert_eq!(refusals.len(), 3, "{refusals:?}");
    assert!(refusals[0].starts_with("timeout must be at least 10 min"));
    assert!(refusals[1].starts_with("Label format error"));
    assert_eq!(refusals[2], "Repository q does not exist");
    assert_eq!(value(&rows, "Tables"), Some("2"));
    let rows = world.explained("EXPLAIN BACKUP SNAPSHOT x.l TO r").await;
    assert_eq!(all(&rows, "Refusal"), ["Unknown database 'x'"]);
    assert_eq!(value(&rows, "Tables"), None);
    world.snapshot("taken").await;
    world.run("BACKUP SNAPSHOT running TO r").await.unwrap();
    let rows = world.explained("EXPLAIN BACKUP SNAPSHOT taken TO r").await;
    let refusals = all(&rows, "Refusal");
    assert!(refusals[0].starts_with("Can only run one backup or restore job of a database at same time"));
    assert_eq!(refusals[1], "Snapshot with name 'taken' already exist in repository");
    let rows = world.explained("EXPLAIN BACKUP SNAPSHOT running TO r").await;
    assert!(all(&rows, "Refusal")[1].starts_with("Snapshot with name 'running' already exist in repository: job "));
}

#[tokio::test]
async fn a_restore_is_explained_without_being_begun() {
    let mut world = World::furnished().await;
    let at = world.snapshot("l").await;
    let jobs = world.coordinator.jobs(None, None).len();
    let text = format!(
        "EXPLAIN RESTORE SNAPSHOT copy.l FROM r ON (t PARTITION (p1, p3)) PROPERTIES ('backup_timestamp' = '{at}', \
         'replication_num' = '1')"
    );
    let rows = world.explained(&text).await;
    for (item, expected) in [
        ("Accepted", "true"),
        ("Database", "copy"),
        ("Tables", "1"),
        ("Partitions", "2"),
        ("Tablets", "4"),
        ("Files", "0"),
        ("Backends", "10001"),
    ] {
        assert_eq!(value(&rows, item), Some(expected), "{item}: {rows:?}");
    }
    assert_eq!(world.coordinator.jobs(None, None).len(), jobs);
    assert_eq!(world.first_column("SHOW DATABASES").await, ["d"]);
}

#[tokio::test]
async fn a_restore_that_would_be_refused_still_tells_of_the_snapshot() {
    let mut world = World::furnished().await;
    let at = world.snapshot("l").await;
    let text = format!("EXPLAIN RESTORE SNAPSHOT copy.l FROM r PROPERTIES ('backup_timestamp' = '{at}', 'x' = 'y')");
    let rows = world.explained(&text).await;
    assert_eq!(value(&rows, "Accepted"), Some("false"));
    let refusals = all(&rows, "Refusal");
    assert!(refusals[0].starts_with("Unknown restore job properties: [x]"), "{refusals:?}");
    // There is one host, and three replicas are the default.
    assert!(refusals[1].contains("failed to find 3 different hosts"), "{refusals:?}");
    assert_eq!((value(&rows, "Tables"), value(&rows, "Tablets")), (Some("2"), Some("7")));
    assert!(all(&rows, "Notice").contains(&"the numbers are those of the whole snapshot"));
    let rows = world.explained("EXPLAIN RESTORE SNAPSHOT copy.l FROM r").await;
    assert!(all(&rows, "Refusal")[0].starts_with("Missing backup_timestamp property"));
    assert_eq!(value(&rows, "Tables"), None);
}
