//! What `clean_tables` drops.

use std::collections::BTreeSet;

use tabvault_common::failure::Failure;

use super::choose::Chosen;
use super::{check_state, some_of};
use crate::catalog::Cut;

/// Local tables that the restore does not bring and that EXCLUDE does not name.
pub(super) fn tables(
    chosen: &Chosen<'_>,
    local: Option<&Cut>,
    notices: &mut Vec<String>,
) -> Result<Vec<String>, Failure> {
    let Some(local) = local else { return Ok(Vec::new()) };
    let brought: BTreeSet<&str> = chosen.tables.iter().map(|table| table.name.as_str()).collect();
    let mut dropped = Vec::new();
    for table in &local.tables {
        let name = table.def.name.as_str();
        if !brought.contains(name) && !chosen.spared.contains(name) {
            check_state(table, "leave clean_tables out, which would drop it")?;
            dropped.push(name);
        }
    }
    if !dropped.is_empty() {
        notices.push(format!("clean_tables drops from database {}: {}", local.database, some_of(&dropped)));
    }
    Ok(dropped.into_iter().map(str::to_owned).collect())
}
