//! CREATE VIEW and DROP VIEW.

use tabvault_common::failure::Kind;
use tabvault_common::ids::{Epoch, JobUuid};
use tabvault_common::schema::ViewDef;
use tabvault_fe_coordinator::catalog::conformance::{partition, table};
use tabvault_fe_coordinator::catalog::{Catalog, PrepareRequest};

use super::common::Home;

fn view(name: &str, text: &str) -> ViewDef {
    ViewDef { name: name.to_owned(), text: text.to_owned() }
}

async fn names(home: &Home) -> Vec<String> {
    home.catalog.cut("d").await.unwrap().views.into_iter().map(|view| view.name).collect()
}

#[tokio::test]
async fn views_are_kept_as_text_and_come_in_an_order_in_which_they_can_be_made() {
    let home = Home::with_database().await;
    let text = "SELECT /* 'as it is' */ * FROM base";
    assert!(home.catalog.create_view("d", &view("top", text), false).await.unwrap());
    assert!(home.catalog.create_view("d", &view("base", "SELECT 1"), false).await.unwrap());
    let home = home.reopen();
    assert_eq!(home.catalog.cut("d").await.unwrap().views, [view("base", "SELECT 1"), view("top", text)]);
    home.catalog.drop_view("d", "base").await.unwrap();
    assert_eq!(names(&home.reopen()).await, ["top"]);
}

#[tokio::test]
async fn a_database_has_one_thing_of_a_name() {
    let home = Home::with_database().await;
    let catalog = &home.catalog;
    home.create(table("t"), &[partition("p", 0, 10)]).await.unwrap();
    catalog.create_view("d", &view("v", "SELECT 1"), false).await.unwrap();
    let refused = async |name: &str, text: &str| catalog.create_view("d", &view(name, text), false).await.unwrap_err();
    assert_eq!(refused("v", "SELECT 2").await.message, "View v already exist");
    assert!(!catalog.create_view("d", &view("v", "SELECT 2"), true).await.unwrap(), "it stays as it was");
    assert_eq!(catalog.cut("d").await.unwrap().views, [view("v", "SELECT 1")]);
    assert_eq!(refused("t", "SELECT 1").await.message, "View t already exist as a table");
    assert_eq!(home.create(table("v"), &[]).await.unwrap_err().message, "Table v already exist as a view");
    assert_eq!(refused("a/b", "SELECT 1").await.kind, Kind::InvalidArgument);
    assert_eq!(refused("empty", " ").await.kind, Kind::InvalidArgument);
    let long = refused("long", &"x".repeat(1 << 20)).await;
    assert_eq!(long.kind, Kind::ResourceExhausted, "{long}");
    let unknown = catalog.create_view("e", &view("v", "SELECT 1"), true).await.unwrap_err();
    assert_eq!(unknown.message, "Unknown database 'e'");
    assert_eq!(catalog.drop_view("d", "w").await.unwrap_err().message, "Unknown table 'w'");
    let table = catalog.drop_view("d", "t").await.unwrap_err();
    assert_eq!(table.message, "Unknown table 't': it is a table, which DROP TABLE drops");
}

#[tokio::test]
async fn nobody_makes_a_table_or_a_view_of_the_name_of_a_view_that_a_restore_is_bringing() {
    let home = Home::with_database().await;
    let request = PrepareRequest {
        database: "d".to_owned(),
        tables: Vec::new(),
        views: vec![view("v", "SELECT 1")],
        drop_tables: Vec::new(),
        allow_load: false,
        backends: Vec::new(),
    };
    let job = JobUuid::random();
    home.catalog.prepare(job, Epoch(1), &request).await.unwrap();
    let refused = home.create(table("v"), &[]).await.unwrap_err();
    assert_eq!(refused.kind, Kind::AlreadyExists, "{refused}");
    for if_not_exists in [false, true] {
        let refused = home.catalog.create_view("d", &view("v", "SELECT 2"), if_not_exists).await.unwrap_err();
        let words = format!("View v already exist: restore {job} is bringing a view of that name");
        assert_eq!((refused.kind, refused.message), (Kind::AlreadyExists, words));
    }
    home.catalog.publish(job, Epoch(1)).await.unwrap();
    assert_eq!(home.catalog.cut("d").await.unwrap().views, [view("v", "SELECT 1")]);
}
