use super::world::World;
use crate::sql::answer::Answer;

fn affected(answer: Answer) -> u64 {
    match answer {
        Answer::Done { affected, .. } => affected,
        Answer::Rows(_) => panic!("rows"),
    }
}

#[tokio::test]
async fn loads_and_exports_answer_with_the_number_of_files() {
    let mut world = World::furnished().await;
    let load = "LOAD LABEL d.monday (DATA INFILE('file:///in/**') INTO TABLE t PARTITION (p1))";
    // Three files in each of two buckets.
    assert_eq!(affected(world.run(load).await.unwrap()), 6);
    let (_, rows) = world.rows("SHOW PARTITIONS FROM t").await;
    assert_eq!(rows[0][12].as_deref(), Some("6"));
    assert_eq!(affected(world.run("EXPORT TABLE t PARTITION (p1) TO 'file:///out'").await.unwrap()), 5);
}

#[tokio::test]
async fn a_label_is_used_by_one_load_of_a_database() {
    let mut world = World::furnished().await;
    let load = "LOAD LABEL monday (DATA INFILE('file:///in') INTO TABLE u)";
    world.run(load).await.unwrap();
    let (_, message) = world.refused(load).await;
    assert!(message.starts_with("Label [monday] has already been used"), "{message}");
    let (_, message) = world.refused("LOAD LABEL monday (DATA INFILE('file:///in') INTO TABLE t PARTITION (p1))").await;
    assert!(message.starts_with("Label [monday] has already been used"), "{message}");
    world.run("LOAD LABEL tuesday (DATA INFILE('file:///in') INTO TABLE u)").await.unwrap();
    // Another database has labels of its own, and so has one that takes its place.
    let other = "CREATE DATABASE e;
        CREATE TABLE e.u (k INT) DISTRIBUTED BY HASH (k) BUCKETS 1 PROPERTIES ('replication_num' = '1');
        LOAD LABEL e.monday (DATA INFILE('file:///in') INTO TABLE u)";
    world.run(other).await.unwrap();
    world.run("DROP DATABASE e").await.unwrap();
    world.run(other).await.unwrap();
}

#[tokio::test]
async fn a_label_of_a_load_that_failed_can_be_used_again() {
    let mut world = World::furnished().await;
    let (_, message) = world.refused("LOAD LABEL l (DATA INFILE('file:///in') INTO TABLE t PARTITION (x))").await;
    assert!(message.starts_with("Unknown partition x in table t"), "{message}");
    world.run("LOAD LABEL l (DATA INFILE('file:///in') INTO TABLE t PARTITION (p1))").await.unwrap();
}

#[tokio::test]
async fn what_a_load_cannot_be_is_refused() {
    let mut world = World::furnished().await;
    for (text, words) in [
        (
            "LOAD LABEL `a b` (DATA INFILE('file:///in') INTO TABLE u)",
            "Label format error. regex: ^[-_A-Za-z0-9:]{1,128}$",
        ),
        (
            "LOAD LABEL l (DATA INFILE('file:///in') INTO TABLE u) PROPERTIES ('timeout' = '9')",
            "Unknown load job properties: [timeout]",
        ),
        ("EXPORT TABLE u TO 'file:///out' PROPERTIES ('format' = 'x')", "Unknown export job properties: [format]"),
    ] {
        let (_, message) = world.refused(text).await;
        assert!(message.starts_with(words), "{text}: {message}");
    }
}
