//! Values larger than a record.
//!
//! # Overview
//! A value is cut into chunks of at most [`MAX_VALUE`] bytes, kept as the records `<key>/<generation>/<n>`; the record
//! at `key` is JSON with their generation, their count, and length and digest of the whole. Whoever scans below `key`
//! meets the chunks as well.
//!
//! # Consistency
//! Every write is a generation of its own, named at random, so that chunks of two writes never mix. A reader who is
//! overtaken by a write reads again. The digest is checked on every read.
//!
//! # Crash consistency
//! Chunks are durable before the record that names them. A crash leaves the old value or the new one, and at most
//! chunks that no record names; [`sweep_large`] removes those.
//!
//! # Cancellation
//! As a crash: the write may have happened, and chunks may be left over.

use bytes::{Bytes, BytesMut};
use serde::{Deserialize, Serialize};
use tabvault_common::digest::Digest;
use tabvault_common::failure::{Failure, Kind};
use tabvault_common::ids::Epoch;
use uuid::Uuid;

use super::{Committed, JobStore, MAX_OPERATIONS, MAX_VALUE, Result, Transaction};

/// Largest value in bytes.
pub const MAX_LARGE: usize = 1 << 30;

/// Chunks written in one transaction: 1 MiB, because etcd takes requests of up to 1.5 MiB.
const CHUNKS_PER_COMMIT: usize = 16;

/// How often a reader lets himself be overtaken.
const READS: u32 = 8;

/// Width of a chunk's number, so that chunks are in order.
const NUMBER_WIDTH: usize = 8;

/// Length of a generation: a UUID as 32 hexadecimal digits.
const GENERATION_WIDTH: usize = 32;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    chunks: u32,
    length: u64,
    digest: Digest,
    generation: String,
}

/// Writes the value at `key`, in place of what stands there.
///
/// # Errors
/// `Stale` when another coordinator leads; `Busy` when somebody else wrote the same key meanwhile; errors of the store.
pub async fn put_large(store: &dyn JobStore, epoch: Epoch, key: &str, value: &Bytes) -> Result<()> {
    let before = store.get(key).await?;
    let record = stage_large(store, epoch, key, value).await?;
    let change = Transaction {
        expect: vec![(key.to_owned(), before.clone())],
        put: vec![(key.to_owned(), record)],
        delete: Vec::new(),
    };
    committed(store.commit(epoch, change).await?, key)?;
    match before {
        Some(before) => remove_chunks(store, epoch, key, &parse(key, &before)?).await,
        None => Ok(()),
    }
}

/// Writes the chunks of a value and answers with the record to put at `key`, for callers who change other records in
/// the same transaction. Until that is committed nothing has changed for readers. The chunks of a value that stood
/// there before are left to [`sweep_large`].
///
/// # Errors
/// `ResourceExhausted` for more than [`MAX_LARGE`] bytes; as [`JobStore::commit`].
pub async fn stage_large(store: &dyn JobStore, epoch: Epoch, key: &str, value: &Bytes) -> Result<Bytes> {
    if value.len() > MAX_LARGE {
        let message = format!("write large value {key}: {} bytes, at most {MAX_LARGE} fit", value.len());
        return Err(Failure::fatal(Kind::ResourceExhausted, message));
    }
    let generation = Uuid::new_v4().simple().to_string();
    let mut rest = value.clone();
    let mut chunks = 0_u32;
    while !rest.is_empty() {
        let mut change = Transaction::default();
        while !rest.is_empty() && change.put.len() < CHUNKS_PER_COMMIT {
            let chunk = rest.split_to(rest.len().min(MAX_VALUE));
            change.put.push((chunk_key(key, &generation, chunks), chunk));
            chunks += 1;
        }
        committed(store.commit(epoch, change).await?, key)?;
    }
    let record = Record { chunks, length: value.len() as u64, digest: Digest::of(value), generation };
    let bytes = serde_json::to_vec(&record)
        .map_err(|error| Failure::fatal(Kind::Internal, format!("write large value {key}: {error}")))?;
    Ok(bytes.into())
}

/// The value at `key`, `None` if there is none.
///
/// # Errors
/// `Corrupt` naming `key` if chunks are missing or damaged; `Busy` if it is written all the time; errors of the store.
pub async fn get_large(store: &dyn JobStore, key: &str) -> Result<Option<Bytes>> {
    for _ in 0..READS {
        let Some(stored) = store.get(key).await? else { return Ok(None) };
        let record = parse(key, &stored)?;
        match read_chunks(store, key, &record).await? {
            Some(value) if Digest::of(&value) == record.digest => return Ok(Some(value)),
            _ => {
                // Overtaken by a writer who removed these chunks, or damaged?
                if store.get(key).await? == Some(stored) {
                    return Err(corrupt(key, "its chunks are missing or are not what was written"));
                }
            }
        }
    }
    Err(Failure::transient(Kind::Busy, format!("read large value {key}: it is being written all the time")))
}

