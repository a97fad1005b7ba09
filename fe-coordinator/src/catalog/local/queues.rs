//! What agents have still to do for the catalog: make tablets of new partitions, remove those that nothing refers to.
//! Both are durable lists; doing an entry twice is harmless, and it leaves the list when the agent has answered.

use tabvault_common::failure::{Failure, Kind};
use tabvault_common::ids::{BackendId, TabletId};
use tabvault_common::task::CreateTablet;

use super::model::Tablet;
use super::records::Records;
use super::{LocalCatalog, Result, keys, sets, unmade};

/// Blocks of sets that were given up which one change turns into garbage.
const BLOCKS_PER_CHANGE: usize = 16;

impl LocalCatalog {
    /// Up to `limit` tablets that a backend has still to make, because their partition is new. They are asked for again
    /// until [`LocalCatalog::made`]; a load makes a tablet as well.
    ///
    /// # Errors
    /// Errors of the disk.
    pub async fn unmade_tablets(&self, backend: BackendId, limit: usize) -> Result<Vec<CreateTablet>> {
        self.look(move |records| unmade::first(records, backend, limit)).await
    }

    /// The backend has made these tablets: their replicas now have the version that nothing was loaded into. One that
    /// was dropped or loaded into meanwhile is no error.
    ///
    /// # Errors
    /// Errors of the disk.
    pub async fn made(&self, backend: BackendId, tablets: &[TabletId]) -> Result<()> {
        let tablets = tablets.iter().copied().collect();
        self.change(move |records| unmade::finish(records, backend, None, tablets)).await
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
            discard_block(records, number, &block, &tablets)?;
        }
        records.delete(keys::dropped(number));
    }
    Ok(())
}

fn discard_block(records: &mut Records, set: u64, block: &str, tablets: &[Tablet]) -> Result<()> {
    records.delete(keys::tablets(block));
    for backend in unmade::backends(tablets) {
        unmade::forget(records, backend, set)?;
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
