//! What repository and catalog answer, and whether anybody hears it.

use tabvault_common::failure::{Failure, Kind, Retry};
use tabvault_common::ids::Epoch;
use tabvault_common::repo::info::Content;

use super::life::Life;
use super::repository::Protects;
use crate::catalog::Decision;
use crate::job::any::Job;
use crate::job::backup::share::share;
use crate::job::backup::{BackupJob, Plan, Row};
use crate::job::samples;
use crate::job::{Answer, Ask, Event};
use crate::repository::remote::{InfoWrite, TombstoneWrite};

impl Life {
    pub(super) fn answer(&mut self) {
        let leader = self.leader.as_mut().unwrap();
        let n = self.dice.below(leader.asking.len());
        let (ask, job) = leader.asking.remove(n);
        let epoch = leader.epoch;
        let deciding = matches!(ask, Ask::WriteInfo | Ask::WriteTombstone | Ask::Publish | Ask::Discard);
        if let (Ask::WriteInfo, Job::Backup(job)) = (ask, &job)
            && self.fault(6)
            && let Some(timestamp) = &job.head.timestamp
        {
            self.repository.take_name(timestamp);
        }
        let answer = if self.fault(if deciding { 3 } else { 12 }) {
            match self.dice.below(8) {
                0 => Err(samples::fatal(Kind::PermissionDenied)),
                1..=3 => Err(samples::transient()),
                _ => {
                    // It happened, and nobody heard of it.
                    let _ = self.perform(ask, &job, epoch);
                    Err(Failure { retry: Retry::OutcomeUnknown, ..samples::transient() })
                }
            }
        } else {
            self.perform(ask, &job, epoch)
        };
        self.note_answer(&answer);
        self.take(Event::Answered(ask, answer));
    }

    fn note_answer(&mut self, answer: &Result<Answer, Failure>) {
        let what = match answer {
            Ok(Answer::ParentGone) => "a parent was gone",
            Ok(Answer::PartitionPlanned(Some(_))) => "a partition was taken again",
            Ok(Answer::Info(InfoWrite::TakenByOther)) => "a name was taken",
            Ok(Answer::Info(InfoWrite::OursAlready)) => "our own info was found",
            Ok(Answer::Tombstone(TombstoneWrite::Written)) => "a tombstone was written",
            Ok(Answer::Tombstone(TombstoneWrite::InfoStands)) => "a tombstone came too late",
            _ => return,
        };
        self.seen.insert(what);
    }

    /// What a coordinator that is no more had asked for happens now.
    pub(super) fn late_answer(&mut self) {
        let n = self.dice.below(self.late.len());
        let (ask, job, epoch) = self.late.remove(n);
        if self.dice.one_in(2) {
            self.note(format!("{ask:?} of epoch {epoch} arrives"));
            self.seen.insert("a predecessor's write arrived late");
            let _ = self.perform(ask, &job, epoch);
        }
    }

    fn perform(&mut self, ask: Ask, job: &Job, epoch: Epoch) -> Result<Answer, Failure> {
        match job {
            Job::Backup(job) => self.perform_backup(ask, job, epoch),
            Job::Restore(_) => self.perform_restore(ask, epoch),
        }
    }

    fn perform_backup(&mut self, ask: Ask, job: &BackupJob, epoch: Epoch) -> Result<Answer, Failure> {
        let alive = self.agents.iter().filter(|(_, agent)| !agent.away).map(|(id, _)| *id).collect();
        Ok(match ask {
            Ask::ChooseParent => Answer::Chosen(self.repository.parent().filter(|_| self.dice.one_in(2))),
            Ask::Plan => {
                if !self.write_intent(job) {
                    return Ok(Answer::ParentGone);
                }
                let (plan, rows) = self.catalog.cut(&alive);
                let rows = shared(job, &plan, rows);
                Answer::Planned(Box::new(plan), rows)
            }
            Ask::TakePartition(partition) => {
                let rows = self.catalog.partition(partition, &alive);
                Answer::PartitionPlanned(rows.map(|rows| shared(job, job.plan.as_ref().unwrap(), rows)))
            }
            Ask::RemoveIntent => {
                self.repository.intent = None;
                self.seen.insert("an intent was removed");
                Answer::Done
            }
            Ask::WriteMeta => {
                let meta = job.meta()?;
                self.repository.put_meta(&meta.digest, meta.bytes.clone());
                Answer::MetaWritten(meta.reference())
            }
            Ask::WriteInfo => {
                let info = job.info(epoch, self.now)?;
                if info.manifests.iter().any(|manifest| manifest.job != info.job.uuid) {
                    self.seen.insert("a manifest was shared");
                }
                Answer::Info(self.repository.write_info(&info))
            }
            Ask::WriteTombstone => {
                Answer::Tombstone(self.repository.write_tombstone(job.head.timestamp.as_ref().unwrap()))
            }
            Ask::ReadSnapshot | Ask::Prepare | Ask::Publish | Ask::Discard => panic!("a backup asks for {ask:?}"),
        })
    }

    /// As the repository does it: the intent, then a look whether the parent still stands, or is gone. It may be dropped
    /// at any time.
    fn write_intent(&mut self, job: &BackupJob) -> bool {
        let protects = job.head.parent.is_some();
        let dropped = self.fault(3).then(|| self.dice.below(3));
        if dropped == Some(0) {
            self.repository.drop_parent();
        }
        if protects && self.repository.parent().is_none() {
            return false;
        }
        self.repository.intent = Some(Protects { parent: protects });
        if dropped == Some(1) {
            self.repository.drop_parent();
        }
        if !protects {
            return true;
        }
        if self.repository.parent().is_none() {
            self.seen.insert("a parent was dropped just after the intent was written");
            return false;
        }
        if dropped == Some(2) {
            self.repository.drop_parent();
        }
        true
    }

    fn perform_restore(&mut self, ask: Ask, epoch: Epoch) -> Result<Answer, Failure> {
        Ok(match ask {
            Ask::ReadSnapshot => Answer::Mapped(Box::new(samples::mapped())),
            Ask::Prepare => {
                self.catalog.prepare(epoch)?;
                Answer::Prepared(samples::restore_rows(Content::All))
            }
            Ask::Publish => {
                let decision = self.catalog.decide(epoch, Decision::Published)?;
                if decision == Decision::Published {
                    self.check_adopted();
                }
                Answer::Decided(decision)
            }
            Ask::Discard => {
                let decision = self.catalog.decide(epoch, Decision::Discarded)?;
                if decision == Decision::Published {
                    self.seen.insert("a cancel came too late");
                }
                Answer::Decided(decision)
            }
            Ask::ChooseParent
            | Ask::Plan
            | Ask::TakePartition(_)
            | Ask::RemoveIntent
            | Ask::WriteMeta
            | Ask::WriteInfo
            | Ask::WriteTombstone => panic!("a restore asks for {ask:?}"),
        })
    }

    /// Every replica of what is published is whole.
    fn check_adopted(&self) {
        for tablet in samples::prepared().iter().flatten() {
            for backend in &tablet.backends {
                let whole = self.agents[backend].adopted.contains(&tablet.tablet);
                assert!(whole, "tablet {} on backend {backend} was published without its files", tablet.tablet);
            }
        }
    }
}

/// The rows that share with the parent what they can, if there is one.
fn shared(job: &BackupJob, plan: &Plan, rows: Vec<Row>) -> Vec<Row> {
    if job.head.parent.is_none() {
        return rows;
    }
    let (info, meta) = samples::parent();
    share(&plan.cut, job.head.cluster, rows, &info, &meta)
}
