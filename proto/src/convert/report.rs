//! How tasks ended.

use tabvault_common::failure::Failure;
use tabvault_common::ids::TabletId;
use tabvault_common::task::{LoadedTablet, TabletTotals, TaskReport, TaskResult};

use super::failure::failure;
use super::ids::{digest, digest_bytes, manifest_ref};
use super::task::{tablet_id, task_key};
use super::{At, list};
use crate::v1::{self, task_report};

impl From<&TaskReport> for v1::TaskReport {
    fn from(report: &TaskReport) -> Self {
        let outcome = match &report.outcome {
            Ok(result) => result_to_wire(result),
            Err(failure) => task_report::Outcome::Failure(failure.into()),
        };
        Self { key: Some(report.key.into()), outcome: Some(outcome) }
    }
}

impl TryFrom<v1::TaskReport> for TaskReport {
    type Error = Failure;

    fn try_from(wire: v1::TaskReport) -> Result<Self, Failure> {
        let at = At::root("report");
        let key = task_key(wire.key, at.field("key"))?;
        let outcome = match wire.outcome {
            Some(task_report::Outcome::Failure(wire)) => Err(failure(Some(wire), at.field("failure"))?),
            Some(task_report::Outcome::Done(v1::Done {})) => Ok(TaskResult::Done),
            Some(task_report::Outcome::Snapshotted(wire)) => {
                let at = at.field("snapshotted");
                Ok(TaskResult::Snapshotted {
                    tablets: list(wire.tablets, at, "tablets", tablet_totals)?,
                    failed: list(wire.failed, at, "failed", tablet_failure)?,
                })
            }
            Some(task_report::Outcome::Uploaded(wire)) => Ok(TaskResult::Uploaded {
                manifest: manifest_ref(wire.manifest, at.field("uploaded").field("manifest"))?,
            }),
            Some(task_report::Outcome::Downloaded(v1::Downloaded { bytes, reused_bytes })) => {
                Ok(TaskResult::Downloaded { bytes, reused_bytes })
            }
            Some(task_report::Outcome::Loaded(wire)) => {
                Ok(TaskResult::Loaded { tablets: list(wire.tablets, at.field("loaded"), "tablets", loaded_tablet)? })
            }
            Some(task_report::Outcome::Exported(v1::Exported { files, bytes })) => {
                Ok(TaskResult::Exported { files, bytes })
            }
            None => return Err(at.field("outcome").missing("a failure or a result that this version knows")),
        };
        Ok(Self { key, outcome })
    }
}

fn result_to_wire(result: &TaskResult) -> task_report::Outcome {
    match result {
        TaskResult::Done => task_report::Outcome::Done(v1::Done {}),
        TaskResult::Snapshotted { tablets, failed } => task_report::Outcome::Snapshotted(v1::Snapshotted {
            tablets: tablets.iter().map(totals_to_wire).collect(),
            failed: failed.iter().map(failed_to_wire).collect(),
        }),
        TaskResult::Uploaded { manifest } => {
            task_report::Outcome::Uploaded(v1::Uploaded { manifest: Some((*manifest).into()) })
        }
        TaskResult::Downloaded { bytes, reused_bytes } => {
            task_report::Outcome::Downloaded(v1::Downloaded { bytes: *bytes, reused_bytes: *reused_bytes })
        }
        TaskResult::Loaded { tablets } => {
            task_report::Outcome::Loaded(v1::Loaded { tablets: tablets.iter().map(loaded_to_wire).collect() })
        }
        TaskResult::Exported { files, bytes } => {
            task_report::Outcome::Exported(v1::Exported { files: *files, bytes: *bytes })
        }
    }
}

fn totals_to_wire(totals: &TabletTotals) -> v1::TabletTotals {
    v1::TabletTotals { tablet: totals.tablet.0, files: totals.files, bytes: totals.bytes }
}

fn failed_to_wire((tablet, failure): &(TabletId, Failure)) -> v1::TabletFailure {
    v1::TabletFailure { tablet: tablet.0, failure: Some(failure.into()) }
}

fn loaded_to_wire(loaded: &LoadedTablet) -> v1::LoadedTablet {
    v1::LoadedTablet {
        tablet: loaded.tablet.0,
        loaded_files: loaded.loaded_files,
        loaded_bytes: loaded.loaded_bytes,
        files: loaded.files,
        bytes: loaded.bytes,
        digest: digest_bytes(&loaded.digest),
    }
}

fn tablet_totals(wire: v1::TabletTotals, at: At<'_>) -> Result<TabletTotals, Failure> {
    Ok(TabletTotals { tablet: tablet_id(wire.tablet, at.field("tablet"))?, files: wire.files, bytes: wire.bytes })
}

fn tablet_failure(wire: v1::TabletFailure, at: At<'_>) -> Result<(TabletId, Failure), Failure> {
    Ok((tablet_id(wire.tablet, at.field("tablet"))?, failure(wire.failure, at.field("failure"))?))
}

fn loaded_tablet(wire: v1::LoadedTablet, at: At<'_>) -> Result<LoadedTablet, Failure> {
    Ok(LoadedTablet {
        tablet: tablet_id(wire.tablet, at.field("tablet"))?,
        loaded_files: wire.loaded_files,
        loaded_bytes: wire.loaded_bytes,
        files: wire.files,
        bytes: wire.bytes,
        digest: digest(&wire.digest, at.field("digest"))?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::convert::MAX_ITEMS;
    use crate::convert::samples::{self, refuses, survives};

    #[test]
    fn reports_of_every_outcome_survive_the_wire() {
        for outcome in samples::outcomes() {
            let report = TaskReport { key: samples::key(), outcome };
            survives(&report, v1::TaskReport::from(&report));
        }
    }

    #[test]
    fn wrong_reports_are_refused() {
        refuses::<TaskReport, _>(
            &v1::TaskReport::from(&TaskReport { key: samples::key(), outcome: Ok(TaskResult::Done) }),
            &[
                ("report.key", |wire| wire.key = None),
                ("report.outcome", |wire| wire.outcome = None),
                ("report.failure.retry", |wire| {
                    wire.outcome = Some(task_report::Outcome::Failure(v1::Failure::default()));
                }),
                ("report.snapshotted.tablets[0].tablet", |wire| {
                    let tablets = vec![v1::TabletTotals { tablet: 0, files: 1, bytes: 1 }];
                    wire.outcome = Some(snapshotted(tablets, Vec::new()));
                }),
                ("report.snapshotted.failed[0].failure", |wire| {
                    let failed = vec![v1::TabletFailure { tablet: 4, failure: None }];
                    wire.outcome = Some(snapshotted(Vec::new(), failed));
                }),
                ("report.snapshotted.tablets", |wire| {
                    wire.outcome = Some(snapshotted(vec![v1::TabletTotals::default(); MAX_ITEMS + 1], Vec::new()));
                }),
                ("report.uploaded.manifest", |wire| {
                    wire.outcome = Some(task_report::Outcome::Uploaded(v1::Uploaded { manifest: None }));
                }),
                ("report.loaded.tablets[0].digest", |wire| {
                    let tablets = vec![v1::LoadedTablet { tablet: 4, ..Default::default() }];
                    wire.outcome = Some(task_report::Outcome::Loaded(v1::Loaded { tablets }));
                }),
            ],
        );
    }

    fn snapshotted(tablets: Vec<v1::TabletTotals>, failed: Vec<v1::TabletFailure>) -> task_report::Outcome {
        task_report::Outcome::Snapshotted(v1::Snapshotted { tablets, failed })
    }
}
