//! Who comes in by gRPC, and what they may do.
//!
//! Clients send `authorization: Basic base64(user:password)` with each call, agents `authorization: Bearer token` with
//! their one. A call that proves nothing reaches no service.

use std::convert::Infallible;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tabvault_common::failure::{Failure, Kind};
use tabvault_common::secret::Secret;
use tonic::body::Body;
use tonic::codegen::http::header::AUTHORIZATION;
use tonic::codegen::http::{HeaderMap, Request as HttpRequest, Response as HttpResponse};
use tonic::codegen::{BoxFuture, Context, Poll, Service};
use tonic::server::NamedService;
use tonic::{Request, Status};

use super::refused;
use crate::auth::{Authorizer, Identity, Privilege, Proof};
use crate::coordinator::Coordinator;

/// Whom a service is for.
#[derive(Debug, Clone, Copy)]
pub(super) enum For {
    /// Users: the service finds their [`Identity`] among the request's extensions.
    Clients,
    /// Agents.
    Agents,
}

/// A service behind a door.
#[derive(Debug, Clone)]
pub(super) struct Door<S> {
    service: S,
    whom: For,
    authorizer: Arc<dyn Authorizer>,
}

impl<S> Door<S> {
    pub(super) fn new(service: S, whom: For, coordinator: &Coordinator) -> Self {
        Self { service, whom, authorizer: coordinator.authorizer().clone() }
    }
}

impl<S: NamedService> NamedService for Door<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<HttpRequest<Body>> for Door<S>
where
    S: Service<HttpRequest<Body>, Response = HttpResponse<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = HttpResponse<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, mut request: HttpRequest<Body>) -> Self::Future {
        // The one that was polled ready is called; the door keeps a fresh one.
        let fresh = self.service.clone();
        let mut service = std::mem::replace(&mut self.service, fresh);
        let (whom, authorizer) = (self.whom, self.authorizer.clone());
        Box::pin(async move {
            let proved = match whom {
                For::Clients => client(&*authorizer, request.headers()).await.map(|who| {
                    request.extensions_mut().insert(who);
                }),
                For::Agents => authorizer.agent(bearer(request.headers()).as_ref()).await,
            };
            // Nobody behind the door needs the proof any more.
            request.headers_mut().remove(AUTHORIZATION);
            match proved {
                Ok(()) => service.call(request).await,
                Err(failure) => Ok(refused(failure).into_http()),
            }
        })
    }
}

async fn client(authorizer: &dyn Authorizer, headers: &HeaderMap) -> Result<Identity, Failure> {
    let wrong = |why: &str| {
        let right = "send the header `authorization: Basic` with the base64 of user:password";
        Failure::fatal(Kind::Unauthenticated, format!("Access denied: {why}: {right}"))
    };
    let Some(header) = headers.get(AUTHORIZATION) else {
        // An authorizer may let in whoever comes.
        let nobody = Proof::Password(Secret::default());
        let answer = authorizer.authenticate("", &nobody).await;
        return answer.map_err(|_| wrong("no user and password are sent"));
    };
    let Some((user, password)) = header.to_str().ok().and_then(basic) else {
        return Err(wrong("the authorization header cannot be read"));
    };
    authorizer.authenticate(&user, &Proof::Password(password)).await
}

fn basic(header: &str) -> Option<(String, Secret)> {
    let (scheme, encoded) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (user, password) = text.split_once(':')?;
    Some((user.to_owned(), Secret::new(password)))
}

fn bearer(headers: &HeaderMap) -> Option<Secret> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| Secret::new(token.trim()))
}

/// Who makes this call.
pub(super) fn identity<T>(request: &Request<T>) -> Result<Identity, Status> {
    let nobody = || refused(Failure::fatal(Kind::Unauthenticated, "nobody proved who makes this call"));
    request.extensions().get::<Identity>().cloned().ok_or_else(nobody)
}

/// Who makes this call, provided that they are an administrator.
pub(super) async fn admin<T>(coordinator: &Coordinator, request: &Request<T>) -> Result<Identity, Status> {
    allowed(coordinator, request, &Privilege::Admin).await
}

/// Who makes this call, provided that they may load into `database` and see its tables.
pub(super) async fn loader<T>(
    coordinator: &Coordinator,
    request: &Request<T>,
    database: &str,
) -> Result<Identity, Status> {
    allowed(coordinator, request, &Privilege::Load(database.to_owned())).await
}

async fn allowed<T>(
    coordinator: &Coordinator,
    request: &Request<T>,
    privilege: &Privilege,
) -> Result<Identity, Status> {
    let who = identity(request)?;
    coordinator.authorizer().authorize(&who, privilege).await.map_err(refused)?;
    Ok(who)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_read_from_their_header() {
        let read = |header: &str| basic(header).map(|(user, password)| (user, password.expose().to_owned()));
        let told = |user: &str, password: &str| Some((user.to_owned(), password.to_owned()));
        assert_eq!(read("Basic cm9vdDpzZWM6cmV0"), told("root", "sec:ret"));
        assert_eq!(read("basic cm9vdDo="), told("root", ""));
        for header in ["", "Basic", "Basic !", "Basic cm9vdA==", "Bearer cm9vdDpz", "Basic /w=="] {
            assert_eq!(read(header), None, "{header}");
        }
    }
}
