//! Repositories.

use std::collections::BTreeMap;

use tabvault_common::access::StorageAccess;
use tabvault_common::failure::{Failure, Kind};
use tabvault_common::request::CreateRepositoryRequest;
use tabvault_common::secret::Secret;
use tabvault_common::view::cells;

use super::{done, noted};
use crate::sql::answer::Answer;
use crate::sql::error::SqlError;
use crate::sql::session::Session;
use crate::sql::statement::{CreateRepository, SecretProperties, StorageKind};

impl Session {
    pub(super) async fn create_repository(&self, create: &CreateRepository) -> Result<Answer, SqlError> {
        self.admin().await?;
        let broker = broker(Some(&create.storage), &create.location)?;
        let view = self
            .coordinator
            .repositories()
            .create(CreateRepositoryRequest {
                name: create.name.clone(),
                location: create.location.clone(),
                properties: create.properties.clone(),
                broker: broker.map(str::to_owned),
                read_only: create.read_only,
            })
            .await?;
        Ok(noted(view.notice.into_iter().collect()))
    }

    pub(super) async fn alter_repository(&self, name: &str, properties: &SecretProperties) -> Result<Answer, SqlError> {
        self.admin().await?;
        let view = self.coordinator.repositories().alter(name, properties.clone()).await?;
        Ok(noted(view.notice.into_iter().collect()))
    }

    pub(super) async fn drop_repository(&self, name: &str) -> Result<Answer, SqlError> {
        self.admin().await?;
        self.coordinator.drop_repository(name).await?;
        Ok(done())
    }

    pub(super) async fn show_repositories(&self) -> Result<Answer, SqlError> {
        self.admin().await?;
        let views = self.coordinator.repositories().list().await?;
        Ok(Answer::Rows(cells::repositories(&views).into()))
    }

    /// How a load or export reaches `location`, if the user may use it.
    pub(super) async fn access(
        &self,
        storage: Option<&StorageKind>,
        location: &str,
        properties: &BTreeMap<String, Secret>,
    ) -> Result<StorageAccess, SqlError> {
        let broker = broker(storage, location)?;
        let mut access =
            StorageAccess { location: location.to_owned(), properties: properties.clone(), brokers: Vec::new() };
        self.coordinator.check_location(&self.who, &access, broker).await?;
        if let Some(name) = broker {
            access.brokers = self.coordinator.brokers().addresses(name).await?;
        }
        Ok(access)
    }
}

/// The brokers to go through, if any.
fn broker<'a>(storage: Option<&'a StorageKind>, location: &str) -> Result<Option<&'a str>, Failure> {
    let (word, scheme) = match storage {
        None => return Ok(None),
        Some(StorageKind::Broker(name)) => return Ok(name.as_deref()),
        Some(StorageKind::S3) => ("S3", "s3://"),
        Some(StorageKind::Local) => ("LOCAL", "file://"),
    };
    // Its beginning tells what it is; the rest is checked when it is opened.
    let begins = location.get(..scheme.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(scheme));
    if begins || !location.contains("://") {
        return Ok(None);
    }
    let why = format!("WITH {word} needs a location that begins with {scheme}, {location} does not");
    Err(Failure::fatal(Kind::InvalidArgument, why))
}
