//! Who is let in, and who may.

use std::sync::Arc;

use tabvault_broker::open::Options;
use tabvault_broker::remote::Connection;
use tabvault_common::clock::SystemClock;
use tabvault_common::secret::Secret;
use tabvault_fe_coordinator::auth::users::Users;
use tabvault_fe_coordinator::auth::{Authorizer, Proof};
use tabvault_fe_coordinator::catalog::local::LocalCatalog;
use tabvault_fe_coordinator::coordinator::{Config, Coordinator, Parts};
use tabvault_fe_coordinator::sql::SqlError;
use tabvault_fe_coordinator::store::{SharedDb, SledStore};
use tabvault_integration_tests::sql::Client;

use crate::provoked::Provoked;

pub(crate) async fn scene() -> Provoked {
    let dir = tempfile::tempdir().expect("make a directory");
    let clock = Arc::new(SystemClock);
    let db = SharedDb::open(&dir.path().join("fe")).expect("open the metadata");
    let store = Arc::new(SledStore::open(&db).expect("open the job store"));
    let local = Arc::new(LocalCatalog::open(&db, clock.clone()).expect("open the catalog"));
    let users = Arc::new(Users::new(store.clone(), clock.clone(), Secret::new("of the agents")).expect("open users"));
    let parts = Parts {
        store,
        catalog: local.clone(),
        local: Some(local),
        brokers: Connection::default(),
        opener: Arc::new(Options::default()),
        clock,
        authorizer: users.clone(),
        users: Some(users.clone()),
    };
    let coordinator = Coordinator::start(Config::default(), parts).await.expect("start the coordinator");
    users.found_root(&dir.path().join("root.password"), None).await.expect("make root");
    let mut root = Client::new(&coordinator, "root");
    root.run("CREATE DATABASE shop; CREATE USER lea IDENTIFIED BY 'a long password'").await;
    root.run("GRANT LOAD_PRIV ON shop.* TO lea").await;

    let mut provoked = Provoked::default();
    for user in ["lea", "nobody"] {
        let wrong = users.authenticate(user, &Proof::Password(Secret::new("wrong"))).await;
        let error = SqlError::from(wrong.expect_err("the password is wrong"));
        provoked.meet("Access denied for user '{}'", &[user], &error, "a login");
    }
    let mut lea = Client::new(&coordinator, "lea");
    lea.run("USE shop").await;
    let words = "Access denied; you need (at least one of) the ADMIN privilege(s) for this operation";
    for statement in [
        "BACKUP SNAPSHOT shop.more TO repo",
        "RESTORE SNAPSHOT shop.base FROM repo PROPERTIES ('backup_timestamp' = '2025-01-01-00-00-00')",
        "EXPLAIN BACKUP SNAPSHOT shop.more TO repo",
        "SHOW BACKUP",
        "SHOW RESTORE",
        "CANCEL BACKUP",
        "CANCEL RESTORE",
        "CREATE REPOSITORY r WITH LOCAL ON LOCATION 'file:///r'",
        "DROP REPOSITORY repo",
        "SHOW SNAPSHOT ON repo",
        "GRANT ADMIN_PRIV ON *.* TO lea",
    ] {
        let error = lea.ask(statement).await.expect_err("lea may load into shop and no more");
        provoked.meet(words, &[], &error, statement);
    }
    coordinator.shutdown();
    provoked
}
