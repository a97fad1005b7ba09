//! `tabvault repo`.

use tabvault_common::request::CreateRepositoryRequest;
use tabvault_common::view::{RepositoryView, cells};

use crate::cli::clients::{RepoArgs, RepoCommand};
use crate::cli::{OutputFormat, properties};
use crate::commands::Session;
use crate::config::FileConfig;
use crate::error::Result;
use crate::output;

/// Creates, alters, drops or lists repositories.
///
/// # Errors
/// The refusals of CREATE, ALTER and DROP REPOSITORY.
pub async fn run(args: &RepoArgs, file: &FileConfig) -> Result<()> {
    match &args.command {
        RepoCommand::Create { name, location, property, broker, read_only, client } => {
            let request = CreateRepositoryRequest {
                name: name.clone(),
                location: location.clone(),
                properties: properties(property)?,
                broker: broker.clone(),
                read_only: *read_only,
            };
            let session = Session::open(client, file).await?;
            let made = session.client.create_repository(&request).await?;
            tell(session.output, "created", &made)
        }
        RepoCommand::Alter { name, property, client } => {
            let properties = properties(property)?;
            let session = Session::open(client, file).await?;
            let changed = session.client.alter_repository(name, &properties).await?;
            tell(session.output, "altered", &changed)
        }
        RepoCommand::Drop { name, client } => {
            let session = Session::open(client, file).await?;
            session.client.drop_repository(name).await?;
            let row = output::row(vec![("RepoName", Some(name.clone()))]);
            Ok(output::done(session.output, &format!("dropped repository {name}; what is stored there stays"), &row)?)
        }
        RepoCommand::List { client } => {
            let session = Session::open(client, file).await?;
            Ok(output::print(session.output, &cells::repositories(&session.client.list_repositories().await?))?)
        }
    }
}

fn tell(format: OutputFormat, verb: &str, repository: &RepositoryView) -> Result<()> {
    if let Some(notice) = &repository.notice {
        output::note(format!("note: {notice}"));
    }
    let sentence = format!("{verb} repository {} at {}", repository.name, repository.location);
    Ok(output::done(format, &sentence, &cells::repositories(std::slice::from_ref(repository)))?)
}
