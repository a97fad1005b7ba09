//! Taking a backend out: its replicas leave the catalog.
//!
//! # Consistency
//! A replica leaves only while another one has all that readers see of its tablet. That is asked of all tablets before
//! the first goes, and of each again in the step that takes it.
//!
//! # Crash consistency
//! A large number of tablets goes in several steps. What a crash interrupts is done by asking again.

use std::collections::BTreeMap;

use tabvault_common::failure::{Failure, Kind};
use tabvault_common::ids::{BackendId, JobUuid, Version};

use super::model::{Database, Partition, PreparedPart, Restore, Table, Tablet};
use super::records::Records;
use super::{LocalCatalog, Result, keys, sets};
use crate::catalog::Retired;

/// Blocks that one change rewrites.
const BLOCKS_PER_CHANGE: usize = 256;

/// Tables that are named.
const NAMED: usize = 20;

/// Who shows or hides a set of tablets. A set that is not here was given up.
enum Owner {
    Shown { table: String, version: Version },
    Hidden { restore: JobUuid },
}

impl LocalCatalog {
    /// See [`crate::catalog::Catalog::retire`].
    pub(super) async fn retire_backend(&self, backend: BackendId, others: &[BackendId]) -> Result<Retired> {
        let alive = others.to_vec();
        self.look(move |records| check(records, backend, &alive)).await?;
        let mut all = Retired::default();
        let mut after = String::new();
        loop {
            let (others, from) = (others.to_vec(), after.clone());
            let (some, last) = self.change(move |records| strip(records, backend, &others, &from)).await?;
            all.replicas += some.replicas;
            all.tables.extend(some.tables);
            match last {
                Some(last) => after = last,
                None => return Ok(all),
            }
        }
    }

    /// See [`crate::catalog::Catalog::forget`].
    pub(super) async fn forget_garbage(&self, backend: BackendId) -> Result<()> {
        self.change(move |records| {
            for prefix in [keys::garbage_on(backend), keys::unmade_on(backend)] {
                for (rest, _) in records.list::<serde_json::Value>(&prefix)? {
                    records.delete(format!("{prefix}{rest}"));
                }
            }
            records.placed.remove(&backend);
            Ok(())
        })
        .await
    }
}

fn owners(records: &Records) -> Result<BTreeMap<u64, Owner>> {
    let mut owners = BTreeMap::new();
    for (name, database) in records.list::<Database>(keys::DATABASES)? {
        for (table_name, table) in records.list::<Table>(&keys::tables(database.id))? {
            for (_, partition) in records.list::<Partition>(&keys::partitions(table.id))? {
                let table = format!("{name}.{table_name}");
                owners.insert(partition.set, Owner::Shown { table, version: partition.version });
            }
        }
        for restore in database.restores {
            if records.get::<Restore>(&keys::restore(restore))?.is_some() {
                let prefix = format!("{}partition/", keys::prepared(restore));
                for (_, part) in records.list::<PreparedPart>(&prefix)? {
                    owners.insert(part.set, Owner::Hidden { restore });
                }
            }
        }
    }
    Ok(owners)
}

/// The set that a block belongs to.
fn set_of(block: &str) -> Result<u64> {
    let number = block.split('/').next().and_then(|set| u64::from_str_radix(set, 16).ok());
    number.ok_or_else(|| {
        Failure::fatal(Kind::Corrupt, format!("read catalog record {}: it names no set", keys::tablets(block)))
    })
}

fn is_on(tablet: &Tablet, backend: BackendId) -> bool {
    tablet.replicas.iter().any(|replica| replica.backend == backend)
}

/// Whether one of `others` has all that readers see of the tablet. Before the first load that is nothing.
fn is_covered(tablet: &Tablet, version: Version, others: &[BackendId]) -> bool {
    let complete = |version_there: Version| version_there >= version || version == Version::INITIAL;
    tablet.replicas.iter().any(|replica| others.contains(&replica.backend) && complete(replica.version))
}

fn check(records: &Records, backend: BackendId, others: &[BackendId]) -> Result<()> {
    let owners = owners(records)?;
    let mut alone: Option<(u64, String)> = None;
    for block in records.scan::<Vec<Tablet>>(&keys::tablets("")) {
        let (block, tablets) = block?;
        let owner = owners.get(&set_of(&block)?);
        for tablet in tablets.iter().filter(|tablet| is_on(tablet, backend)) {
            match owner {
                Some(Owner::Hidden { restore }) => return Err(restoring(backend, *restore)),
                Some(Owner::Shown { table, version }) if !is_covered(tablet, *version, others) => {
                    alone.get_or_insert_with(|| (0, table.clone())).0 += 1;
                }
                Some(Owner::Shown { .. }) | None => {}
            }
        }
    }
    alone.map_or(Ok(()), |(tablets, table)| Err(only_replica(backend, tablets, &table)))
}

/// Takes the backend's replicas out of blocks after `after`; answers with the last block looked at, if there are more.
fn strip(
    records: &mut Records,
    backend: BackendId,
    others: &[BackendId],
    after: &str,
) -> Result<(Retired, Option<String>)> {
    let owners = owners(records)?;
    let mut retired = Retired::default();
    let (mut changed, mut last) = (Vec::new(), None);
    for block in records.scan_after::<Vec<Tablet>>(&keys::tablets(""), after) {
        let (block, tablets) = block?;
        if changed.len() >= BLOCKS_PER_CHANGE {
            break;
        }
        if tablets.iter().any(|tablet| is_on(tablet, backend)) {
            changed.push((block.clone(), tablets));
        }
        last = Some(block);
    }
    let more = changed.len() >= BLOCKS_PER_CHANGE;
    for (block, mut tablets) in changed {
        let owner = owners.get(&set_of(&block)?);
        for tablet in tablets.iter_mut().filter(|tablet| is_on(tablet, backend)) {
            match owner {
                Some(Owner::Hidden { restore }) => return Err(restoring(backend, *restore)),
                Some(Owner::Shown { table, version }) if !is_covered(tablet, *version, others) => {
                    return Err(only_replica(backend, 1, table));
                }
                Some(Owner::Shown { table, .. }) if retired.tables.len() < NAMED => {
                    retired.tables.insert(table.clone());
                }
                Some(Owner::Shown { .. }) | None => {}
            }
            tablet.replicas.retain(|replica| replica.backend != backend);
            records.put(keys::garbage(backend, tablet.id), &())?;
            retired.replicas += 1;
        }
        records.delete(keys::unmade(backend, &block));
        sets::update(records, &block, &tablets)?;
    }
    if let Some(count) = records.placed.get_mut(&backend) {
        *count = count.saturating_sub(retired.replicas);
    }
    Ok((retired, last.filter(|_| more)))
}

fn restoring(backend: BackendId, restore: JobUuid) -> Failure {
    let message = format!(
        "backend {backend} cannot be decommissioned: restore {restore} writes to it; wait for its end or cancel it"
    );
    Failure::fatal(Kind::FailedPrecondition, message)
}

fn only_replica(backend: BackendId, tablets: u64, table: &str) -> Failure {
    let count = if tablets == 1 { "1 tablet".to_owned() } else { format!("{tablets} tablets") };
    let message = format!(
        "backend {backend} cannot be decommissioned: no other backend that is alive has a complete replica of {count}, the \
         first of table {table}; back such tables up and restore them elsewhere, or drop them, and decommission it then"
    );
    Failure::fatal(Kind::FailedPrecondition, message)
}
