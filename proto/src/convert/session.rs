//! The stream between agents and their coordinator.

use std::time::Duration;

use tabvault_common::failure::Failure;
use tabvault_common::ids::{AgentUuid, BackendId, ClusterId, Epoch, JobUuid};
use tabvault_common::task::JobEnd;

use super::ids::uuid;
use super::{At, list, positive, text};
use crate::session::{FromAgent, FromCoordinator, Heartbeat, Hello, Welcome};
use crate::v1::{self, agent_message, coordinator_message};

impl From<&FromAgent> for v1::AgentMessage {
    fn from(message: &FromAgent) -> Self {
        let message = match message {
            FromAgent::Hello(hello) => agent_message::Message::Hello(hello_to_wire(hello)),
            FromAgent::Heartbeat(heartbeat) => agent_message::Message::Heartbeat(heartbeat_to_wire(heartbeat)),
            FromAgent::Report(report) => agent_message::Message::Report(report.into()),
            FromAgent::Progress(progress) => agent_message::Message::Progress((*progress).into()),
        };
        Self { message: Some(message) }
    }
}

impl TryFrom<v1::AgentMessage> for FromAgent {
    type Error = Failure;

    fn try_from(wire: v1::AgentMessage) -> Result<Self, Failure> {
        match wire.message {
            Some(agent_message::Message::Hello(wire)) => hello(wire, At::root("hello")).map(Self::Hello),
            Some(agent_message::Message::Heartbeat(wire)) => {
                heartbeat(wire, At::root("heartbeat")).map(Self::Heartbeat)
            }
            Some(agent_message::Message::Report(wire)) => wire.try_into().map(Self::Report),
            Some(agent_message::Message::Progress(wire)) => wire.try_into().map(Self::Progress),
            None => Err(At::root("message").missing("hello, heartbeat, report or progress")),
        }
    }
}

impl From<&FromCoordinator> for v1::CoordinatorMessage {
    fn from(message: &FromCoordinator) -> Self {
        let message = match message {
            FromCoordinator::Welcome(welcome) => coordinator_message::Message::Welcome(welcome_to_wire(welcome)),
            FromCoordinator::Task(task) => coordinator_message::Message::Task(task.into()),
            FromCoordinator::Acknowledge(key) => coordinator_message::Message::Acknowledge((*key).into()),
            FromCoordinator::JobEnded { job, end } => coordinator_message::Message::JobEnded(v1::JobEnded {
                job: Some((*job).into()),
                published: *end == JobEnd::Published,
            }),
        };
        Self { message: Some(message) }
    }
}

impl TryFrom<v1::CoordinatorMessage> for FromCoordinator {
    type Error = Failure;

    fn try_from(wire: v1::CoordinatorMessage) -> Result<Self, Failure> {
        match wire.message {
            Some(coordinator_message::Message::Welcome(wire)) => welcome(wire, At::root("welcome")).map(Self::Welcome),
            Some(coordinator_message::Message::Task(wire)) => wire.try_into().map(Self::Task),
            Some(coordinator_message::Message::Acknowledge(wire)) => wire.try_into().map(Self::Acknowledge),
            Some(coordinator_message::Message::JobEnded(wire)) => Ok(Self::JobEnded {
                job: uuid(wire.job, At::root("job_ended").field("job")).map(JobUuid)?,
                end: if wire.published { JobEnd::Published } else { JobEnd::Discarded },
            }),
            None => Err(At::root("message").missing("welcome, task, acknowledge or job_ended")),
        }
    }
}

fn hello_to_wire(hello: &Hello) -> v1::Hello {
    v1::Hello {
        agent: Some(hello.agent.into()),
        incarnation: Some(hello.incarnation.into()),
        cluster: hello.cluster.map(v1::Uuid::from),
        highest_epoch: hello.highest_epoch.0,
        backend: hello.backend.map(|backend| backend.0),
        host: hello.host.clone(),
        version: hello.version.clone(),
        state: Some(heartbeat_to_wire(&hello.state)),
    }
}

fn heartbeat_to_wire(heartbeat: &Heartbeat) -> v1::Heartbeat {
    v1::Heartbeat {
        used_bytes: heartbeat.used_bytes,
        available_bytes: heartbeat.available_bytes,
        tablets: heartbeat.tablets,
        running_tasks: heartbeat.running_tasks,
        leftovers: heartbeat.leftovers.iter().map(|job| v1::Uuid::from(*job)).collect(),
    }
}

