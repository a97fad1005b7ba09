//! Secrets that a process makes at its first start, in files that only their owner can read.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tabvault_common::durable::{self, Creation};
use tabvault_common::failure::{Failure, Kind};
use tabvault_common::secret::Secret;

/// Random bytes of a secret: 144 bits, 24 characters.
const RANDOM: usize = 18;

/// The secret in the file `path`; a new random one, readable for its owner only, if there is no such file. Blocks.
///
/// Of racing callers all get the same. A crash leaves a whole file or none.
///
/// # Errors
/// An empty file, or what the disk says.
pub fn found(path: &Path) -> Result<Secret, Failure> {
    if let Some(secret) = read(path)? {
        return Ok(secret);
    }
    let new = random()?;
    match durable::create_private_file(path, format!("{}\n", new.expose()).as_bytes())? {
        Creation::Created => Ok(new),
        Creation::Exists => read(path)?
            .ok_or_else(|| Failure::transient(Kind::Busy, format!("somebody removes {}: try again", path.display()))),
    }
}

/// The secret in the file `path`, without the white space around it; `None` if there is no such file. Blocks.
///
/// # Errors
/// An empty file, or what the disk says.
pub fn read(path: &Path) -> Result<Option<Secret>, Failure> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Failure::io(format_args!("read {}", path.display()), &error)),
    };
    match text.trim() {
        "" => {
            let why = format!("{} is empty: write a secret into it, or remove it to get a new one", path.display());
            Err(Failure::fatal(Kind::InvalidArgument, why))
        }
        secret => Ok(Some(Secret::new(secret))),
    }
}

/// Bytes that nobody can guess.
pub(crate) fn random_bytes<const N: usize>() -> Result<[u8; N], Failure> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|error| Failure::transient(Kind::Internal, format!("get random bytes: {error}")))?;
    Ok(bytes)
}

fn random() -> Result<Secret, Failure> {
    Ok(Secret::new(URL_SAFE_NO_PAD.encode(random_bytes::<RANDOM>()?)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_secret_is_made_once_and_only_its_owner_can_read_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("agent.token");
        assert_eq!(read(&path).unwrap(), None);
        let secret = found(&path).unwrap();
        assert_eq!(secret.expose().len(), 24);
        assert_eq!(found(&path).unwrap(), secret);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_ne!(found(&dir.path().join("other")).unwrap(), secret);
    }

    #[test]
    fn an_empty_file_is_no_secret() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("agent.token");
        durable::write_file(&path, b" \n").unwrap();
        assert!(found(&path).unwrap_err().message.contains("is empty"));
    }
}
