//! The names of tasks that wait for a backend, each once, in order.

use std::collections::{HashSet, VecDeque};

use tabvault_common::ids::{JobUuid, TaskId};

/// A task's name among all jobs.
pub(super) type Name = (JobUuid, TaskId);

/// See the module. Whether a name is in it is known without a look at the others.
#[derive(Debug, Default)]
pub(super) struct Queue {
    names: VecDeque<Name>,
    present: HashSet<Name>,
}

impl Queue {
    /// At the end, unless it waits already.
    pub(super) fn push_back(&mut self, name: Name) {
        if self.present.insert(name) {
            self.names.push_back(name);
        }
    }

    /// At the front, unless it waits already.
    pub(super) fn push_front(&mut self, name: Name) {
        if self.present.insert(name) {
            self.names.push_front(name);
        }
    }

    /// The one that has waited longest.
    pub(super) fn pop_front(&mut self) -> Option<Name> {
        let name = self.names.pop_front()?;
        self.present.remove(&name);
        Some(name)
    }

    /// Takes out all tasks of a job.
    pub(super) fn remove_job(&mut self, job: JobUuid) {
        self.names.retain(|(j, _)| *j != job);
        self.present.retain(|(j, _)| *j != job);
    }

    /// All that wait, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Name> {
        self.names.iter()
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn name(job: u128, task: u64) -> Name {
        (JobUuid(Uuid::from_u128(job)), TaskId(task))
    }

    #[test]
    fn a_name_waits_once_until_it_is_taken_out() {
        let mut queue = Queue::default();
        for at in [name(1, 1), name(2, 1), name(1, 2), name(1, 1)] {
            queue.push_back(at);
        }
        queue.push_front(name(1, 2));
        queue.push_front(name(1, 3));
        assert_eq!(queue.pop_front(), Some(name(1, 3)));
        assert_eq!(queue.pop_front(), Some(name(1, 1)));
        queue.push_back(name(1, 1));
        queue.remove_job(JobUuid(Uuid::from_u128(2)));
        assert_eq!(queue.iter().count(), 2);
        queue.push_back(name(2, 1));
        let rest: Vec<Name> = std::iter::from_fn(|| queue.pop_front()).collect();
        assert_eq!(rest, [name(1, 2), name(1, 1), name(2, 1)]);
    }
}
