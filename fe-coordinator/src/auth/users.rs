//! The built-in users, kept in the job store.
//!
//! # Overview
//! A user is one small record, `user/<name>`: two hashes of the password, and what the user may do. Names are
//! case-sensitive: a letter or `_`, then letters, digits, `_`, `.` or `-`, at most 64. `root` is made at the first start
//! ([`Users::found_root`]), has ADMIN, and keeps it.
//!
//! The password is kept twice: as Argon2id, slow to guess, against which passwords are verified; and as
//! SHA1(SHA1(password)), which `mysql_native_password` needs. Whoever reads the second one from the job store can guess
//! many passwords a second against it, and with what he overhears of one login he can log in as that user: the store
//! must be as private as the passwords, and passwords must be long.
//!
//! # Consistency
//! Changes are transactions on one record, under the epoch of the leadership: two changes at once both happen, one
//! after the other. Every login and every question for a privilege reads the record, so that a change counts at once,
//! also for those who are logged in. A login that was verified is remembered for five minutes at most, and no longer
//! than the record stays the same.
//!
//! # Crash consistency
//! What has answered is durable. `root`'s password is in its file before the record is made, so that a crash in between
//! locks nobody out: the next start takes the password from the file.
//!
//! # Cancellation
//! A dropped future leaves a change done or not done. A verification under way ends by itself.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use tabvault_common::clock::Clock;
use tabvault_common::failure::{Failure, Kind};
use tabvault_common::ids::Epoch;
use tabvault_common::secret::Secret;

use self::failures::Failures;
use self::hasher::Hasher;
use self::password::{Argon2id, Native};
use self::remembered::Remembered;
use super::{Authorizer, Identity, Privilege, Proof, denied};
use crate::store::{Committed, JobStore, Transaction};

mod failures;
mod founding;
mod hasher;
mod password;
mod remembered;
#[cfg(test)]
mod tests;

pub use founding::Founded;

type Result<T> = std::result::Result<T, Failure>;

/// The user that always exists.
pub const ROOT: &str = "root";
/// Longest name of a user, in bytes.
pub const MAX_NAME: usize = 64;
/// Longest password, in bytes.
pub const MAX_PASSWORD: usize = 256;
/// Most databases that one user has LOAD_PRIV on: a record stays small.
pub const MAX_GRANTS: usize = 256;

const PREFIX: &str = "user/";

#[derive(Clone, Serialize, Deserialize)]
struct Record {
    password: Argon2id,
    native: Native,
    admin: bool,
    load: BTreeSet<String>,
}

/// See the module.
pub struct Users {
    store: Arc<dyn JobStore>,
    /// Of the leadership; 0, which is none's, before it has begun.
    epoch: AtomicU64,
    clock: Arc<dyn Clock>,
    agent_token: Secret,
    hasher: Hasher,
    remembered: Remembered,
    failures: Failures,
}

impl fmt::Debug for Users {
    /// Without anything that is a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Users").field("epoch", &self.epoch).finish_non_exhaustive()
    }
}

impl Users {
    /// The users in `store`, and agents that show `agent_token`. Nothing can be changed until a coordinator leads.
    ///
    /// # Errors
    /// That the system gives no random bytes.
    pub fn new(store: Arc<dyn JobStore>, clock: Arc<dyn Clock>, agent_token: Secret) -> Result<Self> {
        Ok(Self {
            store,
            epoch: AtomicU64::new(0),
            clock,
            agent_token,
            hasher: Hasher::new(),
            remembered: Remembered::new()?,
            failures: Failures::default(),
        })
    }

    /// Writes under `epoch` from now on.
    pub(crate) fn lead(&self, epoch: Epoch) {
        self.epoch.store(epoch.0, Ordering::Relaxed);
    }

    /// CREATE USER, without any privilege. Answers whether the user is new; one that exists stays as it is.
    ///
    /// # Errors
    /// `InvalidArgument` for a wrong name or password; `AlreadyExists` unless `if_not_exists`; else what the store says.
    pub async fn create(&self, name: &str, password: &Secret, if_not_exists: bool) -> Result<bool> {
        check_name(name)?;
        let record = self.record(password, false).await?;
        match self.commit(name, None, Some(&record)).await? {
            true => Ok(true),
            false if if_not_exists => Ok(false),
            false => Err(Failure::fatal(Kind::AlreadyExists, format!("User '{name}' already exist"))),
        }
    }

