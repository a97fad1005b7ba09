//! Views: kept as text that nothing here reads, but for the names of other views in it.
//!
//! # Consistency
//! A database has one thing of a name: tables, views, and what a restore that is not decided is going to make.

use std::collections::{BTreeMap, BTreeSet};

use tabvault_common::failure::{Failure, Kind};
use tabvault_common::schema::ViewDef;

use super::model::{Database, Table};
use super::records::Records;
use super::{LocalCatalog, Result, find, keys, validate};

impl LocalCatalog {
    /// CREATE VIEW. Its text is kept as it is and not understood: whether its tables exist is not asked. Answers with
    /// whether it was made.
    ///
    /// # Errors
    /// `NotFound` for the database; `AlreadyExists` for a table of the name, for a view that a restore is
    /// bringing, and unless `if_not_exists` for a view; `InvalidArgument` for a name that cannot be one or a view
    /// without text; `ResourceExhausted` for a text that is too long.
    pub async fn create_view(&self, database: &str, view: &ViewDef, if_not_exists: bool) -> Result<bool> {
        let (database, view) = (database.to_owned(), view.clone());
        self.change(move |records| create(records, &database, &view, if_not_exists)).await
    }

    /// DROP VIEW.
    ///
    /// # Errors
    /// `NotFound` "Unknown table 'v'", also for the name of a table.
    pub async fn drop_view(&self, database: &str, name: &str) -> Result<()> {
        let (database, name) = (database.to_owned(), name.to_owned());
        self.change(move |records| remove(records, &database, &name)).await
    }
}

fn create(records: &mut Records, database: &str, view: &ViewDef, if_not_exists: bool) -> Result<bool> {
    let database = find::database(records, database)?;
    let name = &view.name;
    if records.get::<Table>(&keys::table(database.id, name))?.is_some() {
        return Err(Failure::fatal(Kind::AlreadyExists, format!("View {name} already exist as a table")));
    }
    if list(records, &database)?.iter().any(|other| other.name == *name) {
        if if_not_exists {
            return Ok(false);
        }
        return Err(Failure::fatal(Kind::AlreadyExists, format!("View {name} already exist")));
    }
    refuse_brought(records, &database, name, "View")?;
    validate::name("view", name)?;
    if view.text.trim().is_empty() {
        let message = format!("View {name} has no text: CREATE VIEW {name} AS SELECT … is right");
        return Err(Failure::fatal(Kind::InvalidArgument, message));
    }
    let number = records.new_id()?;
    records.put(keys::view(database.id, number), view)?;
    Ok(true)
}

fn remove(records: &mut Records, database: &str, name: &str) -> Result<()> {
    let database = find::database(records, database)?;
    let listed = records.list::<ViewDef>(&keys::views(database.id))?;
    let Some((number, _)) = listed.iter().find(|(_, view)| view.name == name) else {
        let table = records.get::<Table>(&keys::table(database.id, name))?.is_some();
        let hint = if table { ": it is a table, which DROP TABLE drops" } else { "" };
        return Err(Failure::fatal(Kind::NotFound, format!("Unknown table '{name}'{hint}")));
    };
    records.delete(format!("{}{number}", keys::views(database.id)));
    Ok(())
}

/// Refuses a table's name that a view has, or that a restore is going to make a view of.
pub(super) fn refuse_taken(records: &Records, database: &Database, table: &str) -> Result<()> {
    if list(records, database)?.iter().any(|view| view.name == table) {
        return Err(Failure::fatal(Kind::AlreadyExists, format!("Table {table} already exist as a view")));
    }
    refuse_brought(records, database, table, "Table")
}

/// Refuses a name, of a "Table" or a "View", of which a restore is going to make a view.
pub(super) fn refuse_brought(records: &Records, database: &Database, name: &str, what: &str) -> Result<()> {
    for job in &database.restores {
        let brought = records.list::<ViewDef>(&keys::prepared_views(*job))?;
        if brought.iter().any(|(_, view)| view.name == name) {
            let message = format!("{what} {name} already exist: restore {job} is bringing a view of that name");
            return Err(Failure::fatal(Kind::AlreadyExists, message));
        }
    }
    Ok(())
}

/// The views of a database, in the order in which they came.
fn list(records: &Records, database: &Database) -> Result<Vec<ViewDef>> {
    Ok(records.list::<ViewDef>(&keys::views(database.id))?.into_iter().map(|(_, view)| view).collect())
}

/// The views of a database in an order in which they can be made: each after those that its text names.
pub(super) fn in_order(records: &Records, database: &Database) -> Result<Vec<ViewDef>> {
    Ok(sorted(list(records, database)?))
}

fn sorted(views: Vec<ViewDef>) -> Vec<ViewDef> {
    let by_name: BTreeMap<&str, usize> = views.iter().enumerate().map(|(at, view)| (view.name.as_str(), at)).collect();
    let needs: Vec<BTreeSet<usize>> = views
        .iter()
        .enumerate()
        .map(|(at, view)| {
            words(&view.text).filter_map(|word| by_name.get(word).copied()).filter(|n| *n != at).collect()
        })
        .collect();
    let mut order = Vec::with_capacity(views.len());
    let mut placed = vec![false; views.len()];
    while order.len() < views.len() {
        let ready = |at: &usize| !placed[*at] && needs[*at].iter().all(|need| placed[*need]);
        let next: Vec<usize> = (0..views.len()).filter(ready).collect();
        // A word need not mean a view: where words go in a circle, age decides.
        let next = if next.is_empty() { placed.iter().position(|done| !done).into_iter().collect() } else { next };
        for at in next {
            placed[at] = true;
            order.push(at);
        }
    }
    let mut views: Vec<Option<ViewDef>> = views.into_iter().map(Some).collect();
    order.into_iter().filter_map(|at| views[at].take()).collect()
}

/// What may be names in a text; those with `-` in them whole and in parts.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let in_name = |c: char| c.is_alphanumeric() || c == '_';
    let whole = text.split(move |c: char| !in_name(c) && c != '-');
    whole.chain(text.split(move |c: char| !in_name(c))).filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(views: &[(&str, &str)]) -> Vec<String> {
        let def = |(name, text): &(&str, &str)| ViewDef { name: (*name).to_owned(), text: (*text).to_owned() };
        sorted(views.iter().map(def).collect()).into_iter().map(|view| view.name).collect()
    }

    #[test]
    fn a_view_comes_after_those_that_its_text_names() {
        let views = [
            ("top", "SELECT * FROM `mid-1` JOIN base_2 ON a=b"),
            ("mid-1", "SELECT x-1 FROM shop.base_2"),
            ("base_2", "SELECT 1"),
            ("alone", "SELECT base_22 FROM t"),
        ];
        assert_eq!(order(&views), ["base_2", "alone", "mid-1", "top"]);
    }

    #[test]
    fn words_that_go_in_a_circle_lose_no_view() {
        let views = [("a", "SELECT b FROM t"), ("b", "SELECT a FROM t"), ("c", "SELECT * FROM a")];
        assert_eq!(order(&views), ["a", "b", "c"]);
    }
}
