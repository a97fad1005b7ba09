//! What agents have still to do for the catalog: make tablets of new partitions, remove those that nothing refers to.
//! Both are durable lists; doing an entry twice is harmless, and it leaves the list when the agent has answered.

use std::collections::BTreeSet;

use tabvault_common::failure::{Failure, Kind};
use tabvault_common::ids::{BackendId, TabletId, Version};
use tabvault_common::task::CreateTablet;

use super::model::{Tablet, Unmade};
use super::records::Records;
use super::{LocalCatalog, Result, keys, sets};

/// Blocks of sets that were given up which one change turns into garbage.
const BLOCKS_PER_CHANGE: usize = 64;

impl LocalCatalog {
    /// Up to `limit` tablets that a backend has still to make, because their partition is new. They are asked for again
    /// until [`LocalCatalog::made`]; a load makes a tablet as well.
    ///
    /// # Errors
    /// Errors of the disk.
    pub async fn unmade_tablets(&self, backend: BackendId, limit: usize) -> Result<Vec<CreateTablet>> {
        self.look(move |records| unmade(records, backend, limit)).await
    }

    /// The backend has made these tablets: their replicas now have the version that nothing was loaded into. One that
    /// was dropped or loaded into meanwhile is no error.
    ///
    /// # Errors
    /// Errors of the disk.
    pub async fn made(&self, backend: BackendId, tablets: &[TabletId]) -> Result<()> {
        let tablets = tablets.iter().copied().collect();
        self.change(move |records| made(records, backend, tablets)).await
    }

    /// Up to `limit` tablets on a backend that nothing refers to.
    pub(super) async fn next_garbage(&self, backend: BackendId, limit: usize) -> Result<Vec<TabletId>> {
        loop {
            let (found, more) = self.look(move |records| garbage(records, backend, limit)).await?;
            if found.len() >= limit || !more {
                return Ok(found);
            }
            let wanted = limit - found.len();
            self.change(move |records| collect(records, backend, wanted)).await?;
        }
    }
}

fn unmade(records: &Records, backend: BackendId, limit: usize) -> Result<Vec<CreateTablet>> {
    let mut found = Vec::new();
    for waiting in records.scan::<Unmade>(&keys::unmade_on(backend)) {
        let (block, _) = waiting?;
        if found.len() >= limit {
            break;
        }
        if is_dropped(records, &block)? {
            continue;
        }
        let tablets: Vec<Tablet> = records.require(&keys::tablets(&block))?;
        found.extend(tablets.iter().filter(|tablet| tablet.waits_for(backend)).map(Tablet::create));
    }
    found.truncate(limit);
    Ok(found)
}

/// Whether the block's set was given up.
fn is_dropped(records: &Records, block: &str) -> Result<bool> {
    let set = block.split('/').next().unwrap_or_default();
    Ok(records.get::<()>(&format!("{}{set}", keys::DROPPED))?.is_some())
}

fn made(records: &mut Records, backend: BackendId, mut tablets: BTreeSet<TabletId>) -> Result<()> {
    let mut changed = Vec::new();
    for waiting in records.scan::<Unmade>(&keys::unmade_on(backend)) {
        let (block, ids) = waiting?;
        if tablets.is_empty() {
            break;
        }
        let here: Vec<TabletId> = tablets.range(ids.first..=ids.last).copied().collect();
        if !here.is_empty() {
            tablets.retain(|tablet| !here.contains(tablet));
            changed.push((block, here));
        }
    }
    for (block, here) in changed {
        let mut of_block: Vec<Tablet> = records.require(&keys::tablets(&block))?;
        for tablet in of_block.iter_mut().filter(|tablet| here.contains(&tablet.id)) {
            for replica in tablet.replicas.iter_mut().filter(|replica| replica.backend == backend) {
                replica.version = replica.version.max(Version::INITIAL);
            }
        }
        sets::update(records, &block, &of_block)?;
    }
    Ok(())
}

/// Up to `limit` tablets on the garbage list of a backend, and whether the list can still grow from sets that were
/// given up.
fn garbage(records: &Records, backend: BackendId, limit: usize) -> Result<(Vec<TabletId>, bool)> {
    let prefix = keys::garbage_on(backend);
    let number = |(rest, ()): (String, ())| {
        let number = u64::from_str_radix(&rest, 16);
        number.map(TabletId).map_err(|_| {
            Failure::fatal(Kind::Corrupt, format!("read catalog record {prefix}{rest}: it names no tablet"))
        })
    };
    let found = records.first::<()>(&prefix, limit)?.into_iter().map(number).collect::<Result<_>>()?;
    Ok((found, !records.first::<()>(keys::DROPPED, 1)?.is_empty()))
}

/// Moves tablets of sets that were given up to the garbage lists of their backends, until that of `backend` has grown
/// by `wanted` or enough was done for one change.
fn collect(records: &mut Records, backend: BackendId, wanted: usize) -> Result<()> {
    let (mut found, mut done) = (0, 0);
    for (set, ()) in records.list::<()>(keys::DROPPED)? {
        let number = u64::from_str_radix(&set, 16).map_err(|_| {
            Failure::fatal(Kind::Corrupt, format!("read catalog record {}{set}: it names no set", keys::DROPPED))
        })?;
        for (block, tablets) in sets::blocks(records, number)? {
            if found >= wanted || done >= BLOCKS_PER_CHANGE {
                return Ok(());
            }
            found += tablets.iter().flat_map(|tablet| &tablet.replicas).filter(|r| r.backend == backend).count();
            done += 1;
            discard_block(records, &block, &tablets)?;
        }
        records.delete(keys::dropped(number));
    }
    Ok(())
}

fn discard_block(records: &mut Records, block: &str, tablets: &[Tablet]) -> Result<()> {
    records.delete(keys::tablets(block));
    for backend in sets::backends(tablets) {
        records.delete(keys::unmade(backend, block));
    }
    for tablet in tablets {
        for replica in &tablet.replicas {
            // Garbage even if it was never made: an agent may be making it at this moment.
            records.put(keys::garbage(replica.backend, tablet.id), &())?;
            if let Some(count) = records.placed.get_mut(&replica.backend) {
                *count = count.saturating_sub(1);
            }
        }
    }
    Ok(())
}

/// Forgets garbage that is gone.
pub(super) fn collected(records: &mut Records, backend: BackendId, tablets: &[TabletId]) {
    for tablet in tablets {
        records.delete(keys::garbage(backend, *tablet));
    }
}
