use super::world::World;

#[tokio::test]
async fn names_without_a_database_mean_the_current_one() {
    let mut world = World::furnished().await;
    assert_eq!(world.first_column("SHOW TABLES").await, ["t", "u"]);
    world.run("CREATE DATABASE e").await.unwrap();
    world.run("USE e").await.unwrap();
    assert_eq!(world.session.database(), Some("e"));
    assert_eq!(world.first_column("SHOW TABLES").await, [""; 0]);
    assert_eq!(world.first_column("SHOW TABLES FROM d LIKE 'u'").await, ["u"]);
    world.run("DROP DATABASE e").await.unwrap();
    assert_eq!(world.session.database(), None);
}

#[tokio::test]
async fn without_a_database_statements_say_so_with_mysqls_number() {
    let mut world = World::new().await;
    for text in [
        "SHOW TABLES",
        "SHOW BACKUP",
        "SHOW RESTORE",
        "CANCEL BACKUP",
        "BACKUP SNAPSHOT l TO r",
        "RESTORE SNAPSHOT l FROM r PROPERTIES ('backup_timestamp' = '2025-01-01-00-00-00')",
        "DESC t",
        "DROP TABLE t",
        "CREATE TABLE t (k INT) DISTRIBUTED BY HASH (k)",
        "LOAD LABEL l (DATA INFILE('file:///x') INTO TABLE t)",
        "EXPORT TABLE t TO 'file:///x'",
    ] {
        let (code, message) = world.refused(text).await;
        assert_eq!((code, message.split(':').next().unwrap()), (1046, "No database selected"), "{text}");
    }
}

#[tokio::test]
async fn unknown_databases_and_tables_have_mysqls_numbers() {
    let mut world = World::furnished().await;
    for text in [
        "USE x",
        "SHOW TABLES FROM x",
        "DESC x.t",
        "SHOW PARTITIONS FROM x.t",
        "SHOW TABLETS FROM x.t",
        "SHOW CREATE TABLE x.t",
        "SHOW BACKUP FROM x",
        "DROP DATABASE x",
        "DROP TABLE x.t",
        "ALTER TABLE x.t DROP PARTITION p",
        "CREATE TABLE x.t (k INT) DISTRIBUTED BY HASH (k)",
        "BACKUP SNAPSHOT x.l TO r",
        "LOAD LABEL x.l (DATA INFILE('file:///x') INTO TABLE t)",
        "EXPORT TABLE x.t TO 'file:///x'",
    ] {
        assert_eq!(world.refused(text).await, (1049, "Unknown database 'x'".to_owned()), "{text}");
    }
    for text in [
        "DESC x",
        "SHOW PARTITIONS FROM x",
        "SHOW TABLETS FROM x",
        "SHOW CREATE TABLE x",
        "SHOW CREATE VIEW x",
        "DROP TABLE x",
        "ALTER TABLE x DROP PARTITION p",
        "BACKUP SNAPSHOT l TO r ON (t, x)",
        "LOAD LABEL l (DATA INFILE('file:///x') INTO TABLE x)",
        "EXPORT TABLE x TO 'file:///x'",
    ] {
        let (code, message) = world.refused(text).await;
        assert!(code == 1146 && message.starts_with("Unknown table 'x'"), "{text}: {code} {message}");
    }
    let partition = "BACKUP SNAPSHOT l TO r ON (t PARTITION (x))";
    let (code, message) = world.refused(partition).await;
    assert!(code == 1105 && message.starts_with("Unknown partition x in table t"), "{code} {message}");
    let (code, message) = world.refused("BACKUP SNAPSHOT x.l TO missing").await;
    assert_eq!((code, message.as_str()), (1105, "Repository missing does not exist"));
}

#[tokio::test]
async fn if_exists_makes_what_is_missing_a_notice() {
    let mut world = World::furnished().await;
    assert_eq!(world.notices("DROP DATABASE IF EXISTS x").await, ["Unknown database 'x'"]);
    assert_eq!(world.notices("DROP TABLE IF EXISTS x").await, ["Unknown table 'x'"]);
    let (columns, rows) = world.rows("SHOW WARNINGS").await;
    assert_eq!(columns, ["Level", "Code", "Message"]);
    assert_eq!(
        rows.concat().into_iter().map(Option::unwrap).collect::<Vec<_>>(),
        ["Warning", "1105", "Unknown table 'x'"]
    );
    assert_eq!(world.notices("ALTER TABLE t DROP PARTITION IF EXISTS x").await, ["Unknown partition x in table t"]);
    let again = "ALTER TABLE t ADD PARTITION IF NOT EXISTS p1 VALUES LESS THAN ('5')";
    assert_eq!(world.notices(again).await, ["Partition p1 of table t already exist"]);
    world.run("CREATE DATABASE IF NOT EXISTS d").await.unwrap();
    world.run("CREATE TABLE IF NOT EXISTS t (k INT) DISTRIBUTED BY HASH (k)").await.unwrap();
}
