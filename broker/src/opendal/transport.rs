//! HTTP for S3 that takes no answer for one of S3 which is none.
//!
//! OpenDAL reads any page as a listing without objects and any success as a write. A web server that says 200 to
//! everything would be an empty repository then, in which a listing of what is still needed finds nothing.

use futures::stream;
use opendal::{Buffer, Error, ErrorKind, HttpBody, HttpTransport};
use opendal_http_transport_reqwest::ReqwestTransport;
use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, ETAG};
use tonic::codegen::http::response::Parts;
use tonic::codegen::http::{Request, Response};

/// The message of the error for an answer that is none of S3.
pub(super) const NO_S3: &str = "the answer is none of S3";

/// See the module.
pub(super) struct S3Transport(pub(super) ReqwestTransport);

/// What an answer of S3 to a request has when it is a success.
#[derive(Clone, Copy)]
enum Sign {
    /// The header ETag.
    Tag,
    /// This in its text.
    Element(&'static str),
    /// Nothing that would tell it.
    Nothing,
}

impl Sign {
    fn of(request: &Request<Buffer>) -> Self {
        let asks = |name: &str| {
            let query = request.uri().query().unwrap_or_default();
            query.split('&').any(|pair| pair.split('=').next() == Some(name))
        };
        match *request.method() {
            Method::GET if asks("list-type") => Self::Element("<ListBucketResult"),
            Method::POST if asks("delete") => Self::Element("<DeleteResult"),
            // How parts are listed and uploads begun is read strictly by OpenDAL itself.
            Method::GET | Method::HEAD | Method::PUT if !asks("uploads") && !asks("uploadId") => Self::Tag,
            _ => Self::Nothing,
        }
    }
}

impl HttpTransport for S3Transport {
    async fn fetch(&self, request: Request<Buffer>) -> opendal::Result<Response<HttpBody>> {
        let sign = Sign::of(&request);
        let (parts, mut body) = self.0.fetch(request).await?.into_parts();
        if parts.status.is_redirection() && !is_xml(&parts) {
            return Err(no_s3(&parts));
        }
        if !parts.status.is_success() {
            return Ok(Response::from_parts(parts, body));
        }
        match sign {
            Sign::Tag if !parts.headers.contains_key(ETAG) => return Err(no_s3(&parts)),
            Sign::Element(element) => {
                // OpenDAL holds these answers in memory, too: at most a thousand names.
                let text = body.to_buffer().await?;
                if !String::from_utf8_lossy(&text.to_bytes()).contains(element) {
                    return Err(no_s3(&parts));
                }
                let length = text.len() as u64;
                body = HttpBody::new(stream::iter([Ok(text)]), Some(length));
            }
            Sign::Tag | Sign::Nothing => {}
        }
        Ok(Response::from_parts(parts, body))
    }
}

/// S3 sends nobody elsewhere without saying in XML why, except in answer to HEAD, where 304 and 301 may be bare.
fn is_xml(parts: &Parts) -> bool {
    parts.headers.get(CONTENT_TYPE).is_some_and(|kind| String::from_utf8_lossy(kind.as_bytes()).contains("xml"))
        || parts.headers.contains_key("x-amz-bucket-region")
        || parts.status == reqwest::StatusCode::NOT_MODIFIED
}

/// With the head of the answer in the form in which OpenDAL itself keeps it, but not with its text: whatever echoes
/// requests would echo tokens.
fn no_s3(parts: &Parts) -> Error {
    Error::new(ErrorKind::Unexpected, NO_S3).with_context("response", format!("{parts:?}"))
}
