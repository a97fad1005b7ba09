//! Values for the tests of every conversion: no field that is its type's default, so that a forgotten one shows.

#![allow(clippy::panic)]

use std::collections::BTreeMap;
use std::fmt::Debug;

use prost::Message;
use tabvault_common::access::StorageAccess;
use tabvault_common::digest::Digest;
use tabvault_common::failure::{Failure, Kind};
use tabvault_common::ids::{ClusterId, JobUuid, Lineage, TabletId, TabletIdentity, TaskId, Version};
use tabvault_common::repo::info::ManifestRef;
use tabvault_common::secret::Secret;
use tabvault_common::task::TaskKey;
use uuid::Uuid;

mod requests;
mod tasks;
mod views;

pub(super) use requests::*;
pub(super) use tasks::*;
pub(super) use views::*;

/// `domain`, whose wire form is `wire`, comes back from its encoded bytes as it was.
pub(super) fn survives<D, W>(domain: &D, wire: W)
where
    D: TryFrom<W, Error = Failure> + PartialEq + Debug,
    W: Message + Default,
{
    let bytes = wire.encode_to_vec();
    let heard = W::decode(bytes.as_slice()).unwrap_or_else(|error| panic!("decode {domain:?}: {error}"));
    let back = D::try_from(heard).unwrap_or_else(|failure| panic!("read {domain:?}: {failure}"));
    assert_eq!(&back, domain);
}

/// A field's path and what spoils that field.
pub(super) type Case<W> = (&'static str, fn(&mut W));

/// Each case spoils `valid`, which must be refused with the case's path.
pub(super) fn refuses<D, W>(valid: &W, cases: &[Case<W>])
where
    D: TryFrom<W, Error = Failure> + Debug,
    W: Clone,
{
    refuses_within::<D, W, W>(valid, |wire| wire, cases);
}

/// As [`refuses`], for a part that is read only within a whole.
pub(super) fn refuses_within<D, W, P>(valid: &P, whole: impl Fn(P) -> W, cases: &[Case<P>])
where
    D: TryFrom<W, Error = Failure> + Debug,
    P: Clone,
{
    let unspoilt = D::try_from(whole(valid.clone()));
    assert!(unspoilt.is_ok(), "{unspoilt:?}");
    for (path, spoil) in cases {
        let mut part = valid.clone();
        spoil(&mut part);
        refused::<D, W>(whole(part), path);
    }
}

/// `wire` is refused, and the message names `path` and what is expected.
fn refused<D, W>(wire: W, path: &str)
where
    D: TryFrom<W, Error = Failure> + Debug,
{
    let Err(failure) = D::try_from(wire) else { panic!("a wrong `{path}` came through") };
    assert_eq!(failure.kind, Kind::InvalidArgument, "{failure:?}");
    let named = failure.message.starts_with(&format!("field `{path}` "));
    assert!(named && failure.message.contains(": expected "), "`{path}`: {}", failure.message);
}

pub(super) fn job() -> JobUuid {
    JobUuid(Uuid::from_u128(0x0123_4567_89ab_cdef))
}

pub(super) fn cluster() -> ClusterId {
    ClusterId(Uuid::from_u128(0xc1))
}

pub(super) fn lineage() -> Lineage {
    Lineage(Uuid::from_u128(0x11e))
}

pub(super) fn identity(tablet: u64) -> TabletIdentity {
    TabletIdentity { cluster: cluster(), tablet: TabletId(tablet), lineage: lineage(), version: Version(8) }
}

pub(super) fn manifest() -> ManifestRef {
    ManifestRef {
        job: job(),
        digest: Digest::of(b"manifest"),
        size: 1,
        tablets: 2,
        files: 3,
        bytes: 4,
        stored_bytes: 5,
        objects: 6,
        packs: 7,
    }
}

pub(super) fn access() -> StorageAccess {
    StorageAccess {
        location: "s3://bucket/prefix".to_owned(),
        properties: secrets(),
        brokers: vec!["http://broker-1:8000".to_owned()],
    }
}

pub(super) fn key() -> TaskKey {
    TaskKey { job: job(), task: TaskId(12), attempt: 3 }
}

fn secrets() -> BTreeMap<String, Secret> {
    BTreeMap::from([
        ("s3.access_key".to_owned(), Secret::new("me")),
        ("s3.secret_key".to_owned(), Secret::new("hunter2")),
    ])
}

fn properties() -> BTreeMap<String, String> {
    BTreeMap::from([("timeout".to_owned(), "600".to_owned()), ("type".to_owned(), "full".to_owned())])
}