    /// DROP USER. Answers whether there was one.
    ///
    /// # Errors
    /// `FailedPrecondition` for `root`; `NotFound` unless `if_exists`; else what the store says.
    pub async fn drop_user(&self, name: &str, if_exists: bool) -> Result<bool> {
        if name == ROOT {
            return Err(Failure::fatal(Kind::FailedPrecondition, "User 'root' can not be dropped"));
        }
        loop {
            let Some((bytes, _)) = self.get(name).await? else {
                return if if_exists { Ok(false) } else { Err(unknown(name)) };
            };
            if self.commit(name, Some(bytes), None).await? {
                return Ok(true);
            }
        }
    }

    /// SET PASSWORD. Whoever is logged in stays so.
    ///
    /// # Errors
    /// `InvalidArgument` for a wrong password; `NotFound`; else what the store says.
    pub async fn set_password(&self, name: &str, password: &Secret) -> Result<()> {
        let new = self.record(password, false).await?;
        self.change(name, |record| {
            record.password = new.password.clone();
            record.native = new.native.clone();
            Ok(())
        })
        .await
    }

    /// GRANT. What is granted already is no error.
    ///
    /// # Errors
    /// `NotFound`; `ResourceExhausted` for too many databases; else what the store says.
    pub async fn grant(&self, name: &str, privilege: &Privilege) -> Result<()> {
        self.change(name, |record| {
            match privilege {
                Privilege::Admin => record.admin = true,
                Privilege::Load(database) => {
                    record.load.insert(database.clone());
                }
            }
            if record.load.len() > MAX_GRANTS {
                let why = format!("User '{name}' has LOAD_PRIV on {MAX_GRANTS} databases: grant ADMIN_PRIV instead");
                return Err(Failure::fatal(Kind::ResourceExhausted, why));
            }
            Ok(())
        })
        .await
    }

    /// REVOKE.
    ///
    /// # Errors
    /// `FailedPrecondition` for ADMIN of `root`; `NotFound` for the user, or for what was not granted; else what the
    /// store says.
    pub async fn revoke(&self, name: &str, privilege: &Privilege) -> Result<()> {
        if name == ROOT && *privilege == Privilege::Admin {
            let why = "ADMIN_PRIV can not be revoked from user 'root'";
            return Err(Failure::fatal(Kind::FailedPrecondition, why));
        }
        self.change(name, |record| {
            let had = match privilege {
                Privilege::Admin => std::mem::take(&mut record.admin),
                Privilege::Load(database) => record.load.remove(database),
            };
            let words =
                || format!("There is no such grant defined for user '{name}': SHOW GRANTS lists those that are");
            if had { Ok(()) } else { Err(Failure::fatal(Kind::NotFound, words())) }
        })
        .await
    }

    /// SHOW GRANTS: statements that give the user what it has, such as `GRANT ADMIN_PRIV ON *.* TO 'root'`.
    ///
    /// # Errors
    /// `NotFound`; else what the store says.
    pub async fn grants(&self, name: &str) -> Result<Vec<String>> {
        let (_, record) = self.get(name).await?.ok_or_else(|| unknown(name))?;
        let admin = record.admin.then(|| format!("GRANT ADMIN_PRIV ON *.* TO '{name}'"));
        let load = |database: &String| format!("GRANT LOAD_PRIV ON `{}`.* TO '{name}'", database.replace('`', "``"));
        Ok(admin.into_iter().chain(record.load.iter().map(load)).collect())
    }

    async fn record(&self, password: &Secret, admin: bool) -> Result<Record> {
        check_password(password)?;
        let native = Native::of(password);
        Ok(Record { password: self.hasher.hash(password).await?, native, admin, load: BTreeSet::new() })
    }

    /// The record of a user with the bytes it stands in. A name that no user can have is nobody's.
    async fn get(&self, name: &str) -> Result<Option<(Bytes, Record)>> {
        if check_name(name).is_err() {
            return Ok(None);
        }
        let Some(bytes) = self.store.get(&key(name)).await? else { return Ok(None) };
        // serde's words might quote what stands there.
        let record = serde_json::from_slice(&bytes).map_err(|_| {
            Failure::fatal(Kind::Corrupt, format!("the job store's record of user '{name}' is damaged"))
        })?;
        Ok(Some((bytes, record)))
    }

    async fn change(&self, name: &str, change: impl Fn(&mut Record) -> Result<()>) -> Result<()> {
        loop {
            let (bytes, mut record) = self.get(name).await?.ok_or_else(|| unknown(name))?;
            change(&mut record)?;
            if self.commit(name, Some(bytes), Some(&record)).await? {
                return Ok(());
            }
        }
    }

