//! One job from its creation to its end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::executor::block_on;
use tabvault_common::clock::Time;
use tabvault_common::failure::Kind;
use tabvault_common::ids::{BackendId, Epoch};
use tabvault_common::task::JobEnd;
use tabvault_common::view::JobKind;

use super::Dice;
use super::agents::Agent;
use super::catalog::Catalog;
use super::leader::{Crashed, Leader};
use super::repository::Repository;
use crate::catalog::Decision;
use crate::job::any::Job;
use crate::job::backup::BackupJob;
use crate::job::restore::RestoreJob;
use crate::job::samples::{self, START, TIMEOUT};
use crate::job::{Ask, Event};
use crate::records::broken::{BrokenStore, Fault};
use crate::records::{Claim, Records, Request};
use crate::store::JobStore;

/// A life takes at most so many steps; most take some hundred.
const MAX_STEPS: usize = 20_000;

pub(super) struct Life {
    pub(super) seed: u64,
    pub(super) dice: Dice,
    pub(super) now: Time,
    pub(super) store: Arc<BrokenStore>,
    pub(super) repository: Repository,
    pub(super) catalog: Catalog,
    pub(super) agents: BTreeMap<BackendId, Agent>,
    pub(super) leader: Option<Leader>,
    /// Questions of coordinators that are no more, still on their way.
    pub(super) late: Vec<(Ask, Job, Epoch)>,
    /// How much may still go wrong.
    pub(super) faults: usize,
    pub(super) cancels: bool,
    pub(super) end: Option<JobEnd>,
    pub(super) over: bool,
    pub(super) seen: BTreeSet<&'static str>,
    pub(super) trace: Vec<String>,
}

impl Drop for Life {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let last = self.trace.len().saturating_sub(60);
            eprintln!("seed {} went wrong after {} steps; the last:", self.seed, self.trace.len());
            for line in &self.trace[last..] {
                eprintln!("  {line}");
            }
        }
    }
}

impl Life {
    pub(super) fn new(kind: JobKind, seed: u64) -> Self {
        let mut dice = Dice(seed.wrapping_mul(0x1000_0001) ^ 0x5eed);
        let store = BrokenStore::new();
        let records = Records::new(store.clone(), block_on(store.lead()).unwrap());
        let request = Request::Backup(samples::backup_request());
        let created = block_on(records.create(&request, |id| match kind {
            JobKind::Backup => {
                let head = crate::job::backup::Head { id, ..samples::backup_head() };
                Job::Backup(Box::new(BackupJob::new(head)))
            }
            JobKind::Restore => {
                let head = crate::job::restore::Head { id, ..samples::restore_head() };
                Job::Restore(Box::new(RestoreJob::new(head)))
            }
        }));
        assert_eq!(created.unwrap().0, Claim::Stored);
        let faults = dice.below(60);
        let cancels = dice.one_in(3);
        Self {
            seed,
            dice,
            now: START,
            store,
            repository: Repository::default(),
            catalog: Catalog::new(),
            agents: [1, 2, 3].map(|n| (BackendId(n), Agent::default())).into(),
            leader: None,
            late: Vec::new(),
            faults,
            cancels,
            end: None,
            over: false,
            seen: BTreeSet::new(),
            trace: Vec::new(),
        }
    }

