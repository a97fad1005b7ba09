//! Jobs with which all is over.

use tabvault_common::failure::Failure;
use tabvault_common::ids::JobUuid;
use tabvault_common::task::JobEnd;
use tabvault_common::view::JobView;

use super::keys::{self, ended, head, history};
use super::{PAGE, Records, decode, encode};
use crate::store::Transaction;
use crate::store::large::{delete_large, get_large, stage_large};

impl Records {
    /// How a job ended, if it has.
    pub(crate) async fn ended(&self, job: JobUuid) -> Result<Option<JobEnd>, Failure> {
        let key = ended(job);
        self.store.get(&key).await?.map(|value| decode(&key, &value)).transpose()
    }

    /// Moves the job of `view`, with which all is over, into the history, of which the newest `kept` of its kind stay.
    pub(crate) async fn archive(&self, view: &JobView, kept: usize) -> Result<(), Failure> {
        let id = view.id;
        let record = stage_large(&*self.store, self.epoch, &history(id), &encode(view)?).await?;
        let put = vec![(history(id), record)];
        self.commit(Transaction { put, delete: vec![head(id)], ..Transaction::default() }).await?;
        self.remove_all(&keys::job(id)).await?;
        let of_kind: Vec<JobView> = self.history().await?.into_iter().filter(|other| other.kind == view.kind).collect();
        for old in of_kind.iter().rev().skip(kept) {
            delete_large(&*self.store, self.epoch, &history(old.id)).await?;
        }
        Ok(())
    }

    /// Archived jobs, oldest first.
    pub(crate) async fn history(&self) -> Result<Vec<JobView>, Failure> {
        let mut found = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let page = self.store.scan(keys::HISTORY, after.as_deref(), PAGE).await?;
            for (key, _) in page.iter().filter(|(key, _)| keys::is_history(key)) {
                if let Some(value) = get_large(&*self.store, key).await? {
                    found.push(decode(key, &value)?);
                }
            }
            match page.last() {
                Some((last, _)) if page.len() == PAGE => after = Some(last.clone()),
                _ => return Ok(found),
            }
        }
    }
}
