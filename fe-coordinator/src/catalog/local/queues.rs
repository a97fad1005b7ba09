//! What agents have still to do for the catalog: make tablets of new partitions, remove those that nothing refers to.
//! Both are durable lists; doing an entry twice is harmless, and it leaves the list when the agent has answered.

use tabvault_common::failure::{Failure, Kind};
use tabvault_common::ids::{BackendId, TabletId, Version};
use tabvault_common::task::CreateTablet;

use super::model::{Tablet, Unmade};
use super::records::Records;
use super::{LocalCatalog, Result, keys};

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
        let tablets = tablets.to_vec();
        self.change(move |records| made(records, backend, &tablets)).await
    }
}

fn unmade(records: &Records, backend: BackendId, limit: usize) -> Result<Vec<CreateTablet>> {
    let waiting = records.page::<Unmade>(&keys::unmade_on(backend), limit)?;
    let tablet = |(_, at): (String, Unmade)| {
        Ok(records.require::<Tablet>(&keys::tablet(at.set, at.index, at.position))?.create())
    };
    waiting.into_iter().map(tablet).collect()
}

fn made(records: &mut Records, backend: BackendId, tablets: &[TabletId]) -> Result<()> {
    for id in tablets {
        let waiting = keys::unmade(backend, *id);
        let Some(at) = records.get::<Unmade>(&waiting)? else { continue };
        records.delete(waiting);
        let key = keys::tablet(at.set, at.index, at.position);
        let mut tablet: Tablet = records.require(&key)?;
        for replica in tablet.replicas.iter_mut().filter(|replica| replica.backend == backend) {
            replica.version = replica.version.max(Version::INITIAL);
        }
        records.put(key, &tablet)?;
    }
    Ok(())
}

/// Up to `limit` tablets on a backend that nothing refers to.
pub(super) fn garbage(records: &Records, backend: BackendId, limit: usize) -> Result<Vec<TabletId>> {
    let prefix = keys::garbage_on(backend);
    let number = |(rest, ()): (String, ())| {
        let number = u64::from_str_radix(&rest, 16);
        number.map(TabletId).map_err(|_| {
            Failure::fatal(Kind::Corrupt, format!("read catalog record {prefix}{rest}: it names no tablet"))
        })
    };
    records.page::<()>(&prefix, limit)?.into_iter().map(number).collect()
}

/// Forgets garbage that is gone.
pub(super) fn collected(records: &mut Records, backend: BackendId, tablets: &[TabletId]) {
    for tablet in tablets {
        records.delete(keys::garbage(backend, *tablet));
    }
}
