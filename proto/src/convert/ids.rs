//! Identities and digests.

use bytes::Bytes;
use tabvault_common::digest::Digest;
use tabvault_common::failure::Failure;
use tabvault_common::ids::{AgentUuid, ClusterId, JobUuid, Lineage, TabletId, TabletIdentity, Version};
use tabvault_common::repo::info::ManifestRef;
use uuid::Uuid;

use super::{At, positive};
use crate::v1;

const A_UUID: &str = "a UUID of 16 bytes";

impl From<Uuid> for v1::Uuid {
    fn from(uuid: Uuid) -> Self {
        Self { value: Bytes::copy_from_slice(uuid.as_bytes()) }
    }
}

impl From<JobUuid> for v1::Uuid {
    fn from(id: JobUuid) -> Self {
        id.0.into()
    }
}

impl From<ClusterId> for v1::Uuid {
    fn from(id: ClusterId) -> Self {
        id.0.into()
    }
}

impl From<Lineage> for v1::Uuid {
    fn from(id: Lineage) -> Self {
        id.0.into()
    }
}

impl From<AgentUuid> for v1::Uuid {
    fn from(id: AgentUuid) -> Self {
        id.0.into()
    }
}

impl TryFrom<v1::Uuid> for JobUuid {
    type Error = Failure;

    fn try_from(wire: v1::Uuid) -> Result<Self, Failure> {
        uuid(Some(wire), At::root("job")).map(Self)
    }
}

impl TryFrom<v1::Uuid> for ClusterId {
    type Error = Failure;

    fn try_from(wire: v1::Uuid) -> Result<Self, Failure> {
        uuid(Some(wire), At::root("cluster")).map(Self)
    }
}

impl TryFrom<v1::Uuid> for Lineage {
    type Error = Failure;

    fn try_from(wire: v1::Uuid) -> Result<Self, Failure> {
        uuid(Some(wire), At::root("lineage")).map(Self)
    }
}

impl TryFrom<v1::Uuid> for AgentUuid {
    type Error = Failure;

    fn try_from(wire: v1::Uuid) -> Result<Self, Failure> {
        uuid(Some(wire), At::root("agent")).map(Self)
    }
}

impl From<&TabletIdentity> for v1::TabletIdentity {
    fn from(identity: &TabletIdentity) -> Self {
        Self {
            cluster: Some(identity.cluster.into()),
            tablet: identity.tablet.0,
            lineage: Some(identity.lineage.into()),
            version: identity.version.0,
        }
    }
}

impl TryFrom<v1::TabletIdentity> for TabletIdentity {
    type Error = Failure;

    fn try_from(wire: v1::TabletIdentity) -> Result<Self, Failure> {
        tablet_identity(Some(wire), At::root("identity"))
    }
}

impl From<ManifestRef> for v1::ManifestRef {
    fn from(manifest: ManifestRef) -> Self {
        Self {
            job: Some(manifest.job.into()),
            digest: digest_bytes(&manifest.digest),
            size: manifest.size,
            tablets: manifest.tablets,
            files: manifest.files,
            bytes: manifest.bytes,
            stored_bytes: manifest.stored_bytes,
            objects: manifest.objects,
            packs: manifest.packs,
        }
    }
}

impl TryFrom<v1::ManifestRef> for ManifestRef {
    type Error = Failure;

    fn try_from(wire: v1::ManifestRef) -> Result<Self, Failure> {
        manifest_ref(Some(wire), At::root("manifest"))
    }
}

pub(super) fn uuid(wire: Option<v1::Uuid>, at: At<'_>) -> Result<Uuid, Failure> {
    let value = wire.ok_or_else(|| at.missing(A_UUID))?.value;
    Uuid::from_slice(&value).map_err(|_| at.refuse(format_args!("is {} bytes long: expected {A_UUID}", value.len())))
}

pub(super) fn digest_bytes(digest: &Digest) -> Bytes {
    Bytes::copy_from_slice(digest.as_bytes())
}

pub(super) fn digest(wire: &Bytes, at: At<'_>) -> Result<Digest, Failure> {
    let bytes = wire[..]
        .try_into()
        .map_err(|_| at.refuse(format_args!("is {} bytes long: expected a BLAKE3 digest of 32 bytes", wire.len())))?;
    Ok(Digest::from_bytes(bytes))
}

pub(super) fn tablet_identity(wire: Option<v1::TabletIdentity>, at: At<'_>) -> Result<TabletIdentity, Failure> {
    let wire = wire.ok_or_else(|| at.missing("cluster, tablet, lineage and version"))?;
    Ok(TabletIdentity {
        cluster: uuid(wire.cluster, at.field("cluster")).map(ClusterId)?,
        tablet: positive(wire.tablet, at.field("tablet")).map(TabletId)?,
        lineage: uuid(wire.lineage, at.field("lineage")).map(Lineage)?,
        version: positive(wire.version, at.field("version")).map(Version)?,
    })
}

pub(super) fn manifest_ref(wire: Option<v1::ManifestRef>, at: At<'_>) -> Result<ManifestRef, Failure> {
    let wire = wire.ok_or_else(|| at.missing("the job, digest and totals of a manifest"))?;
    Ok(ManifestRef {
        job: uuid(wire.job, at.field("job")).map(JobUuid)?,
        digest: digest(&wire.digest, at.field("digest"))?,
        size: positive(wire.size, at.field("size"))?,
        tablets: wire.tablets,
        files: wire.files,
        bytes: wire.bytes,
        stored_bytes: wire.stored_bytes,
        objects: wire.objects,
        packs: wire.packs,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::convert::samples::{self, refuses, survives};

    #[test]
    fn identities_survive_the_wire() {
        let job = samples::job();
        survives(&job, v1::Uuid::from(job));
        let cluster = samples::cluster();
        survives(&cluster, v1::Uuid::from(cluster));
        let lineage = samples::lineage();
        survives(&lineage, v1::Uuid::from(lineage));
        let agent = AgentUuid(Uuid::from_u128(77));
        survives(&agent, v1::Uuid::from(agent));
        let identity = samples::identity(11);
        survives(&identity, v1::TabletIdentity::from(&identity));
        let manifest = samples::manifest();
        survives(&manifest, v1::ManifestRef::from(manifest));
    }

    #[test]
    fn identities_of_a_wrong_form_are_refused() {
        let short = v1::Uuid { value: Bytes::from_static(&[7; 15]) };
        assert_eq!(
            JobUuid::try_from(short).map_err(|failure| failure.message),
            Err("field `job` is 15 bytes long: expected a UUID of 16 bytes".to_owned())
        );
        refuses::<TabletIdentity, _>(
            &v1::TabletIdentity::from(&samples::identity(11)),
            &[
                ("identity.cluster", |wire| wire.cluster = None),
                ("identity.tablet", |wire| wire.tablet = 0),
                ("identity.lineage", |wire| wire.lineage = Some(v1::Uuid::default())),
                ("identity.version", |wire| wire.version = 0),
            ],
        );
        refuses::<ManifestRef, _>(
            &v1::ManifestRef::from(samples::manifest()),
            &[
                ("manifest.job", |wire| wire.job = None),
                ("manifest.digest", |wire| wire.digest = Bytes::from_static(&[1; 31])),
                ("manifest.digest", |wire| wire.digest = Bytes::from_static(&[1; 33])),
                ("manifest.size", |wire| wire.size = 0),
            ],
        );
    }
}
