//! Small files that wait for a pack.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use super::super::Job;
use crate::memory::Reservation;

/// Plain bytes that one thread takes off the queue at once.
const TAKE: u64 = 1 << 20;

/// Files that are in no pack yet, and memory for those that will be.
pub(super) struct Queue(Mutex<Waiting>);

struct Waiting {
    /// Places in the plan, the next one last.
    places: Vec<usize>,
    /// Their plain bytes, and one for each file, so that empty ones count, too.
    weight: u64,
    /// Threads that wait for memory.
    waiting: usize,
    /// Of packs that were stored. Empty as soon as no file waits: nobody would come for it.
    spare: Vec<(Vec<u8>, Reservation)>,
    /// The same for threads that wait: what they wait for has been given back.
    given_back: Vec<Vec<u8>>,
}

impl Queue {
    /// All files wait.
    pub(super) fn new(job: &Job, mut places: Vec<usize>) -> Self {
        places.reverse();
        let weight = places.iter().map(|place| weight(job, *place)).sum();
        Self(Mutex::new(Waiting { places, weight, waiting: 0, spare: Vec::new(), given_back: Vec::new() }))
    }

    /// Zero when nothing waits.
    pub(super) fn left(&self) -> u64 {
        self.lock().weight
    }

    /// Takes the next files: those beside each other stay beside each other in a pack.
    pub(super) fn take(&self, job: &Job) -> Vec<usize> {
        let mut waiting = self.lock();
        let (mut taken, mut bytes) = (Vec::new(), 0);
        while bytes < TAKE
            && let Some(place) = waiting.places.pop()
        {
            bytes += weight(job, place);
            taken.push(place);
        }
        waiting.weight = waiting.weight.saturating_sub(bytes);
        if waiting.places.is_empty() {
            waiting.spare.clear();
        }
        taken
    }

    /// Memory for a pack; if there is none, the caller waits for it and says so when it is [`Queue::reserved`].
    pub(super) fn spare(&self) -> Option<(Vec<u8>, Reservation)> {
        let mut waiting = self.lock();
        let spare = waiting.spare.pop();
        waiting.waiting += usize::from(spare.is_none());
        spare
    }

    /// Says that the memory is there which was waited for.
    pub(super) fn reserved(&self) -> Vec<u8> {
        let mut waiting = self.lock();
        waiting.waiting -= 1;
        waiting.given_back.pop().unwrap_or_default()
    }

    /// Keeps the memory of a pack that was stored, for the next one. Who waits for it waits with everybody else who uses
    /// the budget: what it would keep from them is given back.
    pub(super) fn reuse(&self, buffer: Vec<u8>, memory: Reservation) {
        let mut waiting = self.lock();
        if waiting.given_back.len() < waiting.waiting {
            waiting.given_back.push(buffer);
        } else if waiting.waiting == 0 && !waiting.places.is_empty() {
            waiting.spare.push((buffer, memory));
        }
    }

    /// Lets files that were taken wait again.
    pub(super) fn give_back(&self, job: &Job, places: VecDeque<usize>) {
        let mut waiting = self.lock();
        waiting.weight += places.iter().map(|place| weight(job, *place)).sum::<u64>();
        waiting.places.extend(places.into_iter().rev());
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn weight(job: &Job, place: usize) -> u64 {
    job.plan.files[place].size + 1
}
