//! A coordinator: the job in its memory, and what it waits for. The order of persisting and acting is that of the
//! runner.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use futures::executor::block_on;
use tabvault_common::access::StorageAccess;
use tabvault_common::clock::Time;
use tabvault_common::failure::Failure;
use tabvault_common::ids::{BackendId, Epoch, TaskId};
use tabvault_common::task::Task;

use super::Dice;
use super::agents::Agent;
use crate::job::any::{Job, JobTransition};
use crate::job::{Ask, Effect, Event, Throughput};
use crate::records::broken::BrokenStore;
use crate::records::{Batch, Records};
use crate::store::JobStore;

/// It is no more: it crashed, or the store failed it.
#[derive(Debug)]
pub(super) struct Crashed;

#[derive(Debug)]
pub(super) struct Leader {
    pub(super) job: Job,
    pub(super) epoch: Epoch,
    records: Records,
    /// Events that the job gave itself.
    pub(super) own: VecDeque<Event>,
    /// Questions that are being asked, each with the job as it was then.
    pub(super) asking: Vec<(Ask, Job)>,
    /// Tasks that are to be sent, and those that were.
    pub(super) wanted: BTreeSet<(BackendId, TaskId)>,
    pub(super) sent: BTreeSet<(BackendId, TaskId)>,
    /// Backends that it has declared dead.
    pub(super) dead: BTreeSet<BackendId>,
    /// Whether it crashes at the next effect but so many.
    pub(super) doomed: Option<usize>,
}

type Agents = BTreeMap<BackendId, Agent>;

impl Leader {
    /// Takes the leadership and loads the job; `None` when it is archived.
    pub(super) fn start(store: &Arc<BrokenStore>, agents: &mut Agents) -> Result<Option<Self>, Crashed> {
        let epoch = block_on(store.lead()).unwrap();
        let records = Records::new(store.clone(), epoch);
        block_on(records.sweep()).map_err(|_| Crashed)?;
        let mut jobs = block_on(records.running()).map_err(|_| Crashed)?;
        assert!(jobs.len() <= 1);
        let Some(job) = jobs.pop() else { return Ok(None) };
        let mut leader = Self {
            job,
            epoch,
            records,
            own: VecDeque::new(),
            asking: Vec::new(),
            wanted: BTreeSet::new(),
            sent: BTreeSet::new(),
            dead: BTreeSet::new(),
            doomed: None,
        };
        let effects = leader.job.resume();
        leader.perform(&effects, agents)?;
        Ok(Some(leader))
    }

    /// Events that came together: think, persist, act. `retry` tells whether a failing store is tried again.
    pub(super) fn take(
        &mut self,
        events: Vec<Event>,
        now: Time,
        agents: &mut Agents,
        retry: bool,
    ) -> Result<(), Crashed> {
        let mut batch = Batch::of(&self.job);
        let (mut released, mut effects) = (Vec::new(), Vec::new());
        for event in events {
            let transition = self.job.step(event, now);
            if !batch.fits(&self.job, &transition) {
                let (released, effects) = (std::mem::take(&mut released), std::mem::take(&mut effects));
                self.store(&batch, retry)?;
                self.act(released, &effects, agents)?;
                batch = Batch::of(&self.job);
            }
            released.extend(self.released(&transition));
            effects.extend(batch.take(&mut self.job, transition));
        }
        self.store(&batch, retry)?;
        self.act(released, &effects, agents)
    }

    fn store(&self, batch: &Batch, retry: bool) -> Result<(), Crashed> {
        while let Err(_failure) = block_on(self.records.save(batch, &self.job)) {
            if !retry {
                return Err(Crashed);
            }
        }
        Ok(())
    }

    fn act(
        &mut self,
        released: Vec<(BackendId, Task)>,
        effects: &[Effect],
        agents: &mut Agents,
    ) -> Result<(), Crashed> {
        for (backend, task) in released {
            self.effect()?;
            deliver(agents, backend, task);
        }
        self.perform(effects, agents)
    }

    fn released(&self, transition: &JobTransition) -> Vec<(BackendId, Task)> {
        let release = |effect: &Effect| match effect {
            Effect::Release(task) => self.job.release(*task, self.epoch),
            Effect::Dispatch(_) | Effect::Ask(_) | Effect::Continue | Effect::EndOnAgents(_) => None,
        };
        transition.effects().iter().filter_map(release).collect()
    }

    /// Counts down to the crash that was planned.
    fn effect(&mut self) -> Result<(), Crashed> {
        match self.doomed {
            Some(0) => Err(Crashed),
            Some(n) => {
                self.doomed = Some(n - 1);
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn perform(&mut self, effects: &[Effect], agents: &mut Agents) -> Result<(), Crashed> {
        for effect in effects {
            self.effect()?;
            match effect {
                Effect::Dispatch(task) => {
                    // A later one of the events that came together may have taken it elsewhere.
                    let Some((backend, _)) = self.job.attempt(*task) else { continue };
                    self.sent.remove(&(backend, *task));
                    self.wanted.insert((backend, *task));
                }
                Effect::Release(_) => {}
                Effect::Continue => self.own.push_back(Event::Tick),
                Effect::EndOnAgents(_) => {
                    self.wanted.clear();
                    self.sent.clear();
                    agents.values_mut().filter(|agent| !agent.away).for_each(Agent::end);
                }
                Effect::Ask(ask) => self.asking.push((*ask, self.job.clone())),
            }
        }
        Ok(())
    }

    /// Sends one of the wanted tasks whose backends are there.
    pub(super) fn send_one(&mut self, dice: &mut Dice, agents: &mut Agents) {
        let ready: Vec<_> = self.ready(agents);
        let (backend, name) = ready[dice.below(ready.len())];
        self.wanted.remove(&(backend, name));
        if let Some((at, task)) = self.job.task(name, self.epoch, StorageAccess::direct("file:///repo")) {
            if at == backend {
                self.sent.insert((backend, name));
            }
            deliver(agents, at, task);
        }
    }

    pub(super) fn ready(&self, agents: &Agents) -> Vec<(BackendId, TaskId)> {
        self.wanted.iter().filter(|(backend, _)| !agents[backend].away).copied().collect()
    }

    /// The backend's agent attaches: it is sent again what it had not reported.
    pub(super) fn attached(&mut self, backend: BackendId) {
        self.dead.remove(&backend);
        let again: Vec<_> = self.sent.iter().filter(|(at, _)| *at == backend).copied().collect();
        for task in again {
            self.sent.remove(&task);
            self.wanted.insert(task);
        }
    }

    pub(super) fn archive(&mut self) -> Result<(), Failure> {
        block_on(self.records.archive(&self.job.view(&Throughput::default()), 10))
    }

    /// What is stored is what is in memory, apart from what a start forgets anyway.
    pub(super) fn check_stored(&self) {
        let mut stored = block_on(self.records.running()).unwrap();
        let mut here = self.job.clone();
        stored[0].resume();
        here.resume();
        assert_eq!(stored, [here]);
    }
}

fn deliver(agents: &mut Agents, backend: BackendId, task: Task) {
    if let Some(agent) = agents.get_mut(&backend).filter(|agent| !agent.away) {
        agent.inbox.push(task);
    }
}
