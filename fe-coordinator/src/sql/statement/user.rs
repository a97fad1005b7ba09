//! Users and what they may do.

use tabvault_common::secret::Secret;

use crate::auth::Privilege;

/// A user as typed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct User {
    /// The name.
    pub name: String,
    /// What stands behind `@`; `None` for nothing, which means `%`.
    pub host: Option<String>,
}

/// A privilege and whose it becomes or was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The privilege.
    pub privilege: Privilege,
    /// The user.
    pub user: User,
}

/// A statement about users.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserStatement {
    /// CREATE USER.
    Create {
        /// The user.
        user: User,
        /// Whether an existing one is no error.
        if_not_exists: bool,
        /// IDENTIFIED BY; `None` for an empty password.
        password: Option<Secret>,
    },
    /// ALTER USER … IDENTIFIED BY.
    Alter {
        /// The user.
        user: User,
        /// The new password.
        password: Secret,
    },
    /// SET PASSWORD.
    SetPassword {
        /// Whose; `None` for who asks.
        user: Option<User>,
        /// The new password.
        password: Secret,
    },
    /// DROP USER.
    Drop {
        /// The user.
        user: User,
        /// Whether a missing one is no error.
        if_exists: bool,
    },
    /// GRANT.
    Grant(Grant),
    /// REVOKE.
    Revoke(Grant),
}
