//! Broker processes that this cluster knows by name.
//!
//! # Overview
//! Several processes may share a name; whoever goes through the name gets the addresses of all, the living first. A
//! heartbeat asks each whether it lives.
//!
//! # Consistency
//! Which brokers there are is in the job store, one record each; whether they live is in memory and found out anew
//! by every leader.
//!
//! # Crash consistency
//! An ADD BROKER with several addresses is one transaction: all or none. What has answered is durable.
//!
//! # Cancellation
//! A dropped future leaves the outcome unknown: list, and ask again.

mod ping;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::stream::{self, StreamExt};
use serde::{Deserialize, Serialize};
use tabvault_broker::remote::Connection;
use tabvault_common::clock::{Clock, Time};
use tabvault_common::failure::{Failure, Kind};
use tabvault_common::ids::Epoch;
use tabvault_common::view::BrokerView;
use tokio::sync::Notify;

use crate::repository::check_name;
use crate::store::{Committed, JobStore, MAX_OPERATIONS, Transaction};

type Result<T> = std::result::Result<T, Failure>;

const PREFIX: &str = "broker/";
/// Records that are read at once.
const PAGE: usize = 100;
/// Brokers that are asked at the same time.
const PINGS_AT_ONCE: usize = 16;
/// Most addresses of one ADD BROKER: each is an expectation and a write of one transaction.
const MAX_ADDED: usize = MAX_OPERATIONS / 2;

/// Where a broker process listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct BrokerAddress {
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
}

impl std::fmt::Display for BrokerAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // An IPv6 address needs brackets before a port.
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct Record {
    name: String,
    address: BrokerAddress,
}

impl Record {
    fn key(&self) -> String {
        format!("{PREFIX}{}/{}", self.name, self.address)
    }
}

/// What the heartbeats of a process have shown.
#[derive(Debug, Clone, Default)]
struct Pulse {
    alive: bool,
    last_start: Option<Time>,
    last_update: Option<Time>,
    error: Option<String>,
}

/// See the module.
pub struct Brokers {
    store: Arc<dyn JobStore>,
    epoch: Epoch,
    connection: Connection,
    clock: Arc<dyn Clock>,
    pulses: Mutex<HashMap<Record, Pulse>>,
    /// Rung when a process is added, so that it is asked at once.
    added: Notify,
}

impl std::fmt::Debug for Brokers {
    /// Without the store, whose records hold secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Brokers").field("epoch", &self.epoch).field("pulses", &self.pulses).finish_non_exhaustive()
    }
}

impl Brokers {
    /// The brokers in `store`, for the leadership `epoch`, talked to by `connection`: over TLS if that has a CA.
    pub fn new(store: Arc<dyn JobStore>, epoch: Epoch, connection: Connection, clock: Arc<dyn Clock>) -> Self {
        Self { store, epoch, connection, clock, pulses: Mutex::default(), added: Notify::new() }
    }

    /// Makes processes known under `name`. [`Brokers::watch`] asks them next whether they live.
    ///
    /// # Errors
    /// `InvalidArgument` for a wrong name or address; `AlreadyExists` when one is known under the name; else what the
    /// store says.
    pub async fn add(&self, name: &str, addresses: &[BrokerAddress]) -> Result<()> {
        check_name("broker", name)?;
        if addresses.is_empty() || addresses.len() > MAX_ADDED {
            let message = format!("add broker {name}: give 1 to {MAX_ADDED} addresses, not {}", addresses.len());
            return Err(Failure::fatal(Kind::InvalidArgument, message));
        }
        let mut change = Transaction::default();
        for address in addresses {
            check_address(address)?;
            let record = Record { name: name.to_owned(), address: address.clone() };
            let bytes = serde_json::to_vec(&record)
                .map_err(|error| Failure::fatal(Kind::Internal, format!("encode broker {name}: {error}")))?;
            let key = record.key();
            if change.put.iter().any(|(other, _)| *other == key) {
                return Err(known_already(&key));
            }
            change.expect.push((key.clone(), None));
            change.put.push((key, bytes.into()));
        }
        match self.store.commit(self.epoch, change).await? {
            Committed::Done => {
                self.added.notify_one();
                Ok(())
            }
            Committed::Conflict { key } => Err(known_already(&key)),
        }
    }

    /// Forgets a process. Repositories that go through the name use the others; without any they cannot be reached.
    ///
    /// # Errors
    /// `NotFound` "broker does not exist: X" when no process of the name listens there; else what the store says.
    pub async fn drop_broker(&self, name: &str, address: &BrokerAddress) -> Result<()> {
        let record = Record { name: name.to_owned(), address: address.clone() };
        let key = record.key();
        if self.store.get(&key).await?.is_none() {
            return Err(Failure::fatal(Kind::NotFound, format!("broker does not exist: {name} at {address}")));
        }
        // Nothing to expect: whoever else drops it wants the same.
        let change = Transaction { delete: vec![key], ..Transaction::default() };
        self.store.commit(self.epoch, change).await?;
        self.pulses(|pulses| pulses.remove(&record));
        Ok(())
    }

