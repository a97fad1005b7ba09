//! HELP: a page for each statement, kept as texts beside this file.
//!
//! A page begins with `# NAME`; what follows up to `## Examples` is its description, and the SQL behind that its examples.

use super::answer::{Answer, CellKind, Column, Rows};

#[cfg(test)]
mod tests;

/// In the order of their names.
const PAGES: &[&str] = &[
    include_str!("help/admin_set_config.md"),
    include_str!("help/admin_show_config.md"),
    include_str!("help/alter_repository.md"),
    include_str!("help/alter_system_add_broker.md"),
    include_str!("help/alter_system_decommission_backend.md"),
    include_str!("help/alter_system_drop_broker.md"),
    include_str!("help/alter_table.md"),
    include_str!("help/alter_user.md"),
    include_str!("help/backup.md"),
    include_str!("help/begin.md"),
    include_str!("help/cancel_backup.md"),
    include_str!("help/cancel_restore.md"),
    include_str!("help/create_database.md"),
    include_str!("help/create_repository.md"),
    include_str!("help/create_table.md"),
    include_str!("help/create_user.md"),
    include_str!("help/create_view.md"),
    include_str!("help/desc.md"),
    include_str!("help/drop_database.md"),
    include_str!("help/drop_repository.md"),
    include_str!("help/drop_table.md"),
    include_str!("help/drop_user.md"),
    include_str!("help/drop_view.md"),
    include_str!("help/explain.md"),
    include_str!("help/export.md"),
    include_str!("help/grant.md"),
    include_str!("help/help.md"),
    include_str!("help/kill.md"),
    include_str!("help/load.md"),
    include_str!("help/restore.md"),
    include_str!("help/revoke.md"),
    include_str!("help/select.md"),
    include_str!("help/set.md"),
    include_str!("help/set_password.md"),
    include_str!("help/show_backends.md"),
    include_str!("help/show_backup.md"),
    include_str!("help/show_broker.md"),
    include_str!("help/show_collation.md"),
    include_str!("help/show_create_database.md"),
    include_str!("help/show_create_table.md"),
    include_str!("help/show_create_view.md"),
    include_str!("help/show_databases.md"),
    include_str!("help/show_engines.md"),
    include_str!("help/show_grants.md"),
    include_str!("help/show_index.md"),
    include_str!("help/show_partitions.md"),
    include_str!("help/show_processlist.md"),
    include_str!("help/show_repositories.md"),
    include_str!("help/show_restore.md"),
    include_str!("help/show_snapshot.md"),
    include_str!("help/show_status.md"),
    include_str!("help/show_table_status.md"),
    include_str!("help/show_tables.md"),
    include_str!("help/show_tablets.md"),
    include_str!("help/show_variables.md"),
    include_str!("help/show_warnings.md"),
    include_str!("help/use.md"),
];

/// A statement's page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Page {
    name: &'static str,
    description: &'static str,
    example: &'static str,
}

impl Page {
    fn read(text: &'static str) -> Self {
        let (title, rest) = text.split_once('\n').unwrap_or((text, ""));
        let (description, examples) = rest.split_once("\n## Examples\n").unwrap_or((rest, ""));
        let sql = examples.trim().strip_prefix("```sql").and_then(|sql| sql.strip_suffix("```"));
        Self {
            name: title.trim_start_matches('#').trim(),
            description: description.trim(),
            example: sql.unwrap_or(examples).trim(),
        }
    }
}

fn pages() -> impl Iterator<Item = Page> {
    PAGES.iter().map(|text| Page::read(text))
}

/// What HELP answers, in the shapes that MySQL's shell knows: one row with `name`, `description` and `example` for a
/// topic; rows with `name` and `is_it_category` where several topics or none fit; three columns for the contents.
pub(super) fn help(topic: &str) -> Answer {
    let topic = topic.trim().trim_end_matches(';').trim().to_uppercase();
    if topic.is_empty() || topic == "CONTENTS" {
        let row = |page: Page| vec![Some("Contents".to_owned()), Some(page.name.to_owned()), Some("N".to_owned())];
        return rows(&["source_category_name", "name", "is_it_category"], pages().map(row).collect());
    }
    if let Some(page) = pages().find(|page| page.name == topic) {
        return one(page);
    }
    // `HELP 'CREATE'` is about all that begin so; whoever types the end of a statement means that.
    let mut fits: Vec<Page> = pages().filter(|page| page.name.starts_with(&topic)).collect();
    if fits.is_empty() {
        fits = pages().filter(|page| page.name.contains(&topic) || topic.starts_with(page.name)).collect();
    }
    match fits[..] {
        [page] => one(page),
        [] => list(pages().collect()),
        _ => list(fits),
    }
}

fn one(page: Page) -> Answer {
    // MySQL's shell writes its next heading right behind the description.
    let description = format!("{}\n\n", page.description);
    let row = [page.name, &description, page.example].map(|cell| Some(cell.to_owned()));
    rows(&["name", "description", "example"], vec![row.to_vec()])
}

fn list(pages: Vec<Page>) -> Answer {
    let row = |page: &Page| vec![Some(page.name.to_owned()), Some("N".to_owned())];
    rows(&["name", "is_it_category"], pages.iter().map(row).collect())
}

fn rows(columns: &[&str], rows: Vec<Vec<Option<String>>>) -> Answer {
    let column = |name: &&str| Column { name: (*name).to_owned(), kind: CellKind::Text };
    let columns = columns.iter().map(column).collect();
    Answer::Rows(Rows { columns, pages: Box::pin(futures::stream::iter([Ok(rows)])) })
}
