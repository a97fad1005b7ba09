//! What CREATE REPOSITORY wants to know of a storage: that it is there, that these keys may write, read, list and
//! delete, and whether an object can be created if and only if it does not exist.
//!
//! The last is found out by races. Some storages take the condition and ignore it, others check it and then write: a
//! second write after a first one tells the former, only several at once tell the latter.

use bytes::Bytes;
use futures::future::join_all;
use futures::stream::TryStreamExt;
use tabvault_common::failure::{Failure, Kind};
use uuid::Uuid;

use crate::storage::{Created, Result, Storage};

/// How many try to create the same object at once.
const CONTESTANTS: usize = 16;
/// How many such races there are; storages that check before they write lose one of these quickly.
const RACES: usize = 2;
/// More than any probe object has.
const LIMIT: u64 = 4096;

/// What a storage can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Probe {
    /// Whether [`Storage::create`] is atomic. Where it is not, only one cluster may write to a repository. Unknown, and
    /// therefore `false`, when nothing may be written.
    pub conditional_writes: bool,
}

/// Tries `storage` below `<root>/__probe/`; `root` is a path relative to the storage's location, without slashes around
/// it, and may be empty. First the root is listed; with `read_only` that is all.
///
/// Whatever it wrote it deletes again, also when a step fails. A crash may leave objects of a few bytes below `__probe/`,
/// which nothing reads.
///
/// # Errors
/// The failure of the first step that did not work, with the right that is missing: reach, write, read, list, delete.
pub async fn probe(storage: &dyn Storage, root: &str, read_only: bool) -> Result<Probe> {
    let base = if root.is_empty() { String::new() } else { format!("{root}/") };
    // Of all answers, that to a listing tells best whether this is the service that it is taken for.
    let listed = async { storage.list_level(&base).await?.try_next().await };
    listed.await.map_err(|failure| cannot("list", storage, failure))?;
    if read_only {
        return Ok(Probe { conditional_writes: false });
    }
    let dir = format!("{base}__probe/{}/", Uuid::new_v4().simple());
    let answer = steps(storage, &dir).await;
    let leftovers = names(&dir);
    match (answer, storage.delete(&leftovers).await) {
        (Err(failure), _) => Err(failure),
        (Ok(_), Err(failure)) => Err(cannot("delete", storage, failure)),
        (Ok(probe), Ok(())) => gone(storage, &dir).await.map(|()| probe),
    }
}

/// Every name that a probe below `dir` uses.
fn names(dir: &str) -> Vec<String> {
    std::iter::once(format!("{dir}object")).chain((0..RACES).map(|race| format!("{dir}race-{race}"))).collect()
}

async fn steps(storage: &dyn Storage, dir: &str) -> Result<Probe> {
    let path = format!("{dir}object");
    let data = Bytes::from(format!("written by a probe of tabvault as {path}"));
    storage.put(&path, data.clone()).await.map_err(|failure| cannot("write", storage, failure))?;
    let back = storage.get(&path, LIMIT).await.map_err(|failure| cannot("read", storage, failure))?;
    if back != data {
        return Err(Failure::fatal(
            Kind::FailedPrecondition,
            format!("{} gives back something else than was written to it", storage.location()),
        ));
    }
    let listed = async { storage.list(dir).await?.try_collect::<Vec<_>>().await };
    let listed = listed.await.map_err(|failure| cannot("list", storage, failure))?;
    if !listed.iter().any(|object| object.path == path && object.size == data.len() as u64) {
        return Err(Failure::fatal(
            Kind::FailedPrecondition,
            format!("{} does not list an object that was just written to it", storage.location()),
        ));
    }
    for race in 0..RACES {
        if !atomic(storage, &format!("{dir}race-{race}")).await? {
            return Ok(Probe { conditional_writes: false });
        }
    }
    Ok(Probe { conditional_writes: true })
}

/// Whether exactly one of many creators of `path` won, and its bytes stayed.
async fn atomic(storage: &dyn Storage, path: &str) -> Result<bool> {
    let own = |contestant: usize| Bytes::from(format!("contestant {contestant}"));
    let answers = join_all((0..CONTESTANTS).map(|contestant| storage.create(path, own(contestant)))).await;
    let mut winners = Vec::new();
    let mut trouble = None;
    for (contestant, answer) in answers.into_iter().enumerate() {
        match answer {
            Ok(Created::New) => winners.push(contestant),
            Ok(Created::Exists) => {}
            Err(failure) if failure.kind == Kind::Unsupported => return Ok(false),
            Err(failure) => trouble = Some(failure),
        }
    }
    if winners.len() > 1 {
        return Ok(false);
    }
    let there = match storage.get(path, LIMIT).await {
        Ok(there) => there,
        Err(failure) => return Err(cannot("create", storage, trouble.unwrap_or(failure))),
    };
    // One whose answer got lost may have won; then nobody may have been told that it did.
    let expected = match winners.first() {
        Some(winner) => there == own(*winner),
        None => trouble.is_some() && (0..CONTESTANTS).any(|contestant| there == own(contestant)),
    };
    let late = storage.create(path, Bytes::from_static(b"late")).await;
    let late = late.map_err(|failure| cannot("create", storage, failure))?;
    Ok(expected && late == Created::Exists)
}

/// Whether the objects are really gone: some services answer a deletion that they do not carry out.
async fn gone(storage: &dyn Storage, dir: &str) -> Result<()> {
    for path in names(dir) {
        let left = storage.stat(&path).await.map_err(|failure| cannot("read", storage, failure))?;
        if left.is_some() {
            return Err(Failure::fatal(
                Kind::FailedPrecondition,
                format!("{} keeps an object that was deleted ({path})", storage.location()),
            ));
        }
    }
    Ok(())
}

fn cannot(verb: &str, storage: &dyn Storage, failure: Failure) -> Failure {
    failure.context(format!("cannot {verb} in {}", storage.location()))
}

#[cfg(test)]
mod tests;
