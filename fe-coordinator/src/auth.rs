//! Who asks, and what they may do: the `Authorizer` port.
//!
//! # Overview
//! Every way in (gRPC, MySQL) first learns who somebody is ([`Authorizer::authenticate`]) and then asks, statement by
//! statement, whether they may ([`Authorizer::authorize`]). It asks before it looks up any name: whoever has no
//! privilege learns nothing of what exists. Built in are users kept in the job store, and an open door for
//! frontends that guard it themselves.

use std::fmt;

use async_trait::async_trait;
use tabvault_common::failure::{Failure, Kind};
use tabvault_common::secret::Secret;

pub mod secret_file;
pub mod users;

/// Somebody who has proved who they are.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The user's name.
    pub user: String,
}

/// How somebody proves who they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// The password itself, over TLS or loopback.
    Password(Secret),
    /// The answer to the salt of `mysql_native_password`: SHA1(password) XOR SHA1(salt, SHA1(SHA1(password))); empty
    /// for an empty password.
    MysqlNative {
        /// What the server sent.
        salt: [u8; 20],
        /// What the client answered.
        response: Vec<u8>,
    },
}

/// What one needs a privilege for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Privilege {
    /// `ADMIN_PRIV ON *.*`: backup, restore, repositories, brokers, backends, DDL, users.
    Admin,
    /// `LOAD_PRIV ON db.*`: loads and exports, and to see the tables of that database. `Admin` includes it.
    Load(String),
}

/// Who may do what.
#[async_trait]
pub trait Authorizer: Send + Sync + fmt::Debug {
    /// Who this is.
    ///
    /// # Errors
    /// `Unauthenticated` "Access denied for user 'u'", in the same words and after the same time whether the user does
    /// not exist or the proof is wrong.
    async fn authenticate(&self, user: &str, proof: &Proof) -> Result<Identity, Failure>;

    /// Whether an agent that shows this token belongs to the cluster; `None`: it shows none.
    ///
    /// # Errors
    /// `Unauthenticated`.
    async fn agent(&self, token: Option<&Secret>) -> Result<(), Failure>;

    /// Whether `who` may do what needs `privilege`.
    ///
    /// # Errors
    /// `PermissionDenied` "Access denied; you need (at least one of) the ADMIN privilege(s) for this operation".
    async fn authorize(&self, who: &Identity, privilege: &Privilege) -> Result<(), Failure>;
}

/// That `who` lacks `privilege`: the words users search for.
#[must_use]
pub fn denied(privilege: &Privilege) -> Failure {
    let names = match privilege {
        Privilege::Admin => "ADMIN",
        Privilege::Load(_) => "ADMIN, LOAD",
    };
    let why = format!("Access denied; you need (at least one of) the {names} privilege(s) for this operation");
    Failure::fatal(Kind::PermissionDenied, why)
}

/// Lets everybody do everything: for frontends that guard the door themselves, and for tests.
#[derive(Debug, Clone, Copy, Default)]
pub struct Open;

#[async_trait]
impl Authorizer for Open {
    async fn authenticate(&self, user: &str, _: &Proof) -> Result<Identity, Failure> {
        Ok(Identity { user: user.to_owned() })
    }

    async fn agent(&self, _: Option<&Secret>) -> Result<(), Failure> {
        Ok(())
    }

    async fn authorize(&self, _: &Identity, _: &Privilege) -> Result<(), Failure> {
        Ok(())
    }
}
