//! The stream between agents and their coordinator.

use std::time::Duration;

use tabvault_common::failure::Failure;
use tabvault_common::ids::{AgentUuid, BackendId, ClusterId, Epoch, JobUuid};
use tabvault_common::settings::{AgentSettings, Configuration, RepositorySettings};
use tabvault_common::task::JobEnd;

use super::ids::uuid;
use super::{At, list, positive, text};
use crate::session::{Heartbeat, Hello, JobEnded, Welcome};
use crate::v1;

impl From<&Hello> for v1::Hello {
    fn from(hello: &Hello) -> Self {
        Self {
            agent: Some(hello.agent.into()),
            incarnation: Some(hello.incarnation.into()),
            cluster: hello.cluster.map(v1::Uuid::from),
            highest_epoch: hello.highest_epoch.0,
            backend: hello.backend.map(|backend| backend.0),
            host: hello.host.clone(),
            version: hello.version.clone(),
            state: Some((&hello.state).into()),
        }
    }
}

impl TryFrom<v1::Hello> for Hello {
    type Error = Failure;

    fn try_from(wire: v1::Hello) -> Result<Self, Failure> {
        let at = At::root("hello");
        let state = wire.state.ok_or_else(|| at.field("state").missing("a heartbeat"))?;
        Ok(Self {
            agent: uuid(wire.agent, at.field("agent")).map(AgentUuid)?,
            incarnation: uuid(wire.incarnation, at.field("incarnation"))?,
            cluster: wire.cluster.map(|cluster| uuid(Some(cluster), at.field("cluster")).map(ClusterId)).transpose()?,
            highest_epoch: Epoch(wire.highest_epoch),
            backend: wire.backend.map(|backend| positive(backend, at.field("backend")).map(BackendId)).transpose()?,
            host: text(wire.host, at.field("host"))?,
            version: text(wire.version, at.field("version"))?,
            state: heartbeat(state, at.field("state"))?,
        })
    }
}

impl From<&Heartbeat> for v1::Heartbeat {
    fn from(heartbeat: &Heartbeat) -> Self {
        Self {
            used_bytes: heartbeat.used_bytes,
            available_bytes: heartbeat.available_bytes,
            tablets: heartbeat.tablets,
            running_tasks: heartbeat.running_tasks,
            leftovers: heartbeat.leftovers.iter().map(|job| v1::Uuid::from(*job)).collect(),
        }
    }
}

impl TryFrom<v1::Heartbeat> for Heartbeat {
    type Error = Failure;

    fn try_from(wire: v1::Heartbeat) -> Result<Self, Failure> {
        heartbeat(wire, At::root("heartbeat"))
    }
}

fn heartbeat(wire: v1::Heartbeat, at: At<'_>) -> Result<Heartbeat, Failure> {
    Ok(Heartbeat {
        used_bytes: wire.used_bytes,
        available_bytes: wire.available_bytes,
        tablets: wire.tablets,
        running_tasks: wire.running_tasks,
        leftovers: list(wire.leftovers, at, "leftovers", |wire, at| uuid(Some(wire), at).map(JobUuid))?,
    })
}

impl From<Welcome> for v1::Welcome {
    fn from(welcome: Welcome) -> Self {
        Self {
            cluster: Some(welcome.cluster.into()),
            epoch: welcome.epoch.0,
            backend: welcome.backend.0,
            heartbeat_interval_ms: u32::try_from(welcome.heartbeat_interval.as_millis()).unwrap_or(u32::MAX),
        }
    }
}

impl TryFrom<v1::Welcome> for Welcome {
    type Error = Failure;

    fn try_from(wire: v1::Welcome) -> Result<Self, Failure> {
        let at = At::root("welcome");
        let interval = positive(wire.heartbeat_interval_ms, at.field("heartbeat_interval_ms"))?;
        Ok(Self {
            cluster: uuid(wire.cluster, at.field("cluster")).map(ClusterId)?,
            epoch: positive(wire.epoch, at.field("epoch")).map(Epoch)?,
            backend: positive(wire.backend, at.field("backend")).map(BackendId)?,
            heartbeat_interval: Duration::from_millis(interval.into()),
        })
    }
}

impl From<&Configuration> for v1::Configure {
    fn from(configuration: &Configuration) -> Self {
        let AgentSettings { bytes_per_second, requests_per_second, cpu_cores, max_requests_in_flight } =
            configuration.agent;
        let share = |(location, share): (&String, &RepositorySettings)| v1::RepositoryShare {
            location: location.clone(),
            bytes_per_second: share.bytes_per_second,
            requests_per_second: share.requests_per_second,
        };
        let repositories = configuration.repositories.iter().map(share).collect();
        Self { bytes_per_second, requests_per_second, cpu_cores, max_requests_in_flight, repositories }
    }
}

impl TryFrom<v1::Configure> for Configuration {
    type Error = Failure;

