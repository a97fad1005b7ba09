//! Users and what they may do.

use tabvault_common::failure::{Failure, Kind};
use tabvault_common::secret::Secret;

use super::{done, noted, table, text};
use crate::sql::answer::Answer;
use crate::sql::error::SqlError;
use crate::sql::session::Session;
use crate::sql::statement::{User, UserStatement};

impl Session {
    pub(super) async fn user(&self, statement: &UserStatement) -> Result<Answer, SqlError> {
        if !self.is_own_password(statement) {
            self.admin().await?;
        }
        let users = self.coordinator.users()?;
        match statement {
            UserStatement::Create { user, if_not_exists, password } => {
                let nothing = Secret::default();
                let name = name(user)?;
                if users.create(name, password.as_ref().unwrap_or(&nothing), *if_not_exists).await? {
                    return Ok(done());
                }
                Ok(noted(vec![format!("User '{name}' already exist")]))
            }
            UserStatement::Drop { user, if_exists } => {
                let name = name(user)?;
                if users.drop_user(name, *if_exists).await? {
                    return Ok(done());
                }
                Ok(noted(vec![format!("User '{name}' does not exist")]))
            }
            UserStatement::Alter { user, password } => {
                users.set_password(name(user)?, password).await?;
                Ok(done())
            }
            UserStatement::SetPassword { user, password } => {
                let name = user.as_ref().map_or(Ok(self.who.user.as_str()), name)?;
                users.set_password(name, password).await?;
                Ok(done())
            }
            UserStatement::Grant(grant) => {
                users.grant(name(&grant.user)?, &grant.privilege).await?;
                Ok(done())
            }
            UserStatement::Revoke(grant) => {
                users.revoke(name(&grant.user)?, &grant.privilege).await?;
                Ok(done())
            }
        }
    }

    /// Whether it changes nothing but the password of who asks.
    fn is_own_password(&self, statement: &UserStatement) -> bool {
        match statement {
            UserStatement::SetPassword { user: None, .. } => true,
            UserStatement::SetPassword { user: Some(user), .. } | UserStatement::Alter { user, .. } => {
                self.is_own(user)
            }
            _ => false,
        }
    }

    fn is_own(&self, user: &User) -> bool {
        name(user).is_ok_and(|name| name == self.who.user)
    }

    pub(super) async fn show_grants(&self, user: Option<&User>) -> Result<Answer, SqlError> {
        if !user.is_none_or(|user| self.is_own(user)) {
            self.admin().await?;
        }
        let name = user.map_or(Ok(self.who.user.as_str()), name)?;
        let grants = self.coordinator.users()?.grants(name).await?;
        Ok(table(&[&format!("Grants for {name}@%")], grants.into_iter().map(|grant| vec![text(grant)]).collect()))
    }
}

/// The user's name. A user is the same from wherever it comes.
fn name(user: &User) -> Result<&str, Failure> {
    match user.host.as_deref() {
        None | Some("%") => Ok(&user.name),
        Some(host) => {
            let why = format!(
                "User '{}'@'{host}': a user may come from everywhere, leave the host out or write '%'",
                user.name
            );
            Err(Failure::fatal(Kind::InvalidArgument, why))
        }
    }
}
