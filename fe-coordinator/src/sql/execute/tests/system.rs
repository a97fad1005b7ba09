use super::world::{BACKEND, World};

#[tokio::test]
async fn brokers_come_and_go() {
    let mut world = World::new().await;
    world.run("ALTER SYSTEM ADD BROKER b '127.0.0.1:1', '127.0.0.1:2'").await.unwrap();
    let (columns, rows) = world.rows("SHOW BROKER").await;
    assert_eq!(columns, ["Name", "Host", "Port", "Alive", "LastStartTime", "LastUpdateTime", "ErrMsg"]);
    assert_eq!(rows.len(), 2);
    world.run("ALTER SYSTEM DROP BROKER b '127.0.0.1:2'").await.unwrap();
    assert_eq!(world.rows("SHOW BROKER").await.1.len(), 1);
    world.run("ALTER SYSTEM DROP ALL BROKER b").await.unwrap();
    assert_eq!(world.rows("SHOW BROKER").await.1.len(), 0);
    for text in ["ALTER SYSTEM DROP ALL BROKER b", "ALTER SYSTEM DROP BROKER b '127.0.0.1:2'"] {
        assert!(world.refused(text).await.1.starts_with("broker does not exist: b"), "{text}");
    }
    let bad = "ALTER SYSTEM ADD BROKER b 'nowhere'";
    assert_eq!(world.refused(bad).await.1, "Broker 'nowhere' is no address: host:port is right");
}

#[tokio::test]
async fn backends_are_listed_and_unknown_ones_are_refused() {
    let mut world = World::new().await;
    let (columns, rows) = world.rows("SHOW BACKENDS").await;
    let expected =
        "BackendId Host Alive LastHeartbeat TabletNum DataUsedCapacity AvailCapacity RunningTasks Version ErrMsg";
    assert_eq!(columns.join(" "), expected);
    assert_eq!(rows[0][0], Some(BACKEND.to_string()));
    for (text, name) in [("77", "77"), ("'elsewhere:9'", "elsewhere:9")] {
        let (_, message) = world.refused(&format!("ALTER SYSTEM DECOMMISSION BACKEND {text}")).await;
        assert_eq!(message, format!("Unknown backend '{name}': SHOW BACKENDS lists those that exist"));
    }
}

#[tokio::test]
async fn settings_are_set_shown_and_taken_back() {
    let mut world = World::furnished().await;
    for text in [
        "ADMIN SET CONFIG ('bytes_per_second' = '50M', 'cpu_cores' = 2)",
        &format!("ADMIN SET AGENT {BACKEND} CONFIG (bytes_per_second = 0)"),
        "ADMIN SET AGENT 'host1' CONFIG ('requests_per_second' = '7')",
        "ADMIN SET REPOSITORY r CONFIG ('requests_per_second' = '100')",
    ] {
        world.run(text).await.unwrap();
    }
    let (columns, rows) = world.rows("ADMIN SHOW CONFIG").await;
    assert_eq!(columns, ["Target", "Key", "Value", "Comment"]);
    let cell = |cell: &Option<String>| cell.clone().unwrap_or_else(|| "NULL".to_owned());
    let told: Vec<String> = rows.iter().map(|row| row[..3].iter().map(cell).collect::<Vec<_>>().join(" ")).collect();
    let agent = |rest: &str| format!("AGENT {BACKEND} {rest}");
    assert_eq!(
        told,
        [
            "AGENTS bytes_per_second 52428800".to_owned(),
            "AGENTS cpu_cores 2".to_owned(),
            "AGENTS max_requests_in_flight NULL".to_owned(),
            "AGENTS requests_per_second NULL".to_owned(),
            agent("bytes_per_second 0"),
            agent("requests_per_second 7"),
            "REPOSITORY r requests_per_second 100".to_owned(),
        ]
    );
    assert_eq!(world.rows("ADMIN SHOW CONFIG LIKE 'cpu%'").await.1.len(), 1);
    world.run("ADMIN SET REPOSITORY r CONFIG ('requests_per_second' = 'default')").await.unwrap();
    assert_eq!(world.rows("ADMIN SHOW CONFIG").await.1.len(), 6);
    for (text, words) in [
        ("ADMIN SET AGENT 77 CONFIG ('cpu_cores' = '1')", "Unknown backend '77': SHOW BACKENDS lists those that exist"),
        ("ADMIN SET REPOSITORY q CONFIG ('bytes_per_second' = '1')", "Repository q does not exist"),
        ("ADMIN SET REPOSITORY r CONFIG ('cpu_cores' = '1')", "Unknown config of a repository: cpu_cores; "),
        ("ADMIN SET CONFIG ('speed' = '1')", "Unknown config of an agent: speed; those that exist are "),
        ("ADMIN SET CONFIG ()", "No config of an agent is named; "),
    ] {
        let (code, message) = world.refused(text).await;
        assert!(code == 1105 && message.starts_with(words), "{text}: {message}");
    }
}