    fn try_from(wire: v1::Configure) -> Result<Self, Failure> {
        let at = At::root("configure");
        let share = |wire: v1::RepositoryShare, at: At<'_>| {
            let v1::RepositoryShare { location, bytes_per_second, requests_per_second } = wire;
            let share = RepositorySettings { bytes_per_second, requests_per_second };
            Ok((text(location, at.field("location"))?, share))
        };
        let most = wire.max_requests_in_flight.map(|most| positive(most, at.field("max_requests_in_flight")));
        Ok(Self {
            agent: AgentSettings {
                bytes_per_second: wire.bytes_per_second,
                requests_per_second: wire.requests_per_second,
                cpu_cores: wire.cpu_cores,
                max_requests_in_flight: most.transpose()?,
            },
            repositories: list(wire.repositories, at, "repositories", share)?.into_iter().collect(),
        })
    }
}

impl From<JobEnded> for v1::JobEnded {
    fn from(ended: JobEnded) -> Self {
        Self { job: Some(ended.job.into()), published: ended.end == JobEnd::Published }
    }
}

impl TryFrom<v1::JobEnded> for JobEnded {
    type Error = Failure;

    fn try_from(wire: v1::JobEnded) -> Result<Self, Failure> {
        let job = uuid(wire.job, At::root("job_ended").field("job")).map(JobUuid)?;
        Ok(Self { job, end: if wire.published { JobEnd::Published } else { JobEnd::Discarded } })
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::convert::samples::{self, refuses, survives};

    #[test]
    fn what_opens_and_ends_a_session_survives_the_wire() {
        let known = hello();
        let stranger = Hello { cluster: None, backend: None, highest_epoch: Epoch(0), ..known.clone() };
        survives(&known.state, v1::Heartbeat::from(&known.state));
        survives(&known, v1::Hello::from(&known));
        survives(&stranger, v1::Hello::from(&stranger));
        survives(&welcome(), v1::Welcome::from(welcome()));
        for configuration in [configuration(), Configuration::default()] {
            survives(&configuration, v1::Configure::from(&configuration));
        }
        for end in [JobEnd::Published, JobEnd::Discarded] {
            let ended = JobEnded { job: samples::job(), end };
            survives(&ended, v1::JobEnded::from(ended));
        }
    }

    #[test]
    fn wrong_messages_of_a_session_are_refused() {
        refuses::<Hello, _>(
            &v1::Hello::from(&hello()),
            &[
                ("hello.agent", |wire| wire.agent = None),
                ("hello.incarnation", |wire| wire.incarnation = None),
                ("hello.cluster", |wire| wire.cluster = Some(v1::Uuid::default())),
                ("hello.backend", |wire| wire.backend = Some(0)),
                ("hello.host", |wire| wire.host.clear()),
                ("hello.version", |wire| wire.version.clear()),
                ("hello.state", |wire| wire.state = None),
                ("hello.state.leftovers[0]", |wire| {
                    wire.state = Some(v1::Heartbeat { leftovers: vec![v1::Uuid::default()], ..Default::default() });
                }),
            ],
        );
        refuses::<Heartbeat, _>(
            &v1::Heartbeat::from(&hello().state),
            &[("heartbeat.leftovers[1]", |wire| wire.leftovers.push(v1::Uuid::default()))],
        );
        refuses::<Welcome, _>(
            &v1::Welcome::from(welcome()),
            &[
                ("welcome.cluster", |wire| wire.cluster = None),
                ("welcome.epoch", |wire| wire.epoch = 0),
                ("welcome.backend", |wire| wire.backend = 0),
                ("welcome.heartbeat_interval_ms", |wire| wire.heartbeat_interval_ms = 0),
            ],
        );
        refuses::<Configuration, _>(
            &v1::Configure::from(&configuration()),
            &[
                ("configure.max_requests_in_flight", |wire| wire.max_requests_in_flight = Some(0)),
                ("configure.repositories[1].location", |wire| {
                    wire.repositories.push(v1::RepositoryShare::default());
                }),
            ],
        );
        refuses::<JobEnded, _>(
            &v1::JobEnded { job: Some(samples::job().into()), published: true },
            &[("job_ended.job", |wire| wire.job = None)],
        );
    }

    fn hello() -> Hello {
        Hello {
            agent: AgentUuid(Uuid::from_u128(1)),
            incarnation: Uuid::from_u128(2),
            cluster: Some(samples::cluster()),
            highest_epoch: Epoch(4),
            backend: Some(BackendId(10_001)),
            host: "be-1".to_owned(),
            version: "0.1.0".to_owned(),
            state: Heartbeat {
                used_bytes: 1,
                available_bytes: 2,
                tablets: 3,
                running_tasks: 4,
                leftovers: vec![samples::job()],
            },
        }
    }

    fn configuration() -> Configuration {
        let agent = AgentSettings {
            bytes_per_second: Some(0),
            requests_per_second: None,
            cpu_cores: Some(3),
            max_requests_in_flight: Some(64),
        };
        let share = RepositorySettings { bytes_per_second: Some(7), requests_per_second: None };
        Configuration { agent, repositories: [("s3://bucket/r".to_owned(), share)].into() }
    }

    fn welcome() -> Welcome {
        Welcome {
            cluster: samples::cluster(),
            epoch: Epoch(5),
            backend: BackendId(10_001),
            heartbeat_interval: Duration::from_millis(2500),
        }
    }
}
