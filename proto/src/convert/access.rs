//! Access to remote storage. Properties are [`Secret`] in the domain and texts on the wire.

use std::collections::BTreeMap;

use tabvault_common::access::StorageAccess;
use tabvault_common::failure::Failure;
use tabvault_common::secret::Secret;

use super::{At, list, text};
use crate::v1;

/// Properties as they are sent: in clear, so only to authenticated peers, over TLS or loopback.
#[must_use]
pub fn exposed(properties: &BTreeMap<String, Secret>) -> BTreeMap<String, String> {
    properties.iter().map(|(name, value)| (name.clone(), value.expose().to_owned())).collect()
}

/// Properties as they are kept: their values never show.
#[must_use]
pub fn hidden(properties: BTreeMap<String, String>) -> BTreeMap<String, Secret> {
    properties.into_iter().map(|(name, value)| (name, Secret::new(value))).collect()
}

impl From<&StorageAccess> for v1::StorageAccess {
    fn from(access: &StorageAccess) -> Self {
        Self {
            location: access.location.clone(),
            properties: exposed(&access.properties),
            brokers: access.brokers.clone(),
        }
    }
}

impl TryFrom<v1::StorageAccess> for StorageAccess {
    type Error = Failure;

    fn try_from(wire: v1::StorageAccess) -> Result<Self, Failure> {
        storage_access(Some(wire), At::root("access"))
    }
}

pub(super) fn storage_access(wire: Option<v1::StorageAccess>, at: At<'_>) -> Result<StorageAccess, Failure> {
    let wire = wire.ok_or_else(|| at.missing("a location with its properties"))?;
    Ok(StorageAccess {
        location: text(wire.location, at.field("location"))?,
        properties: hidden(wire.properties),
        brokers: list(wire.brokers, at, "brokers", text)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::convert::samples::{self, refuses, survives};

    #[test]
    fn storage_access_survives_the_wire() {
        let access = samples::access();
        survives(&access, v1::StorageAccess::from(&access));
        let bare = StorageAccess::direct("file:///backups");
        survives(&bare, v1::StorageAccess::from(&bare));
    }

    #[test]
    fn storage_access_without_a_location_is_refused() {
        refuses::<StorageAccess, _>(
            &v1::StorageAccess::from(&samples::access()),
            &[
                ("access.location", |wire| wire.location.clear()),
                ("access.brokers[1]", |wire| wire.brokers.push(String::new())),
            ],
        );
    }
}
