//! `tabvault broker add | drop | list`.

use tabvault_common::view::cells;

use crate::cli::names::HostPort;
use crate::cli::servers::BrokerCommand;
use crate::commands::Session;
use crate::config::FileConfig;
use crate::error::Result;
use crate::output;

/// Tells the coordinator about brokers, or asks it.
///
/// # Errors
/// The refusals of ADD BROKER and DROP BROKER.
pub async fn run(command: &BrokerCommand, file: &FileConfig) -> Result<()> {
    match command {
        BrokerCommand::Add { name, address, client } => {
            let session = Session::open(client, file).await?;
            session.client.add_broker(name, &address.host, address.port).await?;
            tell(&session, "added", name, address)
        }
        BrokerCommand::Drop { name, address, client } => {
            let session = Session::open(client, file).await?;
            session.client.drop_broker(name, &address.host, address.port).await?;
            tell(&session, "dropped", name, address)
        }
        BrokerCommand::List { client } => {
            let session = Session::open(client, file).await?;
            Ok(output::print(session.output, &cells::brokers(&session.client.list_brokers().await?))?)
        }
    }
}

fn tell(session: &Session, verb: &str, name: &str, address: &HostPort) -> Result<()> {
    let row = output::row(vec![
        ("Name", Some(name.to_owned())),
        ("Host", Some(address.host.clone())),
        ("Port", Some(address.port.to_string())),
    ]);
    Ok(output::done(session.output, &format!("{verb} broker {name} at {address}"), &row)?)
}
