//! What of a snapshot is restored, and under which names.

use std::collections::{BTreeMap, BTreeSet};

use tabvault_common::failure::{Failure, Kind};
use tabvault_common::request::{ObjectSelection, Selection};
use tabvault_common::schema::{Partitioning, ViewDef};
use tabvault_common::view::ObjectView;

use super::{SnapshotTable, SnapshotTables};
use crate::check::{by_table, invalid};

/// The selected part of a snapshot, in its order.
pub(super) struct Chosen<'a> {
    pub(super) tables: Vec<ChosenTable<'a>>,
    pub(super) views: Vec<ViewDef>,
    /// What EXCLUDE names, wholly or in part: not to be dropped by `clean_tables`.
    pub(super) spared: BTreeSet<&'a str>,
    pub(super) objects: Vec<ObjectView>,
}

pub(super) struct ChosenTable<'a> {
    /// Position in the snapshot.
    pub(super) position: usize,
    pub(super) table: &'a SnapshotTable,
    /// The name it gets here.
    pub(super) name: String,
    /// Positions of the chosen partitions.
    pub(super) partitions: Vec<usize>,
    /// Whether the request names partitions of it, in ON or in EXCLUDE.
    pub(super) in_part: bool,
    /// Partitions that EXCLUDE names: not to be dropped by `clean_partitions`.
    pub(super) spared: &'a [String],
}

pub(super) fn choose<'a>(snapshot: &'a SnapshotTables, selection: &'a Selection) -> Result<Chosen<'a>, Failure> {
    let (objects, exclude) = match selection {
        Selection::All => (&[][..], true),
        Selection::Only(objects) => (&objects[..], false),
        Selection::Except(objects) => (&objects[..], true),
    };
    let named = by_table(objects)?;
    for object in named.values() {
        check_object(snapshot, object, exclude)?;
    }
    let mut chosen = Chosen { tables: Vec::new(), views: Vec::new(), spared: BTreeSet::new(), objects: Vec::new() };
    if exclude {
        chosen.spared.extend(named.keys());
    }
    for (position, table) in snapshot.tables.iter().enumerate() {
        let object = named.get(table.def.name.as_str()).copied();
        if let Some(table) = choose_table(position, table, object, exclude) {
            chosen.objects.push(table.view());
            chosen.tables.push(table);
        }
    }
    let views = snapshot.views.iter().filter(|view| named.contains_key(view.name.as_str()) != exclude);
    chosen.views.extend(views.cloned());
    if chosen.tables.is_empty() && chosen.views.is_empty() {
        let label = &snapshot.label;
        return Err(invalid(format!("nothing to restore of snapshot {label}: choose at least one of its tables")));
    }
    check_names(&chosen.tables)?;
    Ok(chosen)
}

fn choose_table<'a>(
    position: usize,
    table: &'a SnapshotTable,
    object: Option<&'a ObjectSelection>,
    exclude: bool,
) -> Option<ChosenTable<'a>> {
    let listed: &[String] = object.map_or(&[], |object| &object.partitions);
    let whole = match object {
        Some(_) if exclude && listed.is_empty() => return None,
        None if !exclude => return None,
        _ => listed.is_empty(),
    };
    let name = object.and_then(|object| object.alias.as_ref()).unwrap_or(&table.def.name).clone();
    let wanted = |partition: &str| whole || listed.iter().any(|name| name == partition) != exclude;
    let partitions = table.partitions.iter().enumerate().filter(|(_, p)| wanted(&p.def.name)).map(|(at, _)| at);
    let partitions: Vec<usize> = partitions.collect();
    if !whole && partitions.is_empty() {
        return None;
    }
    let spared = if exclude { listed } else { &[] };
    Some(ChosenTable { position, table, name, partitions, in_part: !whole, spared })
}

impl ChosenTable<'_> {
    fn view(&self) -> ObjectView {
        let table = self.table.def.name.clone();
        let name = |at: &usize| self.table.partitions[*at].def.name.clone();
        ObjectView {
            alias: (self.name != table).then(|| self.name.clone()),
            partitions: if self.in_part { self.partitions.iter().map(name).collect() } else { Vec::new() },
            table,
        }
    }

    /// Whether it is cut into partitions that have names of their own.
    pub(super) fn partitioned(&self) -> bool {
        self.table.def.partitioning != Partitioning::None
    }
}

fn check_object(snapshot: &SnapshotTables, object: &ObjectSelection, exclude: bool) -> Result<(), Failure> {
    let (name, label) = (&object.table, &snapshot.label);
    if let (true, Some(alias)) = (exclude, &object.alias) {
        return Err(invalid(format!("what EXCLUDE names is not restored: take away AS {alias} after {name}")));
    }
    let Some(table) = snapshot.tables.iter().find(|table| table.def.name == *name) else {
        return check_view(snapshot, object);
    };
    let exists = |wanted: &String| table.partitions.iter().any(|p| p.def.name == *wanted);
    match object.partitions.iter().find(|wanted| !exists(wanted)) {
        None => Ok(()),
        Some(unknown) => Err(Failure::fatal(
            Kind::NotFound,
            format!(
                "Partition {unknown} of table {name} does not exist in snapshot {label}; SHOW SNAPSHOT with SNAPSHOT \
                 and TIMESTAMP lists those that do"
            ),
        )),
    }
}

fn check_view(snapshot: &SnapshotTables, object: &ObjectSelection) -> Result<(), Failure> {
    let (name, label) = (&object.table, &snapshot.label);
    if !snapshot.views.iter().any(|view| view.name == *name) {
        return Err(Failure::fatal(
            Kind::NotFound,
            format!(
                "Table {name} does not exist in snapshot {label}; SHOW SNAPSHOT with SNAPSHOT and TIMESTAMP lists \
                 those that do"
            ),
        ));
    }
    if !object.partitions.is_empty() {
        return Err(invalid(format!("view {name} has no partitions: take away PARTITION after it")));
    }
    match &object.alias {
        None => Ok(()),
        Some(alias) => Err(invalid(format!(
            "view {name} can be restored under its own name only, since its text may name it: take away AS {alias}"
        ))),
    }
}

/// No two tables may get one name.
fn check_names(tables: &[ChosenTable<'_>]) -> Result<(), Failure> {
    let mut owners: BTreeMap<&str, &str> = BTreeMap::new();
    for table in tables {
        let (name, own) = (table.name.as_str(), table.table.def.name.as_str());
        // The base index is named as the table.
        if table.table.def.indexes.iter().skip(1).any(|rollup| rollup.name == name) {
            return Err(invalid(format!(
                "Duplicated alias name: {name}; a rollup of table {own} has it, so choose another"
            )));
        }
        if let Some(other) = owners.insert(name, own) {
            return Err(invalid(format!(
                "Duplicated alias name: {name}; tables {other} and {own} would both get it, so choose another for one"
            )));
        }
    }
    Ok(())
}
