//! Streams of pieces: cutting to a bounded size, counting against what was asked for, collecting up to a limit.

use std::ops::Range;

use bytes::{Bytes, BytesMut};
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use tabvault_common::failure::{Failure, Kind};

use crate::storage::Result;

/// The largest piece that any read hands out and any broker message carries, in bytes.
pub(crate) const PIECE: usize = 1 << 20;

/// `data` in pieces of at most [`PIECE`] bytes; no copy is made.
pub(crate) fn cut(mut data: Bytes) -> impl Iterator<Item = Bytes> + Send {
    std::iter::from_fn(move || (!data.is_empty()).then(|| data.split_to(data.len().min(PIECE))))
}

/// Every item of `stream` cut by [`cut`].
pub(crate) fn bounded(stream: BoxStream<'static, Result<Bytes>>) -> BoxStream<'static, Result<Bytes>> {
    stream.map_ok(|data| stream::iter(cut(data).map(Ok))).try_flatten().boxed()
}

/// Length of `range`, refusing one that runs backwards.
pub(crate) fn length(path: &str, range: &Range<u64>) -> Result<u64> {
    range.end.checked_sub(range.start).ok_or_else(|| {
        Failure::fatal(
            Kind::InvalidArgument,
            format!("read {path}: range {}..{} runs backwards", range.start, range.end),
        )
    })
}

/// The failure of a read whose range reaches beyond the end of the object.
pub(crate) fn beyond_end(path: &str, range: &Range<u64>) -> Failure {
    Failure::fatal(
        Kind::Corrupt,
        format!("read {path}: the object ends before byte {} of range {}..{}", range.end, range.start, range.end),
    )
}

/// Ends `stream` with [`beyond_end`] if it is shorter than `range`, and with `Kind::Corrupt` if it is longer.
pub(crate) fn exactly(
    path: &str,
    range: Range<u64>,
    stream: BoxStream<'static, Result<Bytes>>,
) -> BoxStream<'static, Result<Bytes>> {
    let path = path.to_owned();
    let missing = range.end.saturating_sub(range.start);
    stream::try_unfold((stream, missing), move |(mut stream, missing)| {
        let (path, range) = (path.clone(), range.clone());
        async move {
            match stream.try_next().await? {
                Some(data) => match missing.checked_sub(data.len() as u64) {
                    Some(left) => Ok(Some((data, (stream, left)))),
                    None => Err(Failure::fatal(
                        Kind::Corrupt,
                        format!("read {path}: the storage sent more than range {}..{}", range.start, range.end),
                    )),
                },
                None if missing > 0 => Err(beyond_end(&path, &range)),
                None => Ok(None),
            }
        }
    })
    .boxed()
}

/// All of `stream`, unless it is longer than `limit` bytes: then `Kind::ResourceExhausted`.
pub(crate) async fn collect(path: &str, limit: u64, mut stream: BoxStream<'static, Result<Bytes>>) -> Result<Bytes> {
    let mut whole = BytesMut::new();
    while let Some(data) = stream.try_next().await? {
        if (whole.len() + data.len()) as u64 > limit {
            return Err(too_large(path, limit));
        }
        whole.extend_from_slice(&data);
    }
    Ok(whole.freeze())
}

/// The failure of a `get` whose object is larger than its limit.
pub(crate) fn too_large(path: &str, limit: u64) -> Failure {
    Failure::fatal(
        Kind::ResourceExhausted,
        format!("read {path}: the object is larger than the {limit} bytes that are allowed here"),
    )
}
