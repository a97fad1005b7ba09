//! What every store refuses before it looks at its records: the same limits for all, so that a test over the memory
//! store finds what etcd would refuse.

use std::collections::BTreeSet;

use tabvault_common::failure::{Failure, Kind};
use tabvault_common::ids::Epoch;

use super::{MAX_OPERATIONS, MAX_VALUE, Result, Transaction};

/// Longest key in bytes.
pub const MAX_KEY: usize = 1024;

/// Refuses a transaction that breaks a limit or names one key in two changes.
///
/// # Errors
/// `InvalidArgument` with the limit and the first key that breaks it.
pub fn check(transaction: &Transaction) -> Result<()> {
    let operations = transaction.expect.len() + transaction.put.len() + transaction.delete.len();
    if operations > MAX_OPERATIONS {
        return Err(refused(format!(
            "commit a transaction of {operations} operations: at most {MAX_OPERATIONS} fit, split it"
        )));
    }
    for (key, value) in &transaction.put {
        if value.len() > MAX_VALUE {
            return Err(refused(format!(
                "write record {key}: {} bytes, at most {MAX_VALUE} fit, keep it as a large value",
                value.len()
            )));
        }
    }
    let mut expected = BTreeSet::new();
    for (key, _) in &transaction.expect {
        check_key(key)?;
        if !expected.insert(key) {
            return Err(refused(format!("commit a transaction: record {key} is expected twice, once is right")));
        }
    }
    let mut changed = BTreeSet::new();
    for key in transaction.put.iter().map(|(key, _)| key).chain(&transaction.delete) {
        check_key(key)?;
        if !changed.insert(key) {
            return Err(refused(format!("commit a transaction: record {key} is changed twice, once is right")));
        }
    }
    Ok(())
}

/// The refusal of a coordinator that leads no longer (or never led).
pub(crate) fn stale(given: Epoch, newest: Epoch) -> Failure {
    Failure::fatal(
        Kind::Stale,
        format!("commit a transaction of epoch {given}: another coordinator leads with epoch {newest}"),
    )
}

fn check_key(key: &str) -> Result<()> {
    if key.is_empty() || key.len() > MAX_KEY {
        let shown: String = key.chars().take(80).collect();
        return Err(refused(format!(
            "commit a transaction: key `{shown}` has {} bytes, 1 to {MAX_KEY} are right",
            key.len()
        )));
    }
    Ok(())
}

fn refused(message: String) -> Failure {
    Failure::fatal(Kind::InvalidArgument, message)
}
