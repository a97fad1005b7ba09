//! SHOW of tables, partitions and tablets; DESC.

use futures::stream;
use tabvault_common::failure::Failure;
use tabvault_common::ids::{ReplicaId, TabletId};
use tabvault_common::view::{TableView, TabletView, cells};

use super::pattern::like_any;
use super::{table, text};
use crate::sql::answer::{Answer, Cell, Rows};
use crate::sql::error::SqlError;
use crate::sql::session::Session;
use crate::sql::statement::ObjectName;

/// Tablets that are looked up at once.
const PAGE: usize = 1000;

/// The state that SHOW TABLES gives a view.
const VIEW: &str = "VIEW";

impl Session {
    pub(super) async fn show_tables(
        &self,
        full: bool,
        database: Option<&str>,
        like: Option<&str>,
    ) -> Result<Answer, SqlError> {
        let (database, views) = self.tables_and_views(database, like).await?;
        if !full {
            return Ok(Answer::Rows(cells::tables(&views).into()));
        }
        let kind = |view: &TableView| if view.state == VIEW { VIEW } else { "BASE TABLE" };
        let rows = views.iter().map(|view| vec![text(&view.name), text(kind(view))]).collect();
        Ok(table(&[&format!("Tables_in_{database}"), "Table_type"], rows))
    }

    pub(super) async fn show_table_status(
        &self,
        database: Option<&str>,
        like: Option<&str>,
    ) -> Result<Answer, SqlError> {
        const COLUMNS: [&str; 18] = [
            "Name",
            "Engine",
            "Version",
            "Row_format",
            "Rows",
            "Avg_row_length",
            "Data_length",
            "Max_data_length",
            "Index_length",
            "Data_free",
            "Auto_increment",
            "Create_time",
            "Update_time",
            "Check_time",
            "Collation",
            "Checksum",
            "Create_options",
            "Comment",
        ];
        let (_, views) = self.tables_and_views(database, like).await?;
        let row = |view: &TableView| {
            let mut cells: Vec<Cell> = vec![None; COLUMNS.len()];
            cells[0] = text(&view.name);
            cells[17] = text(if view.state == VIEW { VIEW } else { "" });
            if view.state != VIEW {
                cells[1] = text("OLAP");
                cells[6] = text(view.data_size);
            }
            cells
        };
        Ok(table(&COLUMNS, views.iter().map(row).collect()))
    }

    /// By name, views among the tables.
    async fn tables_and_views(
        &self,
        database: Option<&str>,
        like: Option<&str>,
    ) -> Result<(String, Vec<TableView>), SqlError> {
        let cut = self.look(database).await?;
        let mut tables = match self.coordinator.catalog().show_tables(&cut.database).await {
            Ok(tables) => tables,
            Err(failure) => return Err(self.unknown(failure, &cut.database, &[]).await),
        };
        tables.extend(cut.views.into_iter().map(|view| TableView {
            name: view.name,
            state: VIEW.to_owned(),
            partitions: 0,
            tablets: 0,
            data_size: 0,
            file_count: 0,
        }));
        tables.retain(|table| like_any(like, &table.name));
        tables.sort_by(|a, b| a.name.cmp(&b.name));
        Ok((cut.database, tables))
    }

    pub(super) async fn show_partitions(&self, name: &ObjectName) -> Result<Answer, SqlError> {
        let database = self.meant(name.database.as_deref())?;
        self.may_see(database).await?;
        match self.coordinator.catalog().show_partitions(database, &name.name).await {
            Ok(partitions) => Ok(Answer::Rows(cells::partitions(&partitions).into())),
            Err(failure) => Err(self.unknown(failure, database, &[&name.name]).await),
        }
    }

    /// Looks up a page when the client has taken the one before.
    pub(super) async fn show_tablets(&self, name: &ObjectName) -> Result<Answer, SqlError> {
        let database = self.meant(name.database.as_deref())?.to_owned();
        self.may_see(&database).await?;
        let (catalog, table) = (self.coordinator.catalog().clone(), name.name.clone());
        let first = match catalog.show_tablets(&database, &table, None, None, PAGE).await {
            Ok(first) => first,
            Err(failure) => return Err(self.unknown(failure, &database, &[&table]).await),
        };
        let after = next(&first);
        let later = stream::unfold(after, move |after| {
            let (catalog, database, table) = (catalog.clone(), database.clone(), table.clone());
            async move {
                let after = Some(after?);
                Some(match catalog.show_tablets(&database, &table, None, after, PAGE).await {
                    Ok(page) => (Ok(cells::tablets(&page).rows), next(&page)),
                    Err(failure) => (Err::<Vec<Vec<Cell>>, Failure>(failure), None),
                })
            }
        });
        let first = cells::tablets(&first);
        let columns = Rows::from(cells::tablets(&[])).columns;
        let pages = futures::StreamExt::chain(stream::iter([Ok(first.rows)]), later);
        Ok(Answer::Rows(Rows { columns, pages: Box::pin(pages) }))
    }

    /// DESC in Doris' words: Key is `true` for key columns, Extra the aggregation of the others.
    pub(super) async fn show_columns(
        &self,
        full: bool,
        name: &ObjectName,
        like: Option<&str>,
    ) -> Result<Answer, SqlError> {
        let cut = self.look(name.database.as_deref()).await?;
        let found = cut.tables.iter().find(|table| table.def.name == name.name);
        let Some(found) = found else {
            if cut.views.iter().any(|view| view.name == name.name) {
                // The columns of a query that is only kept are nobody's to know.
                return Ok(columns(full, Vec::new()));
            }
            return Err(SqlError::unknown_table(&name.name));
        };
        let def = &found.def;
        let row = |column: &tabvault_common::schema::Column| {
            let key = def.keys.iter().any(|key| key.eq_ignore_ascii_case(&column.name));
            let extra = match &column.aggregation {
                Some(aggregation) => aggregation.as_str(),
                None if key => "",
                None => "NONE",
            };
            let (name, kind) = (text(&column.name), text(&column.data_type));
            let (null, key) = (text(if column.nullable { "Yes" } else { "No" }), text(key));
            let (default, extra) = (column.default.clone(), text(extra));
            if full {
                return vec![name, kind, None, null, key, default, extra, text(""), text(&column.comment)];
            }
            vec![name, kind, null, key, default, extra]
        };
        let wanted = def.columns.iter().filter(|column| like_any(like, &column.name));
        Ok(columns(full, wanted.map(row).collect()))
    }

    /// There are none besides rollups, which are no indexes in MySQL's meaning.
    pub(super) async fn show_indexes(&self, name: &ObjectName) -> Result<Answer, SqlError> {
        self.table(name).await?;
        let columns = [
            "Table",
            "Non_unique",
            "Key_name",
            "Seq_in_index",
            "Column_name",
            "Collation",
            "Cardinality",
            "Sub_part",
            "Packed",
            "Null",
            "Index_type",
            "Comment",
        ];
        Ok(table(&columns, Vec::new()))
    }
}

fn columns(full: bool, rows: Vec<Vec<Cell>>) -> Answer {
    if full {
        let names = ["Field", "Type", "Collation", "Null", "Key", "Default", "Extra", "Privileges", "Comment"];
        return table(&names, rows);
    }
    table(&["Field", "Type", "Null", "Key", "Default", "Extra"], rows)
}

/// After which replica the next page begins; `None` after the last page.
fn next(page: &[TabletView]) -> Option<(TabletId, ReplicaId)> {
    page.last().filter(|_| page.len() == PAGE).map(|last| (last.tablet, last.replica))
}
