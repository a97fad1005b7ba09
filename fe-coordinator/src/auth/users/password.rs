//! The two hashes of a password.

use std::fmt;

use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde::{Deserialize, Serialize};
use sha1::{Digest, Sha1};
use subtle::ConstantTimeEq;
use tabvault_common::failure::{Failure, Kind};
use tabvault_common::secret::Secret;

use crate::auth::secret_file::random_bytes;

/// Memory of one hash in KiB, passes over it, and lanes: what OWASP recommends for Argon2id.
const MEMORY: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

const SALT: usize = 16;
const HASH: usize = 32;

/// The slow hash of a password, with what is needed to make it again: the costs stand beside it, so that later versions
/// may raise them.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Argon2id {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
    salt: String,
    hash: String,
}

impl fmt::Debug for Argon2id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Argon2id").finish_non_exhaustive()
    }
}

impl Argon2id {
    /// Hashes `password` with a new salt. Takes some tens of milliseconds and 19 MiB.
    pub(super) fn of(password: &Secret) -> Result<Self, Failure> {
        let salt = random_bytes::<SALT>()?;
        let hash = hash(MEMORY, PASSES, LANES, &salt, password)?;
        let (salt, hash) = (STANDARD_NO_PAD.encode(salt), STANDARD_NO_PAD.encode(hash));
        Ok(Self { memory_kib: MEMORY, passes: PASSES, lanes: LANES, salt, hash })
    }

    /// Whether `password` is the one. Takes as long as [`Argon2id::of`].
    pub(super) fn is(&self, password: &Secret) -> Result<bool, Failure> {
        let decode = |text| STANDARD_NO_PAD.decode(text).map_err(|_| damaged());
        let (salt, known) = (decode(&self.salt)?, decode(&self.hash)?);
        let hash = hash(self.memory_kib, self.passes, self.lanes, &salt, password)?;
        Ok(hash.ct_eq(&known).into())
    }

    /// Takes as long as [`Argon2id::is`] and answers `false`.
    pub(super) fn nobody_is(password: &Secret) -> Result<bool, Failure> {
        std::hint::black_box(hash(MEMORY, PASSES, LANES, &[0; SALT], password)?);
        Ok(false)
    }

    /// What tells this hash from all others.
    pub(super) fn identity(&self) -> [&str; 2] {
        [&self.salt, &self.hash]
    }
}

fn hash(memory: u32, passes: u32, lanes: u32, salt: &[u8], password: &Secret) -> Result<[u8; HASH], Failure> {
    let params = Params::new(memory, passes, lanes, Some(HASH)).map_err(|_| damaged())?;
    let mut hash = [0; HASH];
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    argon2.hash_password_into(password.expose().as_bytes(), salt, &mut hash).map_err(|_| damaged())?;
    Ok(hash)
}

fn damaged() -> Failure {
    Failure::fatal(Kind::Corrupt, "the job store's record of the user is damaged: set a new password")
}

/// SHA1(SHA1(password)) in base64: what the server keeps for `mysql_native_password`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Native(String);

impl fmt::Debug for Native {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Native(..)")
    }
}

impl Native {
    pub(super) fn of(password: &Secret) -> Self {
        Self(STANDARD_NO_PAD.encode(Sha1::digest(Sha1::digest(password.expose().as_bytes()))))
    }

    /// That of no password that anybody knows.
    pub(super) fn nobody() -> Self {
        Self(STANDARD_NO_PAD.encode([0; 20]))
    }

    /// Whether `response` is the answer of somebody who knows the password to `salt`.
    pub(super) fn answers(&self, salt: &[u8; 20], response: &[u8]) -> bool {
        let known = STANDARD_NO_PAD.decode(&self.0).unwrap_or_default();
        // SHA1(password) is the response XOR SHA1(salt, known).
        let mask = Sha1::new().chain_update(salt).chain_update(&known).finalize();
        let once: Vec<u8> = response.iter().zip(&mask).map(|(a, b)| a ^ b).collect();
        let right = Sha1::digest(&once).ct_eq(&known);
        bool::from(right) & (response.len() == mask.len())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_known_again_and_no_other_is() {
        let hash = Argon2id::of(&Secret::new("s3cret")).unwrap();
        assert!(hash.is(&Secret::new("s3cret")).unwrap());
        assert!(!hash.is(&Secret::new("s3cret ")).unwrap());
        assert!(!Argon2id::nobody_is(&Secret::new("s3cret")).unwrap());
        assert_ne!(Argon2id::of(&Secret::new("s3cret")).unwrap(), hash);
    }

    #[test]
    fn a_record_with_other_costs_can_still_be_verified() {
        let password = Secret::new("s3cret");
        let (memory_kib, passes, lanes) = (64, 1, 1);
        let bytes = hash(memory_kib, passes, lanes, &[7; SALT], &password).unwrap();
        let (salt, hash) = (STANDARD_NO_PAD.encode([7; SALT]), STANDARD_NO_PAD.encode(bytes));
        assert!(Argon2id { memory_kib, passes, lanes, salt, hash }.is(&password).unwrap());
    }

    /// As a client computes it.
    fn response(password: &str, salt: &[u8; 20]) -> Vec<u8> {
        let once = Sha1::digest(password.as_bytes());
        let mask = Sha1::new().chain_update(salt).chain_update(Sha1::digest(once)).finalize();
        once.iter().zip(&mask).map(|(a, b)| a ^ b).collect()
    }

    #[test]
    fn the_native_answer_counts_for_its_password_and_its_salt_only() {
        let native = Native::of(&Secret::new("s3cret"));
        let salt = [9; 20];
        let right = response("s3cret", &salt);
        assert!(native.answers(&salt, &right));
        assert!(!native.answers(&[8; 20], &right));
        assert!(!native.answers(&salt, &response("other", &salt)));
        assert!(!native.answers(&salt, &[]));
        assert!(!native.answers(&salt, &right[..19]));
        assert!(!native.answers(&salt, &[right.as_slice(), &[0]].concat()));
        assert!(!Native::nobody().answers(&salt, &right));
    }

    #[test]
    fn the_native_hash_is_what_mysql_calls_password() {
        // SELECT PASSWORD('password'): *2470C0C06DEE42FD1618BB99005ADCA2EC9D1E19
        let Native(text) = Native::of(&Secret::new("password"));
        let bytes = STANDARD_NO_PAD.decode(text).unwrap();
        let hex: String = bytes.iter().map(|b| format!("{b:02X}")).collect();
        assert_eq!(hex, "2470C0C06DEE42FD1618BB99005ADCA2EC9D1E19");
    }
}
