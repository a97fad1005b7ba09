use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::world::{Guard, World};
use crate::auth::Identity;
use crate::sql::{Session, parse};

const ADMIN: &str = "Access denied; you need (at least one of) the ADMIN privilege(s) for this operation";

async fn world() -> World {
    let guard = Guard { admins: BTreeSet::from(["ann"]), loaders: BTreeMap::from([("lea", "d")]) };
    let mut world = World::guarded(Arc::new(guard)).await;
    world.furnish().await;
    world.run("CREATE DATABASE hidden").await.unwrap();
    world
}

impl World {
    fn act_as(&mut self, user: &str) {
        self.session = Session::new(self.coordinator.clone(), Identity { user: user.to_owned() });
    }
}

#[tokio::test]
async fn who_is_no_administrator_is_refused_before_any_name_is_looked_up() {
    let mut world = world().await;
    for user in ["lea", "nobody"] {
        world.act_as(user);
        for statement in [
            "CREATE REPOSITORY {} WITH LOCAL ON LOCATION 'file:///x'",
            "ALTER REPOSITORY {} PROPERTIES ('a' = 'b')",
            "DROP REPOSITORY {}",
            "SHOW REPOSITORIES",
            "SHOW SNAPSHOT ON {}",
            "ALTER SYSTEM ADD BROKER {} 'h:1'",
            "ALTER SYSTEM DROP BROKER {} 'h:1'",
            "SHOW BROKER",
            "SHOW BACKENDS",
            "ALTER SYSTEM DECOMMISSION BACKEND 1",
            "ADMIN SET CONFIG ('bytes_per_second' = '1')",
            "ADMIN SET AGENT 1 CONFIG ('bytes_per_second' = '1')",
            "ADMIN SET REPOSITORY {} CONFIG ('bytes_per_second' = '1')",
            "ADMIN SHOW CONFIG",
            "BACKUP SNAPSHOT {}.l TO r",
            "RESTORE SNAPSHOT {}.l FROM r PROPERTIES ('backup_timestamp' = '2025-01-01-00-00-00')",
            "EXPLAIN BACKUP SNAPSHOT {}.l TO r",
            "EXPLAIN RESTORE SNAPSHOT {}.l FROM r PROPERTIES ('backup_timestamp' = '2025-01-01-00-00-00')",
            "CANCEL BACKUP FROM {}",
            "CANCEL RESTORE FROM {} WHERE LABEL LIKE '%'",
            "SHOW BACKUP FROM {}",
            "SHOW RESTORE FROM {}",
            "CREATE DATABASE {}",
            "DROP DATABASE {}",
            "DROP DATABASE IF EXISTS {}",
            "CREATE TABLE {}.x (k INT) DISTRIBUTED BY HASH (k)",
            "DROP TABLE {}.t",
            "ALTER TABLE {}.t DROP PARTITION p1",
            "CREATE VIEW {}.v AS SELECT 1",
            "DROP VIEW {}.v",
            "CREATE USER 'x'",
            "DROP USER 'x'",
            "GRANT ADMIN_PRIV ON *.* TO 'lea'",
            "REVOKE ADMIN_PRIV ON *.* FROM 'ann'",
            "SET PASSWORD FOR 'ann' = 'x'",
            "SHOW GRANTS FOR 'ann'",
        ] {
            for name in ["d", "r", "missing"] {
                let text = statement.replace("{}", name);
                assert_eq!(world.refused(&text).await, (1227, ADMIN.to_owned()), "{user}: {text}");
            }
        }
    }
}

