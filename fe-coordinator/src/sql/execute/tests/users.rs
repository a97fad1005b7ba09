use std::sync::Arc;

use tabvault_common::clock::ManualClock;
use tabvault_common::secret::Secret;

use super::world::{NOW, World};
use crate::auth::users::Users;
use crate::auth::{Authorizer, Identity, Proof};
use crate::sql::Session;
use crate::store::MemoryStore;

async fn world() -> (World, Arc<Users>) {
    let store = Arc::new(MemoryStore::new());
    let clock = Arc::new(ManualClock::new(NOW));
    let users = Arc::new(Users::new(store.clone(), clock, Secret::new("token")).unwrap());
    let mut world = World::of(store, users.clone(), Some(users.clone())).await;
    let dir = tempfile::tempdir().unwrap();
    users.found_root(&dir.path().join("root.password"), Some(&Secret::new("the password of root"))).await.unwrap();
    act_as(&mut world, "root");
    (world, users)
}

fn act_as(world: &mut World, user: &str) {
    world.session = Session::new(world.coordinator.clone(), Identity { user: user.to_owned() });
}

async fn logs_in(users: &Users, user: &str, password: &str) -> bool {
    users.authenticate(user, &Proof::Password(Secret::new(password))).await.is_ok()
}

#[tokio::test]
async fn users_come_get_privileges_and_go() {
    let (mut world, users) = world().await;
    world.run("CREATE DATABASE shop; CREATE USER 'ann'@'%' IDENTIFIED BY 'a long password'").await.unwrap();
    assert!(logs_in(&users, "ann", "a long password").await);
    assert_eq!(
        world.notices("CREATE USER IF NOT EXISTS ann IDENTIFIED BY 'another password'").await,
        ["User 'ann' already exist"]
    );
    act_as(&mut world, "ann");
    assert_eq!(world.first_column("SHOW GRANTS").await, [""; 0]);
    assert_eq!(world.refused("USE shop").await.0, 1227);
    act_as(&mut world, "root");
    world.run("GRANT LOAD_PRIV ON shop.* TO 'ann'").await.unwrap();
    let (columns, rows) = world.rows("SHOW GRANTS FOR 'ann'").await;
    assert_eq!(columns, ["Grants for ann@%"]);
    assert_eq!(rows[0][0].as_deref(), Some("GRANT LOAD_PRIV ON `shop`.* TO 'ann'"));
    act_as(&mut world, "ann");
    world.run("USE shop").await.unwrap();
    assert_eq!(world.refused("SHOW REPOSITORIES").await.0, 1227);
    act_as(&mut world, "root");
    world.run("REVOKE LOAD_PRIV ON shop.* FROM 'ann'; DROP USER 'ann'").await.unwrap();
    assert!(!logs_in(&users, "ann", "a long password").await);
    assert_eq!(world.notices("DROP USER IF EXISTS ann").await, ["User 'ann' does not exist"]);
}

#[tokio::test]
async fn everybody_may_change_the_own_password_and_only_that() {
    let (mut world, users) = world().await;
    world
        .run("CREATE USER ann IDENTIFIED BY 'a long password'; CREATE USER bob IDENTIFIED BY 'bob his password'")
        .await
        .unwrap();
    act_as(&mut world, "ann");
    for (n, statement) in
        ["SET PASSWORD = '{}'", "SET PASSWORD FOR 'ann' = '{}'", "ALTER USER 'ann'@'%' IDENTIFIED BY '{}'"]
            .iter()
            .enumerate()
    {
        let password = format!("a new password {n}");
        world.run(&statement.replace("{}", &password)).await.unwrap();
        assert!(logs_in(&users, "ann", &password).await, "{statement}");
    }
    for statement in ["SET PASSWORD FOR 'bob' = 'a new password'", "ALTER USER bob IDENTIFIED BY 'a new password'"] {
        assert_eq!(world.refused(statement).await.0, 1227, "{statement}");
    }
    let (_, message) = world.refused("SET PASSWORD FOR 'ann'@'here' = 'a new password'").await;
    assert!(message.starts_with("Access denied"), "{message}");
    act_as(&mut world, "root");
    let (_, message) = world.refused("DROP USER 'ann'@'here'").await;
    assert!(message.starts_with("User 'ann'@'here': a user may come from everywhere"), "{message}");
}