    /// All processes by name and address, with what the last heartbeat showed.
    ///
    /// # Errors
    /// What the store says.
    pub async fn list(&self) -> Result<Vec<BrokerView>> {
        let records = self.records(PREFIX).await?;
        Ok(self.pulses(|pulses| {
            let view = |record: Record| {
                let pulse = pulses.get(&record).cloned().unwrap_or_default();
                BrokerView {
                    name: record.name,
                    host: record.address.host,
                    port: record.address.port,
                    alive: pulse.alive,
                    last_start_time: pulse.last_start,
                    last_update_time: pulse.last_update,
                    error: pulse.error,
                }
            };
            records.into_iter().map(view).collect()
        }))
    }

    /// Addresses (`http://host:port`) of the processes under `name`, the living first.
    ///
    /// # Errors
    /// `NotFound` "broker does not exist: X"; else what the store says.
    pub async fn addresses(&self, name: &str) -> Result<Vec<String>> {
        // A name that no broker can have might be a prefix of other keys.
        let records = match check_name("broker", name) {
            Ok(()) => self.records(&format!("{PREFIX}{name}/")).await?,
            Err(_) => Vec::new(),
        };
        if records.is_empty() {
            return Err(Failure::fatal(Kind::NotFound, format!("broker does not exist: {name}")));
        }
        let (living, others): (Vec<Record>, Vec<Record>) = self.pulses(|pulses| {
            records.into_iter().partition(|record| pulses.get(record).is_some_and(|pulse| pulse.alive))
        });
        Ok(living.iter().chain(&others).map(|record| self.uri(&record.address)).collect())
    }

    /// Asks every process once whether it lives.
    ///
    /// # Errors
    /// What the store says; what a broker says is remembered.
    pub async fn heartbeat(&self) -> Result<()> {
        let records = self.records(PREFIX).await?;
        self.pulses(|pulses| pulses.retain(|record, _| records.contains(record)));
        stream::iter(records)
            .for_each_concurrent(PINGS_AT_ONCE, async |record| {
                let answer = ping::ping(&self.uri(&record.address), &self.connection).await;
                let now = self.clock.now();
                self.pulses(|pulses| pulses.entry(record).or_default().beat(answer, now));
            })
            .await;
        Ok(())
    }

    /// Asks all processes now, after every `interval`, and when one is added. Never returns; drop it to stop.
    pub async fn watch(self: Arc<Self>, interval: Duration) {
        loop {
            if let Err(failure) = self.heartbeat().await {
                tracing::warn!(error = %failure, "ask brokers whether they live");
            }
            tokio::select! {
                () = self.clock.sleep(interval) => {}
                () = self.added.notified() => {}
            }
        }
    }

    fn uri(&self, address: &BrokerAddress) -> String {
        let scheme = if self.connection.ca.is_some() { "https" } else { "http" };
        format!("{scheme}://{address}")
    }

    async fn records(&self, prefix: &str) -> Result<Vec<Record>> {
        let mut records: Vec<Record> = Vec::new();
        loop {
            let after = records.last().map(Record::key);
            let page = self.store.scan(prefix, after.as_deref(), PAGE).await?;
            let full = page.len() >= PAGE;
            for (key, bytes) in page {
                records.push(serde_json::from_slice(&bytes).map_err(|error| {
                    Failure::fatal(Kind::Corrupt, format!("the job store's record {key} is damaged: {error}"))
                })?);
            }
            if !full {
                return Ok(records);
            }
        }
    }

    fn pulses<T>(&self, look: impl FnOnce(&mut HashMap<Record, Pulse>) -> T) -> T {
        look(&mut self.pulses.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Pulse {
    fn beat(&mut self, answer: Result<()>, now: Time) {
        match answer {
            Ok(()) => {
                if !self.alive {
                    self.last_start = Some(now);
                }
                self.alive = true;
                self.last_update = Some(now);
                self.error = None;
            }
            Err(failure) => {
                self.alive = false;
                self.error = Some(failure.message);
            }
        }
    }
}

fn known_already(key: &str) -> Failure {
    let what = key.strip_prefix(PREFIX).unwrap_or(key).replacen('/', " at ", 1);
    Failure::fatal(Kind::AlreadyExists, format!("broker already exists: {what}"))
}

fn check_address(address: &BrokerAddress) -> Result<()> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
    if address.port != 0 && (1..=253).contains(&address.host.len()) && address.host.chars().all(fits) {
        return Ok(());
    }
    let shown: String = address.host.chars().take(260).collect();
    Err(Failure::fatal(
        Kind::InvalidArgument,
        format!("'{shown}:{}' is no address of a broker: write host:port", address.port),
    ))
}