#[tokio::test]
async fn tables_of_a_database_are_seen_by_who_may_load_into_it_only() {
    let mut world = world().await;
    let statements = [
        "USE {}",
        "SHOW CREATE DATABASE {}",
        "SHOW TABLES FROM {}",
        "SHOW TABLE STATUS FROM {}",
        "SHOW CREATE TABLE {}.t",
        "SHOW PARTITIONS FROM {}.t",
        "SHOW TABLETS FROM {}.t",
        "SHOW INDEX FROM {}.t",
        "DESC {}.t",
        "LOAD LABEL {}.l (DATA INFILE('file:///open/in') INTO TABLE t PARTITION (p1))",
        "EXPORT TABLE {}.t TO 'file:///open/out'",
    ];
    world.act_as("lea");
    for statement in statements {
        world.run(&statement.replace("{}", "d")).await.unwrap();
        let hidden = world.refused(&statement.replace("{}", "hidden")).await;
        assert_eq!(hidden.0, 1227, "{statement}");
        assert_eq!(hidden, world.refused(&statement.replace("{}", "missing")).await, "{statement}");
    }
    assert_eq!(world.first_column("SHOW DATABASES").await, ["d"]);
    world.act_as("nobody");
    for statement in statements {
        assert_eq!(world.refused(&statement.replace("{}", "d")).await.0, 1227, "{statement}");
    }
    assert_eq!(world.first_column("SHOW DATABASES").await, [""; 0]);
    world.act_as("ann");
    assert_eq!(world.first_column("SHOW DATABASES").await, ["d", "hidden"]);
    assert_eq!(world.first_column("SHOW DATABASES LIKE 'h_d%'").await, ["hidden"]);
}

#[tokio::test]
async fn who_may_only_load_uses_load_directories_and_keys_of_their_own() {
    let mut world = world().await;
    world.run("ALTER SYSTEM ADD BROKER b 'h:1'").await.unwrap();
    let keys = "'s3.access_key' = 'a', 's3.secret_key' = 's'";
    let load = |label: &str, from: &str| format!("LOAD LABEL d.{label} (DATA INFILE('{from}') INTO TABLE u)");
    let allowed = [
        ("file:///open/x/**", String::new()),
        ("FILE:///open/x/", " WITH LOCAL".to_owned()),
        ("s3://bucket/x", format!(" WITH S3 ({keys})")),
        ("s3://bucket/x", format!(" WITH BROKER b ({keys})")),
    ];
    let refused = [
        ("file:///data/fe", String::new(), "load_directories"),
        ("FILE:///data/fe", String::new(), "load_directories"),
        (" file:///data/fe", String::new(), "load_directories"),
        ("/data/fe", String::new(), "load_directories"),
        ("file:///open", String::new(), "load_directories"),
        ("file:///open/../data", String::new(), "load_directories"),
        ("s3://bucket/x", " WITH S3 ('s3.region' = 'r')".to_owned(), "access key"),
        ("s3://bucket/x", format!(" WITH S3 ({keys}, 's3.role_arn' = 'r')"), "access key"),
        ("s3://bucket/x", " WITH BROKER b".to_owned(), "access key"),
        ("memory://x", String::new(), "access key"),
    ];
    for (user, may) in [("lea", false), ("ann", true)] {
        world.act_as(user);
        for (number, (location, with)) in allowed.iter().enumerate() {
            let label = format!("{user}{number}");
            world.run(&format!("{}{with}", load(&label, location))).await.unwrap();
            world.run(&format!("EXPORT TABLE d.u TO '{}'{with}", location.trim_end_matches("/**"))).await.unwrap();
        }
        for (number, (location, with, right)) in refused.iter().enumerate() {
            let label = format!("{user}-{number}");
            for text in [
                format!("{}{with}", load(&format!("`{label}`"), location)),
                format!("EXPORT TABLE d.u TO '{location}'{with}"),
            ] {
                if may {
                    world.run(&text).await.unwrap();
                    continue;
                }
                let (code, message) = world.refused(&text).await;
                assert!(
                    code == 1227 && message.contains("needs ADMIN_PRIV, or ") && message.contains(right),
                    "{text}: {message}"
                );
            }
        }
        let (_, message) = world.refused(&format!("{} WITH BROKER b", load("through", "file:///open/x"))).await;
        assert!(message.ends_with("leave the broker out"), "{message}");
    }
}

#[tokio::test]
async fn a_privilege_that_is_taken_away_is_gone_at_the_next_statement() {
    let mut world = world().await;
    world.act_as("lea");
    world.run("USE d").await.unwrap();
    world.session.who.user = "nobody".to_owned();
    assert_eq!(world.refused("SHOW TABLES").await.0, 1227);
}

#[tokio::test]
async fn what_drivers_ask_needs_no_privilege() {
    let mut world = world().await;
    world.act_as("nobody");
    for text in
        ["SELECT VERSION()", "SET NAMES utf8mb4", "SHOW VARIABLES", "SHOW WARNINGS", "HELP 'BACKUP'", "ROLLBACK"]
    {
        for statement in parse(text).unwrap() {
            world.session.run(&statement).await.unwrap();
        }
    }
}
