//! What is visible in a tablet at a version: its loads laid one over the other, as a stream.
//!
//! # Overview
//! A layer is what one load brought, sorted by path. A later entry takes the place of earlier ones at its path. One that
//! is no directory hides, in addition, what earlier layers have beneath it, and anything hides what earlier layers have
//! above it and is no directory. So no visible entry lies in what is no directory. An entry hides what it hides even
//! where a still later one hides it.
//!
//! The layers are merged: no more is held than an entry of each, however many there are in a tablet.

use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, VecDeque};
use std::fmt;

use tabvault_common::failure::{Failure, Kind};

use super::entry::Entry;
use super::path::TreePath;
use crate::store::Result;

/// A layer's entries, by ascending path.
pub(crate) type Layer<'a> = Box<dyn Iterator<Item = Result<Entry>> + Send + 'a>;

/// The visible entries of layers, by ascending path. There are no more after the first error.
pub(crate) struct Visible<'a> {
    /// The earliest first.
    layers: Vec<Layer<'a>>,
    /// The next entry of each layer that has one.
    heads: BinaryHeap<Reverse<Head>>,
    /// The paths above the current one at which some layer has no directory, with the latest such layer there or further
    /// up.
    covers: Vec<(TreePath, usize)>,
    /// A file or link that something beneath it may still hide, and its layer.
    leaf: Option<(Entry, usize)>,
    ready: VecDeque<Entry>,
    failure: Option<Failure>,
}

impl fmt::Debug for Visible<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Visible").field("layers", &self.layers.len()).finish_non_exhaustive()
    }
}

/// The next entry of a layer; ordered by path, then by layer.
struct Head {
    entry: Entry,
    layer: usize,
}

impl Ord for Head {
    fn cmp(&self, other: &Self) -> Ordering {
        self.entry.path().cmp(other.entry.path()).then(self.layer.cmp(&other.layer))
    }
}

impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Head {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Head {}

impl<'a> Visible<'a> {
    /// What is visible of `layers`, the earliest of which comes first.
    pub(crate) fn of(layers: Vec<Layer<'a>>) -> Self {
        let heads = BinaryHeap::with_capacity(layers.len());
        let (covers, leaf, ready) = (Vec::new(), None, VecDeque::new());
        let mut visible = Self { layers, heads, covers, leaf, ready, failure: None };
        visible.failure = (0..visible.layers.len()).try_for_each(|layer| visible.advance(layer, None)).err();
        visible
    }

    /// Takes the next entry of a layer, which must come after `last`.
    fn advance(&mut self, layer: usize, last: Option<&TreePath>) -> Result<()> {
        let Some(entry) = self.layers.get_mut(layer).and_then(Iterator::next).transpose()? else { return Ok(()) };
        if last.is_some_and(|last| last >= entry.path()) {
            let message = format!("an index of a load has `{}` twice, or out of order", entry.path());
            return Err(Failure::fatal(Kind::Corrupt, message));
        }
        self.heads.push(Reverse(Head { entry, layer }));
        Ok(())
    }

    /// Takes what the layers say of the next path; `false` when there is none.
    fn step(&mut self) -> Result<bool> {
        let Some(Reverse(first)) = self.heads.pop() else {
            self.ready.extend(self.leaf.take().map(|(leaf, _)| leaf));
            return Ok(false);
        };
        let (mut latest, mut present, mut leaf) = (first, None, None);
        loop {
            if !matches!(latest.entry, Entry::Gone { .. }) {
                present = Some(latest.layer);
            }
            if latest.entry.counts() {
                leaf = Some(latest.layer);
            }
            self.advance(latest.layer, Some(latest.entry.path()))?;
            match self.heads.peek() {
                Some(Reverse(next)) if next.entry.path() == latest.entry.path() => {}
                _ => break,
            }
            let Some(Reverse(next)) = self.heads.pop() else { break };
            latest = next;
        }
        let path = latest.entry.path();
        while self.covers.pop_if(|(cover, _)| !path.is_beneath(cover.as_bytes())).is_some() {}
        let cover = self.covers.last().map(|(_, layer)| *layer);
        match self.leaf.take() {
            Some((above, layer)) if path.is_beneath(above.path().as_bytes()) => {
                if present < Some(layer) {
                    self.leaf = Some((above, layer));
                }
            }
            above => self.ready.extend(above.map(|(above, _)| above)),
        }
        if let Some(leaf) = leaf {
            self.covers.push((path.clone(), cover.map_or(leaf, |cover| cover.max(leaf))));
        }
        let Head { entry, layer } = latest;
        if cover.is_none_or(|cover| layer >= cover) {
            match entry {
                Entry::Gone { .. } => {}
                Entry::Directory { .. } => self.ready.push_back(entry),
                Entry::File { .. } | Entry::Symlink { .. } => self.leaf = Some((entry, layer)),
            }
        }
        Ok(true)
    }
}

impl Iterator for Visible<'_> {
    type Item = Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(failure) = self.failure.take() {
                self.heads.clear();
                self.ready.clear();
                self.leaf = None;
                return Some(Err(failure));
            }
            if let Some(entry) = self.ready.pop_front() {
                return Some(Ok(entry));
            }
            match self.step() {
                Ok(true) => {}
                Ok(false) if self.ready.is_empty() => return None,
                Ok(false) => {}
                Err(failure) => self.failure = Some(failure),
            }
        }
    }
}

#[cfg(test)]
mod tests;
