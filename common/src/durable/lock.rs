//! One process per directory.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::path::Path;

use crate::failure::{Failure, Kind};

/// Holds a directory until it is dropped or the process ends, however it ends: nobody removes a lock by hand.
#[derive(Debug)]
pub struct DirLock {
    /// The kernel lets go of the lock when this is closed.
    _file: File,
}

/// Takes the directory `dir`, which must exist, for this process by a lock on its file `LOCK`. The file says which
/// process holds it and stays behind; only the kernel's lock on it counts.
///
/// # Errors
/// [`Kind::Busy`] if another process, or another lock of this process, holds it.
pub fn lock_dir(dir: &Path) -> Result<DirLock, Failure> {
    let path = dir.join("LOCK");
    let failed = |error: &std::io::Error| Failure::io(format_args!("lock {}", path.display()), error);
    let mut file =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(|e| failed(&e))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            // Only for the message: the holder may not have written it yet.
            let mut holder = String::new();
            let known = (&file).take(32).read_to_string(&mut holder).is_ok();
            let holder = holder.trim();
            let holder = if known && !holder.is_empty() { format!(" (pid {holder})") } else { String::new() };
            let message = format!("directory {} is used by another process{holder}", dir.display());
            return Err(Failure::transient(Kind::Busy, message));
        }
        Err(TryLockError::Error(error)) => return Err(failed(&error)),
    }
    file.set_len(0)
        .and_then(|()| file.write_all(format!("{}\n", std::process::id()).as_bytes()))
        .map_err(|error| failed(&error))?;
    Ok(DirLock { _file: file })
}
