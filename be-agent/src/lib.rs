//! The agent beside a backend: hard-links tablets' immutable files, streams them into a repository, brings them back
//! and hands them to the storage engine.
//!
//! An embedder implements [`store::TabletStore`] (and [`load::LoadStore`] if its tablets hold trees of real files) and
//! calls [`agent::Agent::start`]. The agent dials the coordinator; no port of a backend needs to be reachable.
//!
//! | module | what it is |
//! |---|---|
//! | [`agent`] | the façade: start, status, shut down |
//! | [`config`] | everything that can be set |
//! | [`store`], [`load`] | the ports that an engine implements |
//! | [`memory`] | the budget of bytes that transfers share |
//! | `session` | the stream to the coordinator: attach, heartbeats, tasks down, reports up |
//! | `worker` | which attempt of which task runs, and what is reported until it is acknowledged |
//! | `throttle`, `window`, `gate` | what the agent keeps to: limits, requests in flight, cores |
//! | `tasks` | one file per kind of task |
//! | `work_dir` | `snapshot/`, `reuse/` and `download/` of every data root |
//! | `journal` | what an upload has finished, so that a restarted agent sends only the rest |
//! | `state` | what the agent remembers of its cluster |
//!
//! Through the `metrics` facade: the gauges `tabvault_agent_attached` and `tabvault_agent_tasks`, the counters
//! `tabvault_agent_tasks_ended_total{kind,outcome}` and `tabvault_agent_bytes_{uploaded,downloaded,reused}_total`, where
//! uploaded and downloaded bytes are stored ones. What throttling does: the gauges `tabvault_agent_request_window` and
//! `tabvault_agent_limit_{bytes_per_second,requests_per_second,cpu_cores}` (0: none), the counter
//! `tabvault_agent_push_backs_total`.

pub mod agent;
pub mod config;
mod context;
mod digest_cache;
mod files;
mod gate;
mod journal;
pub mod load;
pub mod memory;
pub mod progress;
mod session;
mod state;
pub mod store;
mod tasks;
mod throttle;
mod window;
mod work_dir;
mod worker;
