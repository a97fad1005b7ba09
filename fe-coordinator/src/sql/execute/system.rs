//! Brokers and backends.

use tabvault_common::failure::{Failure, Kind};
use tabvault_common::ids::BackendId;
use tabvault_common::view::cells;

use super::{done, noted};
use crate::brokers::BrokerAddress;
use crate::sql::answer::Answer;
use crate::sql::error::SqlError;
use crate::sql::session::Session;

impl Session {
    pub(super) async fn add_broker(&self, name: &str, addresses: &[String]) -> Result<Answer, SqlError> {
        self.admin().await?;
        let brokers = self.coordinator.brokers().clone();
        brokers.add(name, &read_addresses(addresses)?).await?;
        // Whoever looks next sees whether they answer.
        tokio::spawn(async move { brokers.heartbeat().await });
        Ok(done())
    }

    pub(super) async fn drop_broker(&self, name: &str, addresses: &[String]) -> Result<Answer, SqlError> {
        self.admin().await?;
        let brokers = self.coordinator.brokers();
        let mut addresses = read_addresses(addresses)?;
        if addresses.is_empty() {
            let of_name = brokers.list().await?.into_iter().filter(|broker| broker.name == name);
            addresses = of_name.map(|broker| BrokerAddress { host: broker.host, port: broker.port }).collect();
        }
        if addresses.is_empty() {
            return Err(Failure::fatal(Kind::NotFound, format!("broker does not exist: {name}")).into());
        }
        for address in &addresses {
            brokers.drop_broker(name, address).await?;
        }
        Ok(done())
    }

    pub(super) async fn show_brokers(&self) -> Result<Answer, SqlError> {
        self.admin().await?;
        Ok(Answer::Rows(cells::brokers(&self.coordinator.brokers().list().await?).into()))
    }

    pub(super) async fn show_backends(&self) -> Result<Answer, SqlError> {
        self.admin().await?;
        Ok(Answer::Rows(cells::backends(&self.coordinator.agents().show()).into()))
    }

    pub(super) async fn decommission(&self, backends: &[String]) -> Result<Answer, SqlError> {
        self.admin().await?;
        // Before any of them goes, all are known.
        let backends = backends.iter().map(|typed| self.backend(typed)).collect::<Result<Vec<_>, _>>()?;
        let mut notices = Vec::new();
        for backend in backends {
            notices.extend(self.coordinator.decommission(backend).await?);
        }
        Ok(noted(notices))
    }

    /// The backend with this number, or the only one on this host.
    pub(super) fn backend(&self, typed: &str) -> Result<BackendId, Failure> {
        let views = self.coordinator.agents().show();
        let number = typed.parse::<u64>().ok().map(BackendId);
        let host = typed.rsplit_once(':').map_or(typed, |(host, _)| host);
        let fits = |id: BackendId, on: &str| Some(id) == number || on == typed || on == host;
        let found: Vec<BackendId> = views.iter().filter(|view| fits(view.id, &view.host)).map(|view| view.id).collect();
        match found[..] {
            [backend] => Ok(backend),
            [] => {
                let why = format!("Unknown backend '{typed}': SHOW BACKENDS lists those that exist");
                Err(Failure::fatal(Kind::NotFound, why))
            }
            _ => {
                let numbers: Vec<String> = found.iter().map(ToString::to_string).collect();
                let why = format!("'{typed}' may be one of the backends {}: give its number", numbers.join(", "));
                Err(Failure::fatal(Kind::InvalidArgument, why))
            }
        }
    }
}

fn read_addresses(typed: &[String]) -> Result<Vec<BrokerAddress>, Failure> {
    let read = |typed: &String| {
        let parts = typed.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
        match parts {
            Some((host, port)) if !host.is_empty() => Ok(BrokerAddress { host: host.to_owned(), port }),
            _ => {
                let why = format!("Broker '{typed}' is no address: host:port is right");
                Err(Failure::fatal(Kind::InvalidArgument, why))
            }
        }
    };
    typed.iter().map(read).collect()
}
