//! A coordinator for tests, with repositories in memory.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::sync::Arc;

use tabvault_broker::open::Options;
use tabvault_broker::remote::Connection;
use tabvault_common::clock::Clock;

use super::{Config, Coordinator, Parts};
use crate::auth::Open;
use crate::catalog::LocalCatalog;
use crate::store::{JobStore, SharedDb};

/// One that leads with `store`, and has its catalog in `dir`.
pub(crate) async fn coordinator(store: Arc<dyn JobStore>, dir: &Path, clock: Arc<dyn Clock>) -> Coordinator {
    let parts = Parts {
        store,
        catalog: Arc::new(LocalCatalog::open(&SharedDb::open(dir).unwrap(), clock.clone()).unwrap()),
        local: None,
        opener: Arc::new(Options { memory: true, clock: clock.clone(), ..Options::default() }),
        brokers: Connection::default(),
        clock,
        authorizer: Arc::new(Open),
        users: None,
    };
    Coordinator::start(Config::default(), parts).await.unwrap()
}