    /// Whether the record could be changed from `old` to `new`.
    async fn commit(&self, name: &str, old: Option<Bytes>, new: Option<&Record>) -> Result<bool> {
        let (mut change, key) = (Transaction::default(), key(name));
        match new {
            Some(record) => {
                let bytes = serde_json::to_vec(record)
                    .map_err(|error| Failure::fatal(Kind::Internal, format!("encode user '{name}': {error}")))?;
                change.put.push((key.clone(), bytes.into()));
            }
            None => change.delete.push(key.clone()),
        }
        change.expect.push((key, old));
        let epoch = Epoch(self.epoch.load(Ordering::Relaxed));
        Ok(self.store.commit(epoch, change).await? == Committed::Done)
    }

    /// Whether the password is the record's; of nobody, after the same time, it is not.
    async fn verify(&self, user: &str, record: Option<&Record>, password: &Secret) -> Result<bool> {
        let hash = record.map(|record| &record.password);
        let known = || hash.is_some_and(|hash| self.remembered.knows(user, hash, password, self.clock.now()));
        if known() {
            return Ok(true);
        }
        self.failures.admit(user, self.clock.now())?;
        let turn = self.hasher.turn().await?;
        // Others may have asked the same meanwhile, or failed.
        if known() {
            return Ok(true);
        }
        self.failures.admit(user, self.clock.now())?;
        let right = self.hasher.verify(turn, hash, password).await?;
        if let (Some(hash), true) = (hash, right) {
            self.remembered.insert(user, hash, password, self.clock.now());
        }
        self.failures.count(user, right, self.clock.now());
        Ok(right)
    }
}

#[async_trait]
impl Authorizer for Users {
    async fn authenticate(&self, user: &str, proof: &Proof) -> Result<Identity> {
        if user.is_empty() {
            return Err(Failure::fatal(Kind::Unauthenticated, "Access denied for user ''"));
        }
        let found = self.get(user).await?;
        let record = found.as_ref().map(|(_, record)| record);
        let right = match proof {
            Proof::Password(password) => self.verify(user, record, password).await?,
            Proof::MysqlNative { salt, response } => {
                let now = self.clock.now();
                self.failures.admit(user, now)?;
                let nobody = Native::nobody();
                let right = record.map_or(&nobody, |record| &record.native).answers(salt, response) & record.is_some();
                self.failures.count(user, right, now);
                right
            }
        };
        if right {
            return Ok(Identity { user: user.to_owned() });
        }
        // A name is shown as far as it can be one.
        let shown: String = user.chars().take(MAX_NAME).map(|c| if c.is_control() { '?' } else { c }).collect();
        Err(Failure::fatal(Kind::Unauthenticated, format!("Access denied for user '{shown}'")))
    }

    async fn agent(&self, token: Option<&Secret>) -> Result<()> {
        let why = match token {
            Some(token) if token.expose().as_bytes().ct_eq(self.agent_token.expose().as_bytes()).into() => {
                return Ok(());
            }
            Some(_) => "the agent's token is not this cluster's",
            None => "the agent shows no token",
        };
        let right = "give the agent the token of the coordinator's agent.token, by --agent-token-file or \
                     TABVAULT_AGENT_TOKEN";
        Err(Failure::fatal(Kind::Unauthenticated, format!("{why}: {right}")))
    }

    async fn authorize(&self, who: &Identity, privilege: &Privilege) -> Result<()> {
        let found = self.get(&who.user).await?;
        let may = found.is_some_and(|(_, record)| match privilege {
            Privilege::Admin => record.admin,
            Privilege::Load(database) => record.admin || record.load.contains(database),
        });
        if may { Ok(()) } else { Err(denied(privilege)) }
    }
}

fn key(name: &str) -> String {
    format!("{PREFIX}{name}")
}

fn unknown(name: &str) -> Failure {
    Failure::fatal(Kind::NotFound, format!("User '{name}' does not exist"))
}

/// Refuses what cannot be a user's name.
///
/// # Errors
/// `InvalidArgument` with what would be right.
pub fn check_name(name: &str) -> Result<()> {
    let mut bytes = name.bytes();
    let first = bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
    if first && name.len() <= MAX_NAME && bytes.all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b)) {
        return Ok(());
    }
    let why = format!("a user's name is a letter or _, then letters, digits, _, . or -, at most {MAX_NAME} in all");
    Err(Failure::fatal(Kind::InvalidArgument, why))
}

fn check_password(password: &Secret) -> Result<()> {
    if (1..=MAX_PASSWORD).contains(&password.expose().len()) {
        return Ok(());
    }
    let why = format!("a password must have 1 to {MAX_PASSWORD} bytes: write IDENTIFIED BY 'password'");
    Err(Failure::fatal(Kind::InvalidArgument, why))
}
