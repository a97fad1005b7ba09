//! Taking a backend out: its replicas leave the catalog.
//!
//! # Consistency
//! A replica leaves only while another one has all that readers see of its tablet. That is asked of all tablets before
//! the first goes, and of each again in the step that takes it.
//!
//! # Crash consistency
//! A large number of tablets goes in several steps. What a crash interrupts is done by asking again. A later step may
//! refuse what came to need the backend meanwhile: what the earlier ones took stays out, and the refusal says so.

use std::collections::{BTreeMap, BTreeSet};

use tabvault_common::failure::{Failure, Kind};
use tabvault_common::ids::{BackendId, JobUuid, Version};

use super::block::Block;
use super::model::{Database, Partition, PreparedPart, Restore, Table, Tablet};
use super::records::Records;
use super::{LocalCatalog, Result, keys, sets, unmade};
use crate::catalog::Retired;

/// Blocks that one change rewrites.
const BLOCKS_PER_CHANGE: usize = 64;

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
        self.strip_all(backend, others).await
    }

    async fn strip_all(&self, backend: BackendId, others: &[BackendId]) -> Result<Retired> {
        let mut all = Retired::default();
        let mut after = String::new();
        loop {
            let (others, from) = (others.to_vec(), after.clone());
            let step = self.change(move |records| strip(records, backend, &others, &from)).await;
            let (some, last) = step.map_err(|failure| with_gone(failure, &all))?;
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

/// Whether one of `others` has all that readers see of the tablet. Before the first load that is nothing.
fn is_covered(tablet: &Tablet, version: Version, others: &[BackendId]) -> bool {
    let complete = |version_there: Version| version_there >= version || version == Version::INITIAL;
    tablet.replicas.iter().any(|replica| others.contains(&replica.backend) && complete(replica.version))
}

/// Refuses while a restore is still choosing backends for its targets, and may choose this one.
fn refuse_if_chosen_from(records: &Records, backend: BackendId) -> Result<()> {
    for (_, database) in records.list::<Database>(keys::DATABASES)? {
        for restore in database.restores {
            match records.get::<Restore>(&keys::restore(restore))? {
                Some(Restore::Preparing { backends, .. }) if backends.contains(&backend) => {
                    return Err(restoring(backend, restore));
                }
                _ => {}
            }
        }
    }
    Ok(())
}

fn check(records: &Records, backend: BackendId, others: &[BackendId]) -> Result<()> {
    refuse_if_chosen_from(records, backend)?;
    let owners = owners(records)?;
    let mut alone: Option<(u64, String)> = None;
    for block in records.scan::<Block>(&keys::tablets("")) {
        let (block, Block(tablets)) = block?;
        let owner = owners.get(&set_of(&block)?);
        for tablet in tablets.iter().filter(|tablet| tablet.is_on(backend)) {
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
    refuse_if_chosen_from(records, backend)?;
    let owners = owners(records)?;
    let mut retired = Retired::default();
    let (mut changed, mut last) = (Vec::new(), None);
    for block in records.scan_after::<Block>(&keys::tablets(""), after) {
        let (block, Block(tablets)) = block?;
        if changed.len() >= BLOCKS_PER_CHANGE {
            break;
        }
        if tablets.iter().any(|tablet| tablet.is_on(backend)) {
            changed.push((block.clone(), tablets));
        }
        last = Some(block);
    }
    let more = changed.len() >= BLOCKS_PER_CHANGE;
    let mut gone = BTreeSet::new();
    for (block, mut tablets) in changed {
        let owner = owners.get(&set_of(&block)?);
        for tablet in tablets.iter_mut().filter(|tablet| tablet.is_on(backend)) {
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
            gone.insert(tablet.id);
            retired.replicas += 1;
        }
        sets::put_block(records, &block, &tablets)?;
    }
    unmade::finish(records, backend, None, gone)?;
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

/// Says of a failure what had left before it.
fn with_gone(mut failure: Failure, gone: &Retired) -> Failure {
    if gone.replicas > 0 {
        let tables: Vec<&str> = gone.tables.iter().map(String::as_str).collect();
        failure.message = format!(
            "{}; {} replicas have left the catalog before that and stay out; tables that have fewer now: {}",
            failure.message,
            gone.replicas,
            tables.join(", ")
        );
    }
    failure
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use tabvault_common::clock::{ManualClock, Time};
    use tabvault_common::request::CreateTableRequest;

    use super::*;
    use crate::catalog::BackendRoom;
    use crate::catalog::conformance::{partition, table};
    use crate::store::SharedDb;

    /// What a step finds that comes to need the backend after all was checked.
    #[tokio::test]
    async fn a_later_step_that_refuses_says_how_many_replicas_left_before_it() {
        let dir = tempfile::tempdir().unwrap();
        let db = SharedDb::open(dir.path()).unwrap();
        let catalog = LocalCatalog::open(&db, Arc::new(ManualClock::new(Time(7)))).unwrap();
        catalog.create_database("d", false).await.unwrap();
        let room = |n| BackendRoom { backend: BackendId(n), host: format!("host{n}"), available_bytes: 1 << 40 };
        let steps = i64::try_from(BLOCKS_PER_CHANGE).unwrap();
        let covered = (0..steps).map(|n| partition(&format!("p{n}"), n, n + 1)).collect();
        let mut alone = partition("p", 0, 1);
        (alone.buckets, alone.replication_num) = (1, 1);
        for (name, partitions, rooms) in
            [("covered", covered, vec![room(1), room(2)]), ("alone", vec![alone], vec![room(1)])]
        {
            let database = "d".to_owned();
            let request = CreateTableRequest { database, table: table(name), partitions, if_not_exists: false };
            catalog.create_table(&request, &rooms).await.unwrap();
        }
        let (out, others) = (BackendId(1), [BackendId(2)]);
        let refused = catalog.retire_backend(out, &others).await.unwrap_err();
        assert!(!refused.message.contains("have left"), "{refused}");
        let refused = catalog.strip_all(out, &others).await.unwrap_err();
        assert_eq!(refused.kind, Kind::FailedPrecondition);
        let gone = catalog.look(move |records| records.list::<()>(&keys::garbage_on(out))).await.unwrap().len();
        assert!(gone >= BLOCKS_PER_CHANGE, "{gone}");
        let words = format!(
            "; {gone} replicas have left the catalog before that and stay out; tables that have fewer now: d.covered"
        );
        assert!(refused.message.ends_with(&words), "{refused}");
    }
}
