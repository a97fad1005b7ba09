//! What an agent and its coordinator say about each other on the stream of `AgentService.Attach`; tasks and reports are
//! in `tabvault_common::task`.
//!
//! Both sides take the envelopes apart themselves: they ignore messages of a kind that a later version adds, and answer
//! for a task whose body they cannot read by its key.

use std::time::Duration;

use tabvault_common::ids::{AgentUuid, BackendId, ClusterId, Epoch, JobUuid};
use tabvault_common::task::JobEnd;
use uuid::Uuid;

/// An agent introduces itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// The identity of its data directory.
    pub agent: AgentUuid,
    /// Changes with every start of the process: what an earlier one was doing is lost.
    pub incarnation: Uuid,
    /// The cluster it belongs to; `None` if it never belonged to one.
    pub cluster: Option<ClusterId>,
    /// The highest epoch it has seen, zero if none; a coordinator of a lower one is stale.
    pub highest_epoch: Epoch,
    /// The number that an embedding cluster gave this backend; `None`: the coordinator chooses and remembers it.
    pub backend: Option<BackendId>,
    /// The name shown as Host.
    pub host: String,
    /// The agent's version.
    pub version: String,
    /// How it is.
    pub state: Heartbeat,
}

/// How an agent is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Heartbeat {
    /// Bytes in tablets.
    pub used_bytes: u64,
    /// Bytes free on its data disks.
    pub available_bytes: u64,
    /// Tablets on it.
    pub tablets: u64,
    /// Tasks it works on.
    pub running_tasks: u64,
    /// Jobs of which something is left on this agent.
    pub leftovers: Vec<JobUuid>,
}

/// A coordinator takes an agent in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Welcome {
    /// The cluster; an agent that belongs to another one leaves.
    pub cluster: ClusterId,
    /// The leadership; an agent that has seen a higher one leaves.
    pub epoch: Epoch,
    /// The backend's number.
    pub backend: BackendId,
    /// How often the coordinator wants to hear from the agent; whole milliseconds, at least one.
    pub heartbeat_interval: Duration,
}

/// The coordinator tells that a job is over: its tasks stop and its leftovers go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JobEnded {
    /// The job.
    pub job: JobUuid,
    /// What becomes of its hidden tablets.
    pub end: JobEnd,
}
