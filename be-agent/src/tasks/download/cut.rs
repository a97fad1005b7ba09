//! Which transfers fetch what is missing.

use std::ops::Range;

use super::want::{List, Source, Want};

/// Bytes that are not wanted, but cheaper to read than another request.
const MAX_GAP: u64 = 1 << 20;
/// No range of several entries is longer.
const MAX_RANGE: u64 = 16 << 20;

/// Neighbours in the list that one transfer fetches: from one object or pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    start: u32,
    end: u32,
    turn: u32,
    /// Whether the whole pack is read.
    pub(super) whole: bool,
}

impl Span {
    /// Indices into the list's wants.
    pub(super) fn wants(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// Sorts the list by where files are stored and cuts it into transfers: packs, then objects.
///
/// Packs of different targets take turns: threads that make files in one directory would wait for each other.
pub(super) fn cut(list: &mut List) -> Vec<Span> {
    list.wants.sort_unstable_by_key(|want| (want.source, want.offset, want.number));
    // All at once: while it grows, it is there twice.
    let mut spans = Vec::with_capacity(list.wants.len());
    let mut turns = vec![0; list.targets.len()];
    for wants in list.wants.chunk_by(|a, b| a.source == b.source) {
        match list.source(&wants[0]) {
            Source::Object(_) => wants.iter().for_each(|_| push(&mut spans, 1, u32::MAX, false)),
            Source::Pack { size, entries, .. } => {
                let turn = &mut turns[wants[0].target as usize];
                cover(*size, *entries, wants, |wants, whole| {
                    push(&mut spans, wants, *turn, whole);
                    *turn += 1;
                });
            }
        }
    }
    spans.sort_unstable_by_key(|span| (span.turn, list.wants[span.start as usize].target, span.start));
    spans
}

fn push(spans: &mut Vec<Span>, wants: u32, turn: u32, whole: bool) {
    let start = spans.last().map_or(0, |span| span.end);
    spans.push(Span { start, end: start + wants, turn, whole });
}

/// Shows `see` how many neighbours among `wants`, entries of a pack, are to be fetched together. They are all, and the
/// whole pack, if all that it holds or at least half of its bytes are wanted: then damage anywhere in it is found.
fn cover(size: u64, entries: u64, wants: &[Want], mut see: impl FnMut(u32, bool)) {
    let number = |wants: &[Want]| u32::try_from(wants.len()).unwrap_or(u32::MAX);
    let wanted = wants.iter().map(|want| want.stored_size).fold(0, u64::saturating_add);
    if wants.len() as u64 >= entries || wanted >= size / 2 {
        return see(number(wants), true);
    }
    let (mut first, mut end) = (0, 0_u64);
    for (at, want) in wants.iter().enumerate() {
        let after = end_of(want);
        let apart = want.offset > end.saturating_add(MAX_GAP) || after.max(end) - wants[first].offset > MAX_RANGE;
        if at > first && apart {
            see(number(&wants[first..at]), false);
            (first, end) = (at, 0);
        }
        end = after.max(end);
    }
    see(number(&wants[first..]), false);
}

/// The bytes of a pack that hold `wants`, which are in the order of their offsets.
pub(super) fn bytes_of(wants: &[Want]) -> Range<u64> {
    let start = wants.first().map_or(0, |want| want.offset);
    start..wants.iter().map(end_of).max().unwrap_or(start)
}

fn end_of(want: &Want) -> u64 {
    want.offset.saturating_add(want.stored_size)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::super::samples::{self, alone, pack, packed, tablet};
    use super::*;

    const MIB: u64 = 1 << 20;

    /// Paths, bytes and wholeness of each transfer.
    fn transfers(list: &mut List) -> Vec<(Vec<String>, Range<u64>, bool)> {
        let spans = cut(list);
        let transfer = |span: &Span| {
            let wants = &list.wants[span.wants()];
            let name = |want: &Want| format!("{}{}", want.target, want.path);
            (wants.iter().map(name).collect(), bytes_of(wants), span.whole)
        };
        spans.iter().map(transfer).collect()
    }

    fn names(list: &mut List) -> Vec<Vec<String>> {
        transfers(list).into_iter().map(|(names, ..)| names).collect()
    }

    #[test]
    fn neighbours_in_a_pack_are_read_together_whatever_their_order_in_the_manifest() {
        let home = tempfile::tempdir().unwrap();
        let targets = samples::targets(home.path(), &[1]);
        let (path, declared) = pack("a", 64 * MIB, 99);
        let far = 10 + 2 * MIB;
        let large = vec![0; 9 << 20];
        let records = [
            declared,
            tablet(1),
            packed("a", b"12345", &path, 20),
            packed("b", b"12345", &path, 10),
            packed("c", &large, &path, far),
            packed("d", &large, &path, far + 9 * MIB),
            packed("e", b"1", &path, far + 18 * MIB),
        ];
        let found = transfers(&mut samples::list(&records, &targets));
        let expected = [
            (vec!["0b".to_owned(), "0a".to_owned()], 10..25, false),
            (vec!["0c".to_owned()], far..far + 9 * MIB, false),
            (vec!["0d".to_owned(), "0e".to_owned()], far + 9 * MIB..far + 18 * MIB + 1, false),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_pack_of_which_most_is_wanted_is_read_as_a_whole_for_all_targets_at_once() {
        let home = tempfile::tempdir().unwrap();
        let targets = samples::targets(home.path(), &[1, 1]);
        let ((few, one), (large, two)) = (pack("few", 64 * MIB, 4), pack("large", 40, 99));
        let records = [
            one,
            two,
            tablet(1),
            packed("a", b"1", &few, 30 * MIB),
            packed("b", b"1", &few, 8),
            packed("c", b"12345678901234567890", &large, 8),
        ];
        let found = transfers(&mut samples::list(&records, &targets));
        let wholes: Vec<(Vec<&str>, bool)> =
            found.iter().map(|(names, _, whole)| (names.iter().map(String::as_str).collect(), *whole)).collect();
        assert_eq!(wholes, [(vec!["0b", "1b", "0a", "1a"], true), (vec!["0c", "1c"], true)]);
    }

    #[test]
    fn packs_of_different_tablets_take_turns_and_objects_come_last() {
        let home = tempfile::tempdir().unwrap();
        let targets = samples::targets(home.path(), &[1, 2]);
        let mut records = Vec::new();
        for number in [1, 2] {
            let packs = ["a", "b", "c"].map(|name| (name, pack(&format!("{number}{name}"), 100, 1)));
            let files = packs.iter().map(|(name, (path, _))| packed(name, b"1", path, 8)).collect::<Vec<_>>();
            records.extend(packs.into_iter().map(|(_, (_, declared))| declared));
            records.extend([tablet(number), alone("A", b"object")]);
            records.extend(files);
        }
        let mut list = samples::list(&records, &targets);
        let order = ["0a", "1a", "0b", "1b", "0c", "1c", "0A", "1A"].map(|name| vec![name.to_owned()]);
        assert_eq!(names(&mut list), order);
        list.wants.clear();
        assert!(cut(&mut list).is_empty());
    }
}
