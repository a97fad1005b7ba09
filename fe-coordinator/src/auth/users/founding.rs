//! How `root` comes to be.

use std::path::{Path, PathBuf};

use tabvault_common::durable;
use tabvault_common::failure::{Failure, Kind};
use tabvault_common::secret::Secret;

use super::{ROOT, Result, Users};
use crate::auth::secret_file;

/// How `root` stands after a start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Founded {
    /// The file in which `root`'s present password stands, unless somebody set another one.
    pub password_file: Option<PathBuf>,
}

impl Users {
    /// Makes `root` at the first start, with a random password that is written into `file`, readable for its owner only.
    /// `given` sets the password instead, at the first and at every later start, and removes the file, which would be
    /// wrong. To be called when the coordinator leads and before anybody is served.
    ///
    /// The file comes before the record: after a crash in between, the next call takes the password from the file.
    ///
    /// # Errors
    /// `InvalidArgument` for a password that cannot be one; else what disk and store say.
    pub async fn found_root(&self, file: &Path, given: Option<&Secret>) -> Result<Founded> {
        if let Some(password) = given {
            if !self.is_roots(password).await? {
                self.set_root(password).await?;
            }
            let file = file.to_owned();
            blocking(move || durable::remove_file(&file)).await?;
            return Ok(Founded { password_file: None });
        }
        let path = file.to_owned();
        if self.get(ROOT).await?.is_none() {
            let password = blocking(move || secret_file::found(&path)).await?;
            self.set_root(&password).await?;
            return Ok(Founded { password_file: Some(file.to_owned()) });
        }
        let stands = match blocking(move || secret_file::read(&path)).await {
            Ok(Some(password)) => self.is_roots(&password).await?,
            // A file that nobody needs any more stops no start.
            Ok(None) | Err(_) => false,
        };
        Ok(Founded { password_file: stands.then(|| file.to_owned()) })
    }

    async fn is_roots(&self, password: &Secret) -> Result<bool> {
        let Some((_, record)) = self.get(ROOT).await? else { return Ok(false) };
        let turn = self.hasher.turn().await?;
        self.hasher.verify(turn, Some(&record.password), password).await
    }

    async fn set_root(&self, password: &Secret) -> Result<()> {
        let new = self.record(password, true).await?;
        if self.commit(ROOT, None, Some(&new)).await? {
            return Ok(());
        }
        self.change(ROOT, |record| {
            record.password = new.password.clone();
            record.native = new.native.clone();
            Ok(())
        })
        .await
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Failure::transient(Kind::Internal, format!("look after root's password file: {error}")))?
}
