//! Who makes the calls.

use std::io::IsTerminal;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tabvault_common::failure::{Failure, Kind};
use tabvault_common::secret::Secret;
use tonic::metadata::AsciiMetadataValue;
use tonic::service::Interceptor;
use tonic::{Request, Status};

use super::Result;
use crate::config::ClientConfig;
use crate::{server, tls};

/// Puts user and password into every call; nothing where no password is known, for coordinators that let in whoever
/// comes.
#[derive(Debug, Clone)]
pub(super) struct Login {
    header: Option<AsciiMetadataValue>,
}

impl Login {
    /// With the password that the settings name or, on a terminal, that the user types.
    pub(super) async fn of(config: &ClientConfig) -> Result<Self> {
        let password = match (&config.password_file, &config.password) {
            (Some(file), _) => {
                let file = file.clone();
                Some(server::blocking(move || tls::token(&file)).await?)
            }
            (None, Some(password)) => Some(password.clone()),
            (None, None) if std::io::stdin().is_terminal() => {
                let prompt = format!("password of {}: ", config.user);
                Some(server::blocking(move || ask(&prompt)).await?)
            }
            (None, None) => None,
        };
        let header = password.map(|password| basic(&config.user, &password)).transpose()?;
        Ok(Self { header })
    }

    /// Whether calls say who makes them.
    pub(super) fn is_known(&self) -> bool {
        self.header.is_some()
    }
}

impl Interceptor for Login {
    fn call(&mut self, mut request: Request<()>) -> std::result::Result<Request<()>, Status> {
        if let Some(header) = &self.header {
            request.metadata_mut().insert("authorization", header.clone());
        }
        Ok(request)
    }
}

fn ask(prompt: &str) -> Result<Secret> {
    let typed = rpassword::prompt_password(prompt).map_err(|error| Failure::io("ask for the password", &error))?;
    Ok(Secret::new(typed))
}

fn basic(user: &str, password: &Secret) -> Result<AsciiMetadataValue> {
    let encoded = STANDARD.encode(format!("{user}:{}", password.expose()));
    let mut header = AsciiMetadataValue::try_from(format!("Basic {encoded}"))
        .map_err(|_| Failure::fatal(Kind::Internal, "encode user and password"))?;
    header.set_sensitive(true);
    Ok(header)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_password_is_in_the_header_and_not_in_debug() {
        let config = ClientConfig { password: Some(Secret::new("hunter2")), ..ClientConfig::default() };
        let mut login = Login::of(&config).await.unwrap();
        let request = login.call(Request::new(())).unwrap();
        assert_eq!(request.metadata().get("authorization").unwrap(), "Basic cm9vdDpodW50ZXIy");
        let shown = format!("{login:?} {request:?} {config:?}");
        assert!(!shown.contains("hunter2") && !shown.contains("cm9vdDpodW50ZXIy"), "{shown}");
    }
}
