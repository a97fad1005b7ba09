//! JSON objects that carry their own digest: small, read by people, and any flipped byte shows.
//!
//! # Overview
//! The text is indented JSON. Its last two lines are always `  "digest": "<64 hexadecimal characters>"` and `}`; the
//! digest is BLAKE3 of every byte before those two lines. So a shell can check it, too:
//! ```sh
//! head -n -2 OBJECT | b3sum    # must print the same as
//! jq -r .digest OBJECT
//! ```
//!
//! # Consistency
//! The tail must be spelt exactly as written here, and everything else is under the digest: there is no byte that can
//! change unseen. The seal is the same in every format version, so that a damaged version number is told from a newer
//! version.

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{check_version, corrupt, misuse};
use crate::digest::Digest;
use crate::failure::Failure;

const BEFORE_DIGEST: &str = "  \"digest\": \"";
const AFTER_DIGEST: &str = "\"\n}\n";
const TAIL: usize = BEFORE_DIGEST.len() + 64 + AFTER_DIGEST.len();

#[derive(Deserialize)]
struct Versioned {
    format_version: u32,
}

/// The sealed text of `value`, which must be a JSON object with a `format_version` and without a field `digest`.
/// `name` is for the message of a failure, which only a value that is no such object can cause.
pub fn seal<T: Serialize>(name: &str, value: &T) -> Result<Bytes, Failure> {
    let mut text = serde_json::to_vec_pretty(value).map_err(|error| misuse(name, error))?;
    if !text.ends_with(b"\n}") {
        return Err(misuse(name, "only an object with fields can be sealed"));
    }
    text.truncate(text.len() - 2);
    text.extend_from_slice(b",\n");
    let digest = Digest::of(&text);
    text.extend_from_slice(format!("{BEFORE_DIGEST}{digest}{AFTER_DIGEST}").as_bytes());
    Ok(text.into())
}

/// The value in a sealed text. `path` names the object in failures; more than `limit` bytes are refused unread.
///
/// # Errors
/// [`crate::failure::Kind::Corrupt`] if a byte is not as it was written,
/// [`crate::failure::Kind::Unsupported`] if a newer program wrote it.
pub fn open<T: DeserializeOwned>(path: &str, bytes: &[u8], limit: u64) -> Result<T, Failure> {
    if bytes.len() as u64 > limit {
        return Err(corrupt(path, format_args!("it has {} bytes, more than {limit}", bytes.len())));
    }
    let cut = bytes.len().checked_sub(TAIL).ok_or_else(|| corrupt(path, "it is too short"))?;
    let (text, tail) = bytes.split_at(cut);
    let claimed = tail
        .strip_prefix(BEFORE_DIGEST.as_bytes())
        .and_then(|rest| rest.strip_suffix(AFTER_DIGEST.as_bytes()))
        .ok_or_else(|| corrupt(path, "its digest is missing"))?;
    let actual = Digest::of(text);
    // Compared as text: a digest in capitals is a flipped byte, too.
    if claimed != actual.to_string().as_bytes() {
        return Err(corrupt(
            path,
            format_args!("its digest is {actual}, it says {}", String::from_utf8_lossy(claimed)),
        ));
    }
    let version: Versioned = serde_json::from_slice(bytes).map_err(|error| corrupt(path, error))?;
    check_version(path, version.format_version)?;
    serde_json::from_slice(bytes).map_err(|error| corrupt(path, error))
}
