//! A catalog: partitions that are loaded into and dropped, and a restore that is decided once.

use std::collections::{BTreeMap, BTreeSet};

use tabvault_common::failure::{Failure, Kind};
use tabvault_common::ids::{BackendId, Epoch, PartitionId, TabletId, Version};
use tabvault_common::repo::info::Content;

use super::Dice;
use crate::catalog::{CutPartition, CutTable, Decision, TabletInfo};
use crate::job::backup::plan::Planner;
use crate::job::backup::{Plan, Row};
use crate::job::samples;

/// The versions that a replica can give: from the first to the second.
type Versions = (Version, Version);

#[derive(Debug)]
pub(super) struct Catalog {
    table: CutTable,
    replicas: BTreeMap<(TabletId, BackendId), Versions>,
    highest: Epoch,
    prepared: bool,
    pub(super) decision: Option<Decision>,
}

impl Catalog {
    pub(super) fn new() -> Self {
        let table = samples::orders();
        let mut replicas = BTreeMap::new();
        for partition in &table.partitions {
            for tablet in [0, 1].map(|bucket| TabletId(partition.id.0 * 10 + bucket)) {
                for backend in [1, 2, 3].map(BackendId) {
                    replicas.insert((tablet, backend), (Version(1), partition.visible_version));
                }
            }
        }
        Self { table, replicas, highest: Epoch(0), prepared: false, decision: None }
    }

    pub(super) fn covers(&self, tablet: TabletId, backend: BackendId, version: Version) -> bool {
        self.replicas.get(&(tablet, backend)).is_some_and(|(from, to)| (*from..=*to).contains(&version))
    }

    /// A load: the next version; some replicas forget the ones before.
    pub(super) fn load(&mut self, dice: &mut Dice) {
        let Some(partition) = self.table.partitions.first_mut() else { return };
        partition.visible_version = partition.visible_version.next();
        let (id, version) = (partition.id.0, partition.visible_version);
        for ((_, _), versions) in self.replicas.iter_mut().filter(|((tablet, _), _)| tablet.0 / 10 == id) {
            *versions = (if dice.one_in(2) { version } else { versions.0 }, version);
        }
    }

    pub(super) fn drop_partition(&mut self) {
        if self.table.partitions.len() == 2 {
            let dropped = self.table.partitions.remove(0);
            self.replicas.retain(|(tablet, _), _| tablet.0 / 10 != dropped.id.0);
        }
    }

    fn infos(&self, partition: &CutPartition) -> [TabletInfo; 2] {
        [0, 1].map(|bucket| samples::tablet(&self.table, partition.id, bucket, &[1, 2, 3]))
    }

    pub(super) fn cut(&self, alive: &BTreeSet<BackendId>) -> (Plan, Vec<Row>) {
        let mut planner = Planner::new(alive, Content::All);
        for partition in &self.table.partitions {
            planner.partition("orders", partition, &self.infos(partition)).unwrap();
        }
        let cut = crate::check::samples::cut("shop", vec![self.table.clone()]);
        (Plan { cut }, planner.finish())
    }

    pub(super) fn partition(&self, id: PartitionId, alive: &BTreeSet<BackendId>) -> Option<Vec<Row>> {
        let partition = self.table.partitions.iter().find(|partition| partition.id == id)?;
        let mut planner = Planner::new(alive, Content::All);
        planner.partition("orders", partition, &self.infos(partition)).unwrap();
        Some(planner.finish())
    }

    fn admit(&mut self, epoch: Epoch) -> Result<(), Failure> {
        if epoch < self.highest {
            return Err(Failure::fatal(Kind::Stale, "another coordinator leads"));
        }
        self.highest = epoch;
        Ok(())
    }

    pub(super) fn prepare(&mut self, epoch: Epoch) -> Result<(), Failure> {
        self.admit(epoch)?;
        if self.decision.is_some() {
            return Err(Failure::fatal(Kind::FailedPrecondition, "the job has been decided"));
        }
        self.prepared = true;
        Ok(())
    }

    pub(super) fn decide(&mut self, epoch: Epoch, wish: Decision) -> Result<Decision, Failure> {
        self.admit(epoch)?;
        assert!(wish == Decision::Discarded || self.prepared, "nothing was prepared that could be published");
        Ok(*self.decision.get_or_insert(wish))
    }
}
