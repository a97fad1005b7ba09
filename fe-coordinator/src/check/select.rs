//! Which tables and partitions a BACKUP is about.
//!
//! A selection names views as it names tables: all of them travel unless ON leaves them out or EXCLUDE names them.

use std::collections::BTreeMap;

use tabvault_common::failure::{Failure, Kind};
use tabvault_common::request::{ObjectSelection, Selection};

use super::{by_table, invalid};
use crate::catalog::{Cut, CutTable, TableState};

#[cfg(test)]
mod tests;

/// The selected part of a database, in the order of the cut. EXCLUDE of some of a table's partitions leaves the others
/// in; of all of them, none of the table.
///
/// # Errors
/// `NotFound` for what does not exist, `InvalidArgument` for what is named twice or with an alias and for a selection
/// of nothing, `FailedPrecondition` for a table that is being altered or restored.
pub fn select(cut: &Cut, selection: &Selection) -> Result<Cut, Failure> {
    let objects = match selection {
        Selection::All => &[][..],
        Selection::Only(objects) | Selection::Except(objects) => objects,
    };
    let named = by_table(objects)?;
    for object in named.values() {
        check_object(cut, object)?;
    }
    let tables: Vec<CutTable> = cut.tables.iter().filter_map(|table| chosen(table, selection, &named)).collect();
    let views = cut.views.iter().filter(|view| match selection {
        Selection::All => true,
        Selection::Only(_) => named.contains_key(view.name.as_str()),
        Selection::Except(_) => !named.contains_key(view.name.as_str()),
    });
    let selected = Cut { database: cut.database.clone(), views: views.cloned().collect(), tables };
    if selected.tables.is_empty() && selected.views.is_empty() {
        return Err(nothing(&cut.database, selection));
    }
    match selected.tables.iter().find(|table| table.state != TableState::Normal) {
        Some(table) => Err(not_normal(table, selection)),
        None => Ok(selected),
    }
}

/// What is left of a table; `None` if nothing is.
fn chosen(table: &CutTable, selection: &Selection, named: &BTreeMap<&str, &ObjectSelection>) -> Option<CutTable> {
    let object = named.get(table.def.name.as_str());
    let mut chosen = table.clone();
    match (selection, object) {
        (Selection::All, _) | (Selection::Except(_), None) => {}
        (Selection::Only(_), None) => return None,
        (Selection::Only(_), Some(object)) => {
            chosen.partitions.retain(|p| object.partitions.is_empty() || object.partitions.contains(&p.def.name));
        }
        (Selection::Except(_), Some(object)) => {
            chosen.partitions.retain(|p| !object.partitions.is_empty() && !object.partitions.contains(&p.def.name));
            if chosen.partitions.is_empty() {
                return None;
            }
        }
    }
    Some(chosen)
}

fn check_object(cut: &Cut, object: &ObjectSelection) -> Result<(), Failure> {
    let (name, database) = (&object.table, &cut.database);
    if let Some(alias) = &object.alias {
        return Err(invalid(format!(
            "Can not set alias for table in Backup Command: take away AS {alias} after {name}; RESTORE can rename"
        )));
    }
    let Some(table) = cut.tables.iter().find(|table| table.def.name == *name) else {
        if !cut.views.iter().any(|view| view.name == *name) {
            return Err(Failure::fatal(
                Kind::NotFound,
                format!("Unknown table '{name}' in database {database}; SHOW TABLES lists those that exist"),
            ));
        }
        if !object.partitions.is_empty() {
            return Err(invalid(format!("view {name} has no partitions: take away PARTITION after it")));
        }
        return Ok(());
    };
    match object.partitions.iter().find(|wanted| table.partitions.iter().all(|p| p.def.name != **wanted)) {
        None => Ok(()),
        Some(unknown) => Err(Failure::fatal(
            Kind::NotFound,
            format!("Unknown partition {unknown} in table {name}; SHOW PARTITIONS FROM {name} lists those that exist"),
        )),
    }
}

fn nothing(database: &str, selection: &Selection) -> Failure {
    invalid(match selection {
        Selection::All => format!("nothing to back up: database {database} has no tables"),
        Selection::Only(_) => {
            format!("nothing to back up in database {database}: name a table in ON, or leave ON out for all of them")
        }
        Selection::Except(_) => {
            format!("nothing to back up in database {database}: EXCLUDE leaves no table, so name fewer in it")
        }
    })
}

fn not_normal(table: &CutTable, selection: &Selection) -> Failure {
    let (name, state) = (&table.def.name, table.state.as_str());
    let out = match selection {
        Selection::All => format!("leave it out with EXCLUDE (`{name}`)"),
        Selection::Only(_) => "take it out of ON".to_owned(),
        Selection::Except(_) => format!("add `{name}` to EXCLUDE"),
    };
    Failure::fatal(
        Kind::FailedPrecondition,
        format!("Table {name}'s state is not NORMAL: {state}; wait until it is, or {out}"),
    )
}