/// Removes the value at `key`; none there is no error.
///
/// # Errors
/// `Stale` when another coordinator leads; `Busy` when somebody else wrote the same key meanwhile; errors of the store.
pub async fn delete_large(store: &dyn JobStore, epoch: Epoch, key: &str) -> Result<()> {
    let Some(stored) = store.get(key).await? else { return Ok(()) };
    let record = parse(key, &stored)?;
    let change =
        Transaction { expect: vec![(key.to_owned(), Some(stored))], put: Vec::new(), delete: vec![key.to_owned()] };
    committed(store.commit(epoch, change).await?, key)?;
    remove_chunks(store, epoch, key, &record).await
}

/// Removes the chunks below `prefix` that no record names, and answers with their number. To be called when a
/// leadership begins, before its first write of a large value below `prefix`: chunks of a write that is under way are
/// not named by a record yet.
///
/// # Errors
/// `Stale` when another coordinator leads; errors of the store.
pub async fn sweep_large(store: &dyn JobStore, epoch: Epoch, prefix: &str) -> Result<usize> {
    let mut swept = 0;
    let mut after: Option<String> = None;
    // Of the value whose chunks are being met: its key and the generation that counts.
    let mut owner: Option<(String, Option<Record>)> = None;
    loop {
        let page = store.scan(prefix, after.as_deref(), CHUNKS_PER_COMMIT).await?;
        let Some((last, _)) = page.last() else { return Ok(swept) };
        after = Some(last.clone());
        let mut orphans = Vec::new();
        for (chunk, _) in &page {
            let Some((key, generation, number)) = split_chunk_key(chunk) else { continue };
            if owner.as_ref().is_none_or(|(known, _)| known != key) {
                let record = store.get(key).await?.map(|stored| parse(key, &stored)).transpose()?;
                owner = Some((key.to_owned(), record));
            }
            let record = owner.as_ref().and_then(|(_, record)| record.as_ref());
            if record.is_none_or(|record| record.generation != generation || number >= record.chunks) {
                orphans.push(chunk.clone());
            }
        }
        swept += orphans.len();
        if !orphans.is_empty() {
            let change = Transaction { delete: orphans, ..Transaction::default() };
            committed(store.commit(epoch, change).await?, prefix)?;
        }
    }
}

async fn read_chunks(store: &dyn JobStore, key: &str, record: &Record) -> Result<Option<Bytes>> {
    let length = usize::try_from(record.length).ok().filter(|length| *length <= MAX_LARGE);
    let Some(length) = length else { return Err(corrupt(key, "its length is beyond the limit")) };
    let mut value = BytesMut::with_capacity(length);
    for number in 0..record.chunks {
        let Some(chunk) = store.get(&chunk_key(key, &record.generation, number)).await? else { return Ok(None) };
        if value.len() + chunk.len() > length {
            return Ok(None);
        }
        value.extend_from_slice(&chunk);
    }
    Ok(Some(value.freeze()))
}

async fn remove_chunks(store: &dyn JobStore, epoch: Epoch, key: &str, record: &Record) -> Result<()> {
    let keys: Vec<String> = (0..record.chunks).map(|number| chunk_key(key, &record.generation, number)).collect();
    for some in keys.chunks(MAX_OPERATIONS) {
        let change = Transaction { delete: some.to_vec(), ..Transaction::default() };
        committed(store.commit(epoch, change).await?, key)?;
    }
    Ok(())
}

fn committed(outcome: Committed, key: &str) -> Result<()> {
    match outcome {
        Committed::Done => Ok(()),
        Committed::Conflict { .. } => {
            Err(Failure::transient(Kind::Busy, format!("write large value {key}: it was changed meanwhile")))
        }
    }
}

fn chunk_key(key: &str, generation: &str, number: u32) -> String {
    format!("{key}/{generation}/{number:0NUMBER_WIDTH$}")
}

/// Of a chunk's key: the value's key, the generation and the number. `None` for the key of anything else.
fn split_chunk_key(chunk: &str) -> Option<(&str, &str, u32)> {
    let (rest, number) = chunk.rsplit_once('/')?;
    let (key, generation) = rest.rsplit_once('/')?;
    let hexadecimal = |c: u8| c.is_ascii_digit() || (b'a'..=b'f').contains(&c);
    if number.len() != NUMBER_WIDTH || generation.len() != GENERATION_WIDTH || !generation.bytes().all(hexadecimal) {
        return None;
    }
    Some((key, generation, number.parse().ok()?))
}

fn parse(key: &str, stored: &[u8]) -> Result<Record> {
    serde_json::from_slice(stored).map_err(|error| corrupt(key, &format!("its record cannot be read: {error}")))
}

fn corrupt(key: &str, why: &str) -> Failure {
    Failure::fatal(Kind::Corrupt, format!("read large value {key}: {why}"))
}
