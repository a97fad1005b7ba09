//! What all agents together may ask of a repository: part of its record, and gone with it.

use std::collections::BTreeMap;

use tabvault_common::failure::Failure;
use tabvault_common::settings::RepositorySettings;

use super::record::RepositoryRecord;
use super::registry::Repositories;
use crate::store::Transaction;

impl Repositories {
    /// Changes what agents may ask of the repository `name`.
    ///
    /// # Errors
    /// `NotFound` "Repository X does not exist"; `Busy` when it is changed at the same time; those of `change`; what the
    /// store says.
    pub(crate) async fn set(
        &self,
        name: &str,
        change: impl Fn(RepositorySettings) -> Result<RepositorySettings, Failure> + Send + Sync,
    ) -> Result<(), Failure> {
        let (before, mut record) = self.record(name).await?;
        record.settings = change(record.settings)?;
        let key = RepositoryRecord::key(name);
        let after = record.encode()?;
        let put = vec![(key.clone(), after)];
        self.change(name, Transaction { expect: vec![(key, Some(before))], put, delete: Vec::new() }).await
    }

    /// What is set for repositories, by name, with the location of the directory as tasks name it; those for which
    /// nothing is set are left out.
    pub(crate) async fn settings(&self) -> Result<BTreeMap<String, (String, RepositorySettings)>, Failure> {
        let records = self.records().await?.into_iter().filter(|record| !record.settings.is_empty());
        Ok(records.map(|record| (record.name.clone(), (record.directory(), record.settings))).collect())
    }
}
