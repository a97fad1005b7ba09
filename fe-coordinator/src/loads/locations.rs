//! Who may load from where, and export to where.
//!
//! Agents read and write with rights of their own, which are more than those of most users: all files of the process,
//! the keys that its machine has.

use tabvault_broker::open::{self, Reach};
use tabvault_common::access::StorageAccess;
use tabvault_common::failure::{Failure, Kind};

use crate::auth::{Identity, Privilege};
use crate::coordinator::Coordinator;

impl Coordinator {
    /// Refuses a load from `access`, or an export to it, that `who` may not ask for. That `who` may load into the
    /// database has been checked before. `broker` is the name of a broker to go through; addresses in `access` are those
    /// that `who` gave.
    ///
    /// # Errors
    /// `PermissionDenied` saying which location would be right; `InvalidArgument` for a directory through a broker, and
    /// for what nobody can open.
    pub(crate) async fn check_location(
        &self,
        who: &Identity,
        access: &StorageAccess,
        broker: Option<&str>,
    ) -> Result<(), Failure> {
        let location = access.location.trim();
        let path = access.local_path();
        if path.is_some() && (broker.is_some() || !access.brokers.is_empty()) {
            let why = format!("{location} is a directory that agents reach themselves: leave the broker out");
            return Err(Failure::fatal(Kind::InvalidArgument, why));
        }
        match self.authorizer().authorize(who, &Privilege::Admin).await {
            Err(failure) if failure.kind == Kind::PermissionDenied => {}
            allowed => return allowed,
        }
        let right = if !access.brokers.is_empty() {
            "or no addresses of brokers"
        } else if let Some(path) = path {
            if self.config().is_load_directory(path) {
                return Ok(());
            }
            "or a directory below one of the coordinator's load_directories"
        } else {
            if open::reach(access)? == Reach::Keyed {
                return Ok(());
            }
            "or an s3:// location with an access key and a secret key, and no role, in its properties"
        };
        let why = format!("Access denied; {location} for a load or export needs ADMIN_PRIV, {right}");
        Err(Failure::fatal(Kind::PermissionDenied, why))
    }
}