    pub(super) fn seen(&self) -> impl Iterator<Item = &'static str> {
        self.seen.iter().copied()
    }

    pub(super) fn run(&mut self) {
        for _ in 0..MAX_STEPS {
            if self.over {
                break;
            }
            self.step();
            self.check();
        }
        assert!(self.over, "the job does not end");
        while !self.late.is_empty() {
            self.late_answer();
            self.check();
        }
        let left = block_on(self.store.keys());
        let left: Vec<_> =
            left.iter().filter(|key| !key.starts_with("history/") && !key.starts_with("ended/")).collect();
        assert_eq!(left, ["sequence/job"], "slot and label are free, and nothing lies about");
        let cancelled = self.end == Some(JobEnd::Discarded);
        if cancelled && !self.repository.has_tombstone() {
            assert!(self.repository.intent.is_none(), "nothing tells that the intent may go");
        }
        self.seen.insert(if cancelled { "cancelled" } else { "finished" });
    }

    pub(super) fn note(&mut self, what: impl Into<String>) {
        let state = self.leader.as_ref().map_or("(no coordinator)", |leader| leader.job.state());
        self.trace.push(format!("{} +{}ms {}", state, self.now.0 - START.0, what.into()));
    }

    pub(super) fn fault(&mut self, one_in: usize) -> bool {
        let now = self.faults > 0 && self.dice.one_in(one_in);
        self.faults -= usize::from(now);
        now
    }

    fn crash(&mut self) {
        self.note("the coordinator crashes");
        self.seen.insert("a coordinator crashed");
        let Some(leader) = self.leader.take() else { return };
        let epoch = leader.epoch;
        // An intent that arrives after its removal is left to the repository's own tools.
        let on_their_way = leader.asking.into_iter().filter(|(ask, _)| *ask != Ask::Plan);
        self.late.extend(on_their_way.map(|(ask, job)| (ask, job, epoch)));
    }

    fn step(&mut self) {
        let Some(leader) = &mut self.leader else { return self.start() };
        if leader.job.is_over() {
            return self.archive();
        }
        if let Some(event) = leader.own.pop_front() {
            return self.take(event);
        }
        // Most of what is interesting happens around the commit point, which is short.
        let committing = ["UPLOAD_INFO", "COMMITTING"].contains(&leader.job.state());
        if self.fault(12) {
            return self.misfortune();
        }
        if committing && self.fault(8) {
            return self.crash();
        }
        if self.cancels && self.dice.one_in(if committing { 3 } else { 200 }) {
            self.cancels = false;
            return self.take(Event::Cancel { by: "root".into() });
        }
        self.work();
    }

    fn start(&mut self) {
        if self.fault(8) {
            self.store.set(Some(Fault { after: 0, happens: self.dice.one_in(2) }));
        }
        match Leader::start(&self.store, &mut self.agents) {
            Ok(Some(leader)) => self.leader = Some(leader),
            Ok(None) => self.over = true,
            Err(Crashed) => self.note("the coordinator crashes while it starts"),
        }
        self.store.set(None);
        self.note("a coordinator starts");
    }

    fn archive(&mut self) {
        if self.fault(3) {
            self.store.set(Some(Fault { after: self.dice.roll() as u32 % 4, happens: self.dice.one_in(2) }));
        }
        let Some(leader) = &mut self.leader else { return };
        let archived = leader.archive();
        self.store.set(None);
        self.leader = None;
        // Whoever starts next finds nothing, or does it again.
        self.over = archived.is_ok() && self.dice.one_in(2);
    }

    pub(super) fn take(&mut self, event: Event) {
        self.take_all(vec![event]);
    }

    /// Events that reach the coordinator while it is busy.
    pub(super) fn take_all(&mut self, events: Vec<Event>) {
        for event in &events {
            self.note(format!("{event:?}").chars().take(200).collect::<String>());
        }
        let cut = self.fault(25);
        if cut {
            self.store.set(Some(Fault { after: self.dice.roll() as u32 % 2, happens: self.dice.one_in(2) }));
        }
        let doomed = self.fault(25).then(|| self.dice.below(4));
        let retry = self.dice.one_in(2);
        let Some(leader) = &mut self.leader else { return };
        let by_time = events == [Event::Tick] && leader.own.is_empty();
        leader.doomed = doomed;
        let taken = leader.take(events, self.now, &mut self.agents, retry);
        leader.doomed = None;
        if cut && !self.store.is_set() {
            self.seen.insert("a step was cut");
        }
        self.store.set(None);
        if taken.is_err() {
            return self.crash();
        }
        if by_time {
            let next = leader.job.next_tick();
            assert!(next.is_none_or(|next| next > self.now), "a tick does not ask for another at the same moment");
        }
        if self.dice.one_in(8)
            && let Some(leader) = &self.leader
        {
            leader.check_stored();
        }
    }

    fn misfortune(&mut self) {
        let backend = BackendId(1 + self.dice.roll() % 3);
        match self.dice.below(7) {
            0 | 1 => self.crash(),
            2 => {
                self.note(format!("agent {backend} restarts"));
                let Some(agent) = self.agents.get_mut(&backend) else { return };
                agent.restart(&mut self.dice);
                if !agent.away {
                    self.attach(backend);
                }
            }
            3 => {
                self.note(format!("agent {backend} goes away"));
                self.agents.get_mut(&backend).unwrap().away = true;
                self.agents.get_mut(&backend).unwrap().inbox.clear();
            }
            4 | 5 => self.catalog.load(&mut self.dice),
            _ if self.dice.one_in(6) => self.catalog.drop_partition(),
            _ => self.agents.get_mut(&backend).unwrap().lose_downloads(),
        }
    }

    fn attach(&mut self, backend: BackendId) {
        let is_new = std::mem::take(&mut self.agents.get_mut(&backend).unwrap().is_new);
        if is_new {
            self.take(Event::BackendRestarted(backend));
        }
        match &mut self.leader {
            Some(leader) => leader.attached(backend),
            // Nobody has stored it.
            None => self.agents.get_mut(&backend).unwrap().is_new = is_new,
        }
    }

    /// Something that goes on by itself.
    fn work(&mut self) {
        let Some(leader) = &self.leader else { return };
        let mut choices = Vec::new();
        choices.extend((0..leader.asking.len()).map(|_| "answer"));
        choices.extend(leader.ready(&self.agents).iter().map(|_| "send"));
        choices.extend(self.late.iter().map(|_| "late"));
        for (backend, agent) in &self.agents {
            if agent.away {
                choices.push("come back");
                if !leader.dead.contains(backend) {
                    choices.push("declare dead");
                }
            } else if agent.is_new {
                choices.push("attach");
            }
            choices.extend(agent.inbox.iter().map(|_| "task"));
            if !agent.away {
                choices.extend(agent.reports.iter().map(|_| "report"));
            }
        }
        // Time flies when there is nothing else to do; the deadline seldom comes before.
        if let Some(next) = leader.job.next_tick() {
            let rarely = if next < START.after(TIMEOUT) { 20 } else { 2000 };
            if choices.is_empty() || self.dice.one_in(rarely) {
                choices = vec!["tick"];
            }
        }
        if choices.is_empty() {
            // An intent that cannot be removed is left to the next start.
            assert_eq!(leader.job.state(), "CANCELLED", "nothing is left to wait for");
            return self.crash();
        }
        match choices[self.dice.below(choices.len())] {
            "answer" => self.answer(),
            "send" => self.leader.as_mut().unwrap().send_one(&mut self.dice, &mut self.agents),
            "late" => self.late_answer(),
            "come back" => {
                let away = self.pick(|agent| agent.away);
                self.agents.get_mut(&away).unwrap().away = false;
                self.attach(away);
            }
            "declare dead" => {
                let dead = self.leader.as_ref().unwrap().dead.clone();
                let away: Vec<_> = self.agents.iter().filter(|(id, agent)| agent.away && !dead.contains(id)).collect();
                let backend = *away[self.dice.below(away.len())].0;
                self.leader.as_mut().unwrap().dead.insert(backend);
                self.seen.insert("a backend died");
                self.take(Event::BackendDead(backend));
            }
            "attach" => {
                let new = self.pick(|agent| agent.is_new && !agent.away);
                self.attach(new);
            }
            "task" => self.work_on_task(),
            "report" => self.report(),
            _ => {
                self.now = self.leader.as_ref().unwrap().job.next_tick().unwrap().max(self.now);
                self.take(Event::Tick);
            }
        }
    }

    pub(super) fn pick(&mut self, fits: impl Fn(&Agent) -> bool) -> BackendId {
        let fitting: Vec<_> = self.agents.iter().filter(|(_, agent)| fits(agent)).map(|(id, _)| *id).collect();
        fitting[self.dice.below(fitting.len())]
    }

    fn work_on_task(&mut self) {
        let backend = self.pick(|agent| !agent.inbox.is_empty());
        let failure = if self.fault(15) {
            let kind = if self.dice.one_in(12) { Kind::Corrupt } else { Kind::Unreachable };
            let fatal = kind == Kind::Corrupt;
            Some(if fatal { samples::fatal(kind) } else { samples::transient() })
        } else {
            None
        };
        let agent = self.agents.get_mut(&backend).unwrap();
        let n = self.dice.below(agent.inbox.len());
        agent.work(n, backend, &self.catalog, &mut self.repository, failure);
    }

    /// What holds at every moment.
    fn check(&mut self) {
        let Some(leader) = &self.leader else { return };
        let end = leader.job.end();
        assert!(self.end.is_none() || self.end == end, "an end is for ever: {:?}, now {end:?}", self.end);
        self.end = end;
        match (&leader.job, end) {
            (Job::Backup(_), Some(JobEnd::Published)) => assert!(self.repository.published()),
            (Job::Backup(_), Some(JobEnd::Discarded)) => assert!(!self.repository.published()),
            (Job::Restore(_), Some(JobEnd::Published)) => {
                assert_eq!(self.catalog.decision, Some(Decision::Published));
            }
            (Job::Restore(_), Some(JobEnd::Discarded)) => {
                assert_eq!(self.catalog.decision, Some(Decision::Discarded));
            }
            (_, None) => {}
        }
        let has = |key: &str| block_on(self.store.get(key)).unwrap().is_some();
        assert_eq!(has("slot/shop"), leader.job.holds_slot());
        assert_eq!(has("label/repo/nightly"), leader.job.kind() == JobKind::Backup && end.is_none());
    }
}
