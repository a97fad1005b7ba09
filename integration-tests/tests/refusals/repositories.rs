//! Repositories, and texts that cannot be read.

use tabvault_integration_tests::sql::location;

use crate::provoked::{Provoked, Scene};

pub(crate) async fn scene() -> Provoked {
    let mut scene = Scene::new().await;
    for statement in [
        "DROP REPOSITORY rope",
        "ALTER REPOSITORY rope PROPERTIES ('s3.access_key' = 'x')",
        "SHOW SNAPSHOT ON rope",
        "BACKUP SNAPSHOT shop.more TO rope",
        "RESTORE SNAPSHOT shop.base FROM rope PROPERTIES ('backup_timestamp' = '$base')",
    ] {
        scene.refuse("Repository {} does not exist", &["rope"], statement).await;
    }
    let elsewhere =
        format!("CREATE REPOSITORY repo WITH LOCAL ON LOCATION '{}'", location(&scene.cluster, "elsewhere"));
    scene.refuse("Repository {} already exist", &["repo"], &elsewhere).await;
    let through = "CREATE REPOSITORY far WITH BROKER nobody ON LOCATION 's3://bucket/far'";
    scene.refuse("broker does not exist: {}", &["nobody"], through).await;

    let here = location(&scene.cluster, "repo");
    scene.run(&format!("DROP REPOSITORY repo; CREATE READ ONLY REPOSITORY repo WITH LOCAL ON LOCATION '{here}'")).await;
    scene.refuse("Repository {} is read only", &["repo"], "BACKUP SNAPSHOT shop.more TO repo").await;
    // Its snapshots are still there, and can be restored.
    scene.finish("RESTORE SNAPSHOT shop.base FROM repo PROPERTIES ('backup_timestamp' = '$base')").await;

    let syntax = "syntax error at line {}, column {}: found {}, expected …";
    scene.refuse(syntax, &["1", "13", "`FORM`"], "SHOW BACKUP FORM shop").await;
    scene.refuse(syntax, &["2", "5", "the end of the text"], "BACKUP SNAPSHOT shop.more\n  TO").await;
    scene.provoked()
}
