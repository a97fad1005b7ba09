//! Reports on their way from the agents to the coordinator.

use super::life::Life;
use crate::job::Event;

impl Life {
    /// A report reaches the coordinator; it is acknowledged when that is stored, and sent again otherwise.
    pub(super) fn report(&mut self) {
        let backend = self.pick(|agent| !agent.away && !agent.reports.is_empty());
        let n = self.dice.below(self.agents[&backend].reports.len());
        let mut reports = vec![(backend, self.agents[&backend].reports[n].clone())];
        if self.dice.one_in(2) {
            // Others wait at the same moment: one of each agent, as streams are read.
            let others = self.agents.iter().filter(|(id, agent)| **id != backend && !agent.away);
            reports.extend(others.filter_map(|(id, agent)| Some((*id, agent.reports.first()?.clone()))));
        }
        if reports.len() > 1 {
            self.seen.insert("reports came together");
        }
        let again = self.fault(15);
        let mut events = Vec::new();
        for (backend, (key, outcome)) in &reports {
            if matches!(outcome, Err(failure) if failure.message.contains("a download")) {
                self.seen.insert("files were gone");
            }
            if let Some(leader) = &mut self.leader {
                leader.sent.remove(&(*backend, key.task));
            }
            events.push(Event::Reported { task: key.task, attempt: key.attempt, outcome: outcome.clone() });
        }
        self.take_all(events.clone());
        if again && self.leader.is_some() {
            self.take_all(events);
        }
        if self.leader.is_some() {
            for (backend, (key, _)) in &reports {
                self.agents.get_mut(backend).unwrap().reports.retain(|(known, _)| known != key);
            }
        }
    }
}
