//! What a load or an export holds in memory: taken from the agent's budget before it is held.

use tabvault_common::failure::{Failure, Kind};

use super::parallel::{BUFFER, IN_FLIGHT};
use crate::memory::{Memory, Reservation};
use crate::store::Result;

/// Bytes that an entry of a tree takes where most is held of it, beside what its path has above [`PATH`]: as measured.
pub(crate) const ENTRY: u64 = 600;

/// Bytes of a path that are part of [`ENTRY`].
pub(crate) const PATH: u64 = 64;

/// Bytes of the buffers of all files in flight.
pub(crate) const BUFFERS: u64 = (IN_FLIGHT * BUFFER) as u64;

/// Refuses `entries` bytes of entries that are too much for `memory`.
///
/// # Errors
/// `ResourceExhausted` with the setting to change.
pub(crate) fn check(memory: &Memory, entries: u64) -> Result<()> {
    let budget = memory.budget();
    if entries.saturating_add(BUFFERS) <= budget {
        return Ok(());
    }
    let message = format!(
        "the files for this backend take more than the {budget} bytes of memory that all its transfers may use, some \
         {ENTRY} each: raise memory_budget"
    );
    Err(Failure::fatal(Kind::ResourceExhausted, message))
}

/// Waits for room for `entries` bytes of entries and `buffers` bytes of buffers; answers with how many bytes of buffers
/// there may be. Entries that do not fit are refused; of buffers there may be fewer.
///
/// # Errors
/// As of [`check`].
pub(crate) async fn reserve(memory: &Memory, entries: u64, buffers: u64) -> Result<(Reservation, u64)> {
    check(memory, entries)?;
    let buffers = buffers.min(memory.budget() - entries);
    Ok((memory.reserve(entries + buffers).await?, buffers))
}
