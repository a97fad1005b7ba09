use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::TryStreamExt;
use tabvault_broker::open::{Options, open};
use tabvault_broker::probe::probe;
use tabvault_broker::retry::Policy;
use tabvault_broker::storage::Storage;
use tabvault_common::failure::{Kind, Retry};

use crate::canned::{Canned, answer, s3_error};
use crate::moto::{Moto, SECRET, s3};

/// Opens with pauses of zero, so that no test waits.
async fn impatient(endpoint: &str, attempts: u32) -> Arc<dyn Storage> {
    let retry = Policy { attempts, base: Duration::ZERO, cap: Duration::ZERO };
    let options = Options { retry, ..Options::default() };
    options.open(&s3(endpoint, "s3://bucket/prefix")).await.unwrap()
}

#[tokio::test]
async fn a_bucket_is_probed_by_races() {
    let moto = Moto::start();
    let storage = open(&moto.access("s3://bucket")).await.unwrap();
    assert!(probe(&*storage, "repository", false).await.unwrap().conditional_writes);
    assert!(storage.list("").await.unwrap().try_collect::<Vec<_>>().await.unwrap().is_empty());

    let storage = open(&moto.access("s3://nobucket")).await.unwrap();
    let failure = probe(&*storage, "repository", false).await.unwrap_err();
    assert!(failure.message.contains("cannot list in s3://nobucket"), "{failure}");
    assert!(failure.message.contains("bucket 'nobucket' does not exist"), "{failure}");
}

#[tokio::test]
async fn every_refusal_of_s3_is_told_from_every_other() {
    for (status, code, kind, retry, says) in [
        (404, "NoSuchBucket", Kind::FailedPrecondition, Retry::Never, "bucket 'bucket' does not exist at http"),
        (403, "InvalidAccessKeyId", Kind::Unauthenticated, Retry::Never, "does not know this access key"),
        (403, "SignatureDoesNotMatch", Kind::Unauthenticated, Retry::Never, "the secret key does not belong"),
        (400, "ExpiredToken", Kind::Unauthenticated, Retry::Never, "does not accept the session token"),
        (403, "AccessDenied", Kind::PermissionDenied, Retry::Never, "lack the permission in bucket 'bucket'"),
        (403, "RequestTimeTooSkewed", Kind::FailedPrecondition, Retry::Never, "set the clock"),
        (503, "SlowDown", Kind::RateLimited, Retry::Safe, "asks to slow down"),
        (503, "ServiceUnavailable", Kind::RateLimited, Retry::OutcomeUnknown, "failed to answer for now"),
        (400, "AuthorizationHeaderMalformed", Kind::InvalidArgument, Retry::Never, "another region"),
        (403, "QuotaExceeded", Kind::NoSpace, Retry::Safe, "no space left"),
        (501, "NotImplemented", Kind::Unsupported, Retry::Never, "cannot do this"),
        (500, "InternalError", Kind::Unreachable, Retry::OutcomeUnknown, "failed to answer for now"),
        (409, "OperationAborted", Kind::Busy, Retry::Safe, "another request"),
        (418, "Teapot", Kind::Internal, Retry::Never, "refuses this (Teapot)"),
    ] {
        let server = Canned::http(vec![s3_error(status, code)]).await;
        let storage = impatient(&format!("http://{}", server.address), 1).await;
        for (what, failure) in [
            ("write a", storage.put("a", Bytes::from_static(b"x")).await.unwrap_err()),
            ("create a", storage.create("a", Bytes::from_static(b"x")).await.unwrap_err()),
        ] {
            assert_eq!((failure.kind, failure.retry), (kind, retry), "{code}: {failure}");
            assert!(failure.message.starts_with(what), "{failure}");
            assert!(failure.message.contains(says) && failure.message.contains("because"), "{failure}");
            assert!(!failure.message.contains(SECRET));
        }
        let failure = storage.get("a", 1).await.unwrap_err();
        let expected = if retry == Retry::OutcomeUnknown { Retry::Safe } else { retry };
        assert_eq!((failure.kind, failure.retry), (kind, expected), "{code}: {failure}");
    }
}

#[tokio::test]
async fn a_missing_object_is_no_missing_bucket() {
    let server = Canned::http(vec![s3_error(404, "NoSuchKey")]).await;
    let storage = impatient(&format!("http://{}", server.address), 1).await;
    assert_eq!(storage.get("a", 1).await.unwrap_err().kind, Kind::NotFound);
    assert_eq!(storage.stat("a").await.unwrap(), None);
}