#[tokio::test]
async fn repositories_are_refused_in_the_words_users_search_for() {
    let mut world = World::furnished().await;
    let (columns, rows) = world.rows("SHOW REPOSITORIES").await;
    assert_eq!(columns.join(" "), "RepoId RepoName CreateTime IsReadOnly Location Broker Type ErrMsg");
    assert_eq!((rows[0][1].as_deref(), rows[0][5].as_deref()), (Some("r"), Some("-")));
    for (text, words) in [
        ("CREATE REPOSITORY r WITH BROKER ON LOCATION 'memory://elsewhere'", "Repository r already exist"),
        ("CREATE REPOSITORY q WITH BROKER b ON LOCATION 's3://bucket/x'", "broker does not exist: b"),
        ("CREATE REPOSITORY q WITH S3 ON LOCATION 'file:///x'", "WITH S3 needs a location that begins with s3://"),
        (
            "CREATE REPOSITORY q WITH LOCAL ON LOCATION 's3://x/y'",
            "WITH LOCAL needs a location that begins with file://",
        ),
        ("DROP REPOSITORY q", "Repository q does not exist"),
        ("ALTER REPOSITORY q PROPERTIES ('a' = 'b')", "Repository q does not exist"),
        ("SHOW SNAPSHOT ON q", "Repository q does not exist"),
        ("BACKUP SNAPSHOT d.l TO q", "Repository q does not exist"),
    ] {
        let (code, message) = world.refused(text).await;
        assert!(code == 1105 && message.contains(words), "{text}: {code} {message}");
    }
    world.run("BACKUP SNAPSHOT d.l TO r").await.unwrap();
    let busy = world.refused("DROP REPOSITORY r").await.1;
    assert_eq!(busy, "Backup or restore job is running on this repository. Can not drop it");
}

#[tokio::test]
async fn a_read_only_repository_takes_no_backup() {
    let mut world = World::furnished().await;
    let location = world.rows("SHOW REPOSITORIES").await.1[0][4].clone().unwrap();
    let again = format!("DROP REPOSITORY r; CREATE READ ONLY REPOSITORY r WITH BROKER ON LOCATION '{location}'");
    world.run(&again).await.unwrap();
    let (_, message) = world.refused("BACKUP SNAPSHOT d.l TO r").await;
    assert!(message.starts_with("Repository r is read only"), "{message}");
}

#[tokio::test]
async fn a_backend_is_decommissioned_when_nothing_needs_it() {
    let mut world = World::furnished().await;
    let decommission = format!("ALTER SYSTEM DECOMMISSION BACKEND {BACKEND}");
    let (code, message) = world.refused(&decommission).await;
    let words =
        format!("backend {BACKEND} cannot be decommissioned: no other backend that is alive has a complete replica");
    assert!(code == 1105 && message.starts_with(&words), "{code} {message}");
    assert!(message.contains("of 7 tablets, the first of table d."), "{message}");
    world
        .run("CREATE TABLE w (k INT) DISTRIBUTED BY HASH (k) BUCKETS 1 PROPERTIES ('replication_num' = '1')")
        .await
        .unwrap();
    world.run("BACKUP SNAPSHOT d.l TO r ON (u)").await.unwrap();
    let id = world.coordinator.jobs(None, None).last().unwrap().id;
    let mut watch = world.coordinator.watch(id).unwrap();
    watch.wait_for(|view| view.state == "SNAPSHOTING").await.unwrap();
    let busy = world.refused(&decommission).await.1;
    assert!(busy.contains(&format!("job {id} needs it")), "{busy}");
    world.run("CANCEL BACKUP FROM d").await.unwrap();
    world.ended(id).await;

    world.run("DROP TABLE t; DROP TABLE u; DROP TABLE w").await.unwrap();
    let notices = world.notices(&decommission).await;
    assert!(notices.last().unwrap().contains("is forgotten when its agent has removed its tablets"), "{notices:?}");
    for _ in 0..2000 {
        if world.rows("SHOW BACKENDS").await.1.is_empty() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    panic!("it is still there: {:?}", world.rows("SHOW BACKENDS").await);
}
