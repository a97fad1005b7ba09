//! All that a person touches: the one binary with its subcommands, and the metrics endpoint.
//!
//! | module | what it is |
//! |---|---|
//! | [`cli`] | everything that can be typed |
//! | [`config`] | settings: flags, environment, file, defaults |
//! | [`commands`] | what talks to a coordinator: one verb, one file |
//! | [`client`] | the coordinator's client, in domain types |
//! | [`server`] | what runs processes |
//! | [`mysql`] | the door for MySQL clients |
//! | [`demo`] | the main job on real files, in a temporary directory |
//! | [`output`], [`progress`] | stdout and stderr |
//! | [`http`], [`tls`], [`logging`], [`error`] | what they all need |

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use crate::cli::{Cli, Command};
use crate::config::{BeConfig, BrokerConfig, FeConfig, FileConfig, LogConfig, StandaloneConfig};
use crate::error::Result;

pub mod cli;
pub mod client;
pub mod commands;
pub mod config;
pub mod demo;
pub mod error;
pub mod http;
pub mod logging;
pub mod mysql;
pub mod output;
pub mod progress;
pub mod server;
pub mod tls;

/// How long threads may take to end once the program has.
const LINGER: Duration = Duration::from_secs(5);

/// The program. Exit codes: 0 done, 1 refused or failed, 2 wrong usage.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match start(cli) {
        Ok(code) => code,
        Err(error) => {
            output::note(format!("error: {error}"));
            error.exit_code()
        }
    }
}

fn start(cli: Cli) -> Result<ExitCode> {
    let file = FileConfig::load(&cli.global)?;
    logging::start(&LogConfig::resolve(&cli.global, &file), log_filter(&cli.command))?;
    tls::install_provider();
    if let Command::Be(args) = &cli.command {
        // Before there are threads: they inherit it.
        server::be::give_way(BeConfig::resolve(args, &file)?.tuning.nice)?;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| tabvault_common::failure::Failure::io("start threads", &error))?;
    let code = runtime.block_on(run(cli.command, &file));
    // What blocks and was not waited for means nothing any more: it may be cut off as by a crash.
    runtime.shutdown_timeout(LINGER);
    code
}

/// What is logged unless settings say otherwise: servers tell what they do, clients only what is wrong.
fn log_filter(command: &Command) -> &'static str {
    match command {
        Command::Standalone(_) | Command::Fe(_) | Command::Be(_) => "info",
        Command::Broker(args) if args.command.is_none() => "info",
        Command::Demo(_) => "error",
        _ => "warn",
    }
}

async fn run(command: Command, file: &FileConfig) -> Result<ExitCode> {
    match command {
        Command::Demo(args) => return Box::pin(demo::run(&args)).await,
        Command::Standalone(args) => server::standalone::run(&StandaloneConfig::resolve(&args, file)?).await,
        Command::Fe(args) => server::fe::run(&FeConfig::resolve(&args, file)?).await,
        Command::Be(args) => server::be::run(&BeConfig::resolve(&args, file)?).await,
        Command::Broker(args) => match &args.command {
            Some(command) => commands::broker::run(command, file).await,
            None => server::broker::run(&BrokerConfig::resolve(&args.serve, file)?).await,
        },
        Command::Load(args) => commands::load::run(&args, file).await,
        Command::Export(args) => commands::export::run(&args, file).await,
        Command::Drop(args) => commands::drop::run(&args, file).await,
        Command::Repo(args) => commands::repo::run(&args, file).await,
        Command::Backup(args) => commands::backup::run(&args, file).await,
        Command::Restore(args) => commands::restore::run(&args, file).await,
        Command::Show(args) => commands::show::run(&args, file).await,
        Command::Watch(args) => commands::watch::run(&args, file).await,
        Command::Cancel(args) => commands::cancel::run(&args, file).await,
        Command::Sql(args) => return commands::sql::run(&args, file).await,
    }
    .map(|()| ExitCode::SUCCESS)
}
