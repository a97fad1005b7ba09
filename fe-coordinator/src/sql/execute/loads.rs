//! LOAD and EXPORT: both answer when done.

use std::collections::BTreeMap;

use tabvault_common::failure::{Failure, Kind};
use tabvault_common::label::Label;
use tabvault_common::request::{ExportRequest, LoadRequest};

use crate::sql::answer::Answer;
use crate::sql::error::SqlError;
use crate::sql::session::Session;
use crate::sql::statement::{Export, Load};

impl Session {
    pub(super) async fn load(&self, load: &Load) -> Result<Answer, SqlError> {
        let database = self.meant(load.database.as_deref())?;
        self.may_see(database).await?;
        let label: Label = load.label.parse()?;
        none("load", &load.properties)?;
        let source = self.access(load.storage.as_ref(), directory(&load.source), &load.access).await?;
        let request = LoadRequest {
            database: database.to_owned(),
            table: load.table.clone(),
            partition: load.partition.clone(),
            source,
            create: false,
            buckets: None,
            replication_num: None,
        };
        match self.coordinator.load_labelled(label, request).await {
            Ok(summary) => Ok(Answer::Done { affected: summary.files, notices: Vec::new() }),
            Err(failure) => Err(self.unknown(failure, database, &[&load.table]).await),
        }
    }

    pub(super) async fn export(&self, export: &Export) -> Result<Answer, SqlError> {
        let database = self.meant(export.table.database.as_deref())?;
        self.may_see(database).await?;
        none("export", &export.properties)?;
        let target = self.access(export.storage.as_ref(), &export.target, &export.access).await?;
        let table = export.table.name.clone();
        let (database, partition) = (database.to_owned(), export.partition.clone());
        match self.coordinator.export(ExportRequest { database: database.clone(), table, partition, target }).await {
            Ok(summary) => Ok(Answer::Done { affected: summary.files, notices: Vec::new() }),
            Err(failure) => Err(self.unknown(failure, &database, &[&export.table.name]).await),
        }
    }
}

/// All below a directory is loaded, whether or not its user says so.
fn directory(source: &str) -> &str {
    let stripped = source.strip_suffix("/**").or_else(|| source.strip_suffix("/*"));
    match stripped {
        // `file:///**` is the root.
        Some(root) if root.ends_with("//") => &source[..=root.len()],
        Some(directory) => directory,
        None => source,
    }
}

/// Refuses all properties by name: there are none.
fn none(job: &str, properties: &BTreeMap<String, String>) -> Result<(), Failure> {
    if properties.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = properties.keys().map(String::as_str).collect();
    let why = format!("Unknown {job} job properties: [{}]; there are none", names.join(", "));
    Err(Failure::fatal(Kind::InvalidArgument, why))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_at_the_end_of_a_directory_mean_what_they_mean_without() {
        for typed in ["file:///in/a", "file:///in/a/*", "file:///in/a/**"] {
            assert_eq!(directory(typed), "file:///in/a");
        }
        assert_eq!(directory("file:///**"), "file:///");
        assert_eq!(directory("s3://bucket/*"), "s3://bucket");
        assert_eq!(directory("file:///in/*.csv"), "file:///in/*.csv");
    }
}