fn welcome_to_wire(welcome: &Welcome) -> v1::Welcome {
    v1::Welcome {
        cluster: Some(welcome.cluster.into()),
        epoch: welcome.epoch.0,
        backend: welcome.backend.0,
        heartbeat_interval_ms: u32::try_from(welcome.heartbeat_interval.as_millis()).unwrap_or(u32::MAX),
    }
}

fn hello(wire: v1::Hello, at: At<'_>) -> Result<Hello, Failure> {
    let state = wire.state.ok_or_else(|| at.field("state").missing("a heartbeat"))?;
    Ok(Hello {
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

fn heartbeat(wire: v1::Heartbeat, at: At<'_>) -> Result<Heartbeat, Failure> {
    Ok(Heartbeat {
        used_bytes: wire.used_bytes,
        available_bytes: wire.available_bytes,
        tablets: wire.tablets,
        running_tasks: wire.running_tasks,
        leftovers: list(wire.leftovers, at, "leftovers", |wire, at| uuid(Some(wire), at).map(JobUuid))?,
    })
}

fn welcome(wire: v1::Welcome, at: At<'_>) -> Result<Welcome, Failure> {
    let interval = positive(wire.heartbeat_interval_ms, at.field("heartbeat_interval_ms"))?;
    Ok(Welcome {
        cluster: uuid(wire.cluster, at.field("cluster")).map(ClusterId)?,
        epoch: positive(wire.epoch, at.field("epoch")).map(Epoch)?,
        backend: positive(wire.backend, at.field("backend")).map(BackendId)?,
        heartbeat_interval: Duration::from_millis(interval.into()),
    })
}

#[cfg(test)]
mod tests {
    use tabvault_common::task::{TaskProgress, TaskReport, TaskResult};
    use uuid::Uuid;

    use super::*;
    use crate::convert::samples::{self, refuses, refuses_within, survives};

    #[test]
    fn what_an_agent_says_survives_the_wire() {
        let stranger = Hello { cluster: None, backend: None, highest_epoch: Epoch(0), ..sample_hello() };
        let key = samples::key();
        for message in [
            FromAgent::Hello(sample_hello()),
            FromAgent::Hello(stranger),
            FromAgent::Heartbeat(sample_hello().state),
            FromAgent::Report(TaskReport { key, outcome: Ok(TaskResult::Done) }),
            FromAgent::Progress(TaskProgress { key, done: 1, total: 2 }),
        ] {
            survives(&message, v1::AgentMessage::from(&message));
        }
    }

    #[test]
    fn what_a_coordinator_says_survives_the_wire() {
        let job = samples::job();
        for message in [
            FromCoordinator::Welcome(sample_welcome()),
            FromCoordinator::Task(samples::task(samples::bodies().remove(0))),
            FromCoordinator::Acknowledge(samples::key()),
            FromCoordinator::JobEnded { job, end: JobEnd::Published },
            FromCoordinator::JobEnded { job, end: JobEnd::Discarded },
        ] {
            survives(&message, v1::CoordinatorMessage::from(&message));
        }
    }

    #[test]
    fn wrong_messages_of_a_session_are_refused() {
        refuses::<FromAgent, _>(&v1::AgentMessage::default(), &[("message", |_| {})]);
        refuses::<FromCoordinator, _>(
            &v1::CoordinatorMessage::default(),
            &[
                ("message", |_| {}),
                ("job_ended.job", |wire| {
                    wire.message = Some(coordinator_message::Message::JobEnded(v1::JobEnded::default()));
                }),
                ("key.attempt", |wire| {
                    let key = v1::TaskKey { attempt: 0, ..samples::key().into() };
                    wire.message = Some(coordinator_message::Message::Acknowledge(key));
                }),
            ],
        );
        refuses_within::<FromAgent, _, _>(
            &hello_to_wire(&sample_hello()),
            |hello| v1::AgentMessage { message: Some(agent_message::Message::Hello(hello)) },
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
        refuses_within::<FromCoordinator, _, _>(
            &welcome_to_wire(&sample_welcome()),
            |welcome| v1::CoordinatorMessage { message: Some(coordinator_message::Message::Welcome(welcome)) },
            &[
                ("welcome.cluster", |wire| wire.cluster = None),
                ("welcome.epoch", |wire| wire.epoch = 0),
                ("welcome.backend", |wire| wire.backend = 0),
                ("welcome.heartbeat_interval_ms", |wire| wire.heartbeat_interval_ms = 0),
            ],
        );
    }

    fn sample_hello() -> Hello {
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

    fn sample_welcome() -> Welcome {
        Welcome {
            cluster: samples::cluster(),
            epoch: Epoch(5),
            backend: BackendId(10_001),
            heartbeat_interval: Duration::from_millis(2500),
        }
    }
}
