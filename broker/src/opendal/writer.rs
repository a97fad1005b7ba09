//! An object that is written piece by piece: one PUT while it is small, a multipart upload once it is not.

use std::collections::VecDeque;

use async_trait::async_trait;
use bytes::Bytes;
use opendal::options::WriteOptions;
use opendal::{Buffer, ErrorKind, Writer};
use tabvault_common::failure::{Failure, Kind};

use super::OpendalStorage;
use crate::storage::{ObjectWriter, Result, Storage};

/// Up to here an object is one PUT.
const SINGLE_PUT: u64 = 32 << 20;
/// The smallest part of a larger one.
const MIN_PART: u64 = 8 << 20;
/// S3 takes 10,000 parts; some are kept for a hint that was too small.
const MAX_PARTS: u64 = 9000;
/// Parts of one object on their way at once.
const IN_FLIGHT: usize = 4;

/// Size of the parts of an object of `hint` bytes.
fn part_size(hint: Option<u64>) -> u64 {
    MIN_PART.max(hint.unwrap_or(0).div_ceil(MAX_PARTS))
}

/// Bytes that a writer holds at most when it was told to expect `hint` bytes.
pub(super) fn memory(hint: Option<u64>) -> u64 {
    match hint {
        Some(size) if size <= SINGLE_PUT => size,
        // Those under way, one that OpenDAL keeps back, one that is being filled.
        Some(_) | None => part_size(hint) * (IN_FLIGHT as u64 + 2),
    }
}

pub(super) struct PartWriter {
    storage: OpendalStorage,
    path: String,
    part: u64,
    /// Whether it is known from the start to become a multipart upload.
    large: bool,
    pending: VecDeque<Bytes>,
    pending_bytes: u64,
    sent_bytes: u64,
    upload: Option<Writer>,
    broken: bool,
}

impl PartWriter {
    pub(super) fn new(storage: OpendalStorage, path: String, hint: Option<u64>) -> Self {
        Self {
            storage,
            path,
            part: part_size(hint),
            large: hint.is_some_and(|size| size > SINGLE_PUT),
            pending: VecDeque::new(),
            pending_bytes: 0,
            sent_bytes: 0,
            upload: None,
            broken: false,
        }
    }

    fn doing(&self) -> String {
        format!("write {}", self.path)
    }

    /// The next `want` bytes of what is pending, without copying.
    fn take(&mut self, want: u64) -> Buffer {
        let mut taken = Vec::new();
        let mut missing = want.min(self.pending_bytes);
        self.pending_bytes -= missing;
        while missing > 0 {
            let Some(mut first) = self.pending.pop_front() else { break };
            if (first.len() as u64) > missing {
                self.pending.push_front(first.split_off(usize::try_from(missing).unwrap_or(usize::MAX)));
            }
            missing -= first.len() as u64;
            taken.push(first);
        }
        Buffer::from(taken)
    }

    /// Sends the next part. Until it is sent the writer counts as broken, so that nobody completes an upload with a hole
    /// where a call failed or was dropped.
    async fn send_part(&mut self) -> Result<()> {
        self.sound()?;
        self.broken = true;
        let data = self.take(self.part);
        let upload = match &mut self.upload {
            Some(upload) => upload,
            none => {
                let options = WriteOptions { concurrent: IN_FLIGHT, ..WriteOptions::default() };
                match self.storage.op.writer_options(&self.path, options).await {
                    Ok(upload) => none.insert(upload),
                    Err(error) => return Err(self.storage.failed(self.doing(), false, &error).await),
                }
            }
        };
        // OpenDAL keeps what it took when an error is temporary, so the same call may be made again.
        let mut attempt = 0;
        while let Err(error) = upload.write(data.clone()).await {
            if !error.is_temporary() || !self.storage.again(&mut attempt, &error).await {
                // A part that is lost harms nothing: the object comes to be when all are put together.
                return Err(self.storage.failed(self.doing(), false, &error).await);
            }
        }
        self.sent_bytes += data.len() as u64;
        self.broken = false;
        Ok(())
    }

    fn sound(&self) -> Result<()> {
        if self.broken {
            let why = "an earlier write to it failed or was dropped";
            return Err(Failure::fatal(Kind::FailedPrecondition, format!("{}: {why}", self.doing())));
        }
        Ok(())
    }

    /// Puts the parts together. Until that is done the upload stays with the writer, which aborts it when it is dropped:
    /// also after a lost answer. If that was a yes there is nothing left to abort, and nobody counts on the object.
    async fn complete(&mut self) -> Result<()> {
        let mut attempt = 0;
        loop {
            let closed = match &mut self.upload {
                Some(upload) => upload.close().await,
                None => return Err(Failure::fatal(Kind::Internal, format!("{}: the upload is gone", self.doing()))),
            };
            let Err(error) = closed else {
                self.upload = None;
                return Ok(());
            };
            if error.is_temporary() && self.storage.again(&mut attempt, &error).await {
                continue;
            }
            // An upload that is unknown after an answer got lost was completed by that attempt.
            let gone = attempt > 0 && error.kind() == ErrorKind::NotFound;
            if gone && self.storage.stat(&self.path).await?.is_some_and(|meta| meta.size == self.sent_bytes) {
                self.upload = None;
                return Ok(());
            }
            return Err(self.storage.failed(self.doing(), true, &error).await);
        }
    }
}

#[async_trait]
impl ObjectWriter for PartWriter {
    async fn write(&mut self, data: Bytes) -> Result<()> {
        self.sound()?;
        self.pending_bytes += data.len() as u64;
        if !data.is_empty() {
            self.pending.push_back(data);
        }
        if self.upload.is_none() && !self.large && self.pending_bytes <= SINGLE_PUT {
            return Ok(());
        }
        while self.pending_bytes >= self.part {
            self.send_part().await?;
        }
        Ok(())
    }

    async fn close(mut self: Box<Self>) -> Result<()> {
        self.sound()?;
        if self.upload.is_none() {
            let data = self.take(u64::MAX);
            let mut attempt = 0;
            while let Err(error) = self.storage.op.write(&self.path, data.clone()).await {
                if !error.is_temporary() || !self.storage.again(&mut attempt, &error).await {
                    return Err(self.storage.failed(self.doing(), true, &error).await);
                }
            }
            return Ok(());
        }
        if self.pending_bytes > 0 {
            self.send_part().await?;
        }
        self.complete().await
    }

    async fn abort(mut self: Box<Self>) -> Result<()> {
        self.pending.clear();
        let Some(mut upload) = self.upload.take() else { return Ok(()) };
        match upload.abort().await {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(self.storage.failed(format!("abort {}", self.path), true, &error).await),
        }
    }
}

impl Drop for PartWriter {
    fn drop(&mut self) {
        let (Some(mut upload), Ok(runtime)) = (self.upload.take(), tokio::runtime::Handle::try_current()) else {
            return;
        };
        runtime.spawn(async move {
            // Best effort: what stays is for the lifecycle rule.
            let _ = upload.abort().await;
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_grow_with_the_object_so_that_ten_thousand_are_enough() {
        assert_eq!(part_size(None), MIN_PART);
        assert_eq!(part_size(Some(1 << 30)), MIN_PART);
        let huge = 5 << 40;
        assert!(huge / part_size(Some(huge)) <= MAX_PARTS);
        assert_eq!(memory(Some(10)), 10);
        assert_eq!(memory(None), 48 << 20);
    }
}