#[tokio::test]
async fn a_refusal_without_a_reason_says_that_there_is_none() {
    let server = Canned::http(vec![answer(403, "")]).await;
    let storage = impatient(&format!("http://{}", server.address), 1).await;
    let failure = storage.stat("a").await.unwrap_err();
    assert_eq!(failure.kind, Kind::PermissionDenied);
    assert!(failure.message.contains("status 403"), "{failure}");
}

#[tokio::test]
async fn a_write_to_what_is_not_found_misses_a_bucket_and_no_object() {
    let server = Canned::http(vec![answer(404, "")]).await;
    let storage = impatient(&format!("http://{}", server.address), 1).await;
    let failure = storage.put("a", Bytes::new()).await.unwrap_err();
    assert_eq!(failure.kind, Kind::FailedPrecondition);
    assert!(failure.message.contains("has no bucket 'bucket'"), "{failure}");
}

#[tokio::test]
async fn a_service_that_slows_down_is_asked_again() {
    let written = "HTTP/1.1 200 OK\r\netag: \"e\"\r\ncontent-length: 0\r\n\r\n".to_owned();
    let server = Canned::http(vec![s3_error(503, "SlowDown"), s3_error(503, "SlowDown"), written]).await;
    let storage = impatient(&format!("http://{}", server.address), 3).await;
    storage.put("a", Bytes::from_static(b"x")).await.unwrap();
    assert_eq!(server.requests(), 3);
}

#[tokio::test]
async fn a_create_is_not_repeated_after_an_answer_got_lost() {
    // The connection closes without an answer.
    let server = Canned::http(vec![String::new()]).await;
    let storage = impatient(&format!("http://{}", server.address), 5).await;
    let failure = storage.create("a", Bytes::from_static(b"x")).await.unwrap_err();
    assert_eq!((failure.kind, failure.retry), (Kind::Unreachable, Retry::OutcomeUnknown), "{failure}");
    assert!(failure.message.contains("broke"), "{failure}");
    assert_eq!(server.requests(), 1);
}

#[tokio::test]
async fn a_failed_part_is_sent_again() {
    let upload = "<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>";
    let done = "<CompleteMultipartUploadResult><ETag>e</ETag></CompleteMultipartUploadResult>";
    let part = "HTTP/1.1 200 OK\r\netag: \"e\"\r\ncontent-length: 0\r\n\r\n".to_owned();
    // Six parts of 8 MiB, one of which fails at first, wherever it arrives.
    let mut answers = vec![answer(200, upload), s3_error(503, "SlowDown")];
    answers.extend(std::iter::repeat_n(part, 6));
    answers.push(answer(200, done));
    let server = Canned::http(answers).await;
    let storage = impatient(&format!("http://{}", server.address), 3).await;
    let mut writer = storage.writer("a", Some(48 << 20)).await.unwrap();
    for _ in 0..48 {
        writer.write(Bytes::from(vec![7; 1 << 20])).await.unwrap();
    }
    writer.close().await.unwrap();
    assert_eq!(server.requests(), 9);
}

#[tokio::test]
async fn a_small_object_that_is_written_piece_by_piece_is_sent_again() {
    let written = "HTTP/1.1 200 OK\r\netag: \"e\"\r\ncontent-length: 0\r\n\r\n".to_owned();
    let server = Canned::http(vec![s3_error(503, "SlowDown"), s3_error(503, "SlowDown"), written]).await;
    let storage = impatient(&format!("http://{}", server.address), 3).await;
    let mut writer = storage.writer("a", Some(2 << 20)).await.unwrap();
    writer.write(Bytes::from(vec![7; 2 << 20])).await.unwrap();
    writer.close().await.unwrap();
    assert_eq!(server.requests(), 3);
}

#[tokio::test]
async fn an_upload_that_was_not_put_together_is_aborted_whatever_became_of_that() {
    let upload = "<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>";
    let part = "HTTP/1.1 200 OK\r\netag: \"e\"\r\ncontent-length: 0\r\n\r\n".to_owned();
    let aborted = "HTTP/1.1 204 No Content\r\n\r\n".to_owned();
    // Five parts of 8 MiB; then the answer gets lost.
    let mut answers = vec![answer(200, upload)];
    answers.extend(std::iter::repeat_n(part, 5));
    answers.extend([String::new(), aborted]);
    let server = Canned::http(answers).await;
    let storage = impatient(&format!("http://{}", server.address), 1).await;
    let mut writer = storage.writer("a", Some(40 << 20)).await.unwrap();
    for _ in 0..40 {
        writer.write(Bytes::from(vec![7; 1 << 20])).await.unwrap();
    }
    let failure = writer.close().await.unwrap_err();
    assert_eq!(failure.retry, Retry::OutcomeUnknown, "{failure}");
    while server.requests() < 8 {
        tokio::task::yield_now().await;
    }
}
