#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods)]

use tabvault_common::failure::Kind;
use tabvault_common::ids::Version;

use super::*;
use crate::store::file::entry::{DataName, Mode};
use crate::store::file::path::TreePath;

fn path(text: &str) -> TreePath {
    TreePath::new(text.into()).unwrap()
}

fn file(name: &str, content: &[u8], number: u64) -> Entry {
    Entry::File {
        path: path(name),
        mode: Mode(0o644),
        mtime: None,
        size: content.len() as u64,
        digest: Digest::of(content),
        data: DataName { version: Version(2), number },
    }
}

fn encode(entries: &[Entry]) -> Vec<u8> {
    let mut text = Vec::new();
    write(&mut text, Totals::of(entries), None, entries.iter().map(Ok)).unwrap();
    text
}

fn snapshot(entries: &[Entry]) -> Result<Vec<Entry>> {
    let dir = tempfile::tempdir().unwrap();
    write_file(&dir.path().join(INDEX_NAME), entries, None).unwrap();
    Snapshot::open(&dir.path().join(INDEX_NAME))?.collect()
}

fn read(text: &[u8]) -> Result<Vec<Entry>> {
    Reader::new(text, "t".to_owned())?.collect()
}

fn refusal(text: &[u8]) -> Failure {
    read(text).unwrap_err()
}

#[test]
fn an_index_reads_back_as_it_was_written() {
    let entries = [file("a", b"1", 1), file("b", b"22", 2)];
    assert_eq!(snapshot(&entries).unwrap(), entries);
}

#[test]
fn a_snapshots_index_that_is_written_again_is_that_of_a_tablet_with_the_same_entries() {
    let entries = [file("a", b"1", 1), file("b", b"22", 2)];
    let (dir, totals) = (tempfile::tempdir().unwrap(), Totals::of(&entries));
    let (snapshot, again) = (dir.path().join("snapshot"), dir.path().join("again"));
    write_file(&snapshot, &entries, None).unwrap();
    let rowset = Rowset {
        job: JobUuid::random(),
        digest: Digest::of(b""),
        loaded_files: 2,
        loaded_bytes: 3,
        files: 2,
        bytes: 3,
        stored_bytes: 3,
    };
    let mut text = Vec::new();
    write_again(&mut text, &snapshot, totals, rowset).unwrap();
    assert_eq!(read(&text).unwrap(), entries);
    write_file(&again, &entries, Some(rowset)).unwrap();
    assert!(text == std::fs::read(again).unwrap());
}

#[test]
fn a_line_that_is_cut_off_missing_or_too_many_is_noticed() {
    let text = encode(&[file("a", b"1", 1), file("b", b"22", 2)]);
    let whole = std::str::from_utf8(&text).unwrap();
    let lines: Vec<&str> = whole.lines().collect();
    assert!(read(&text).is_ok());
    for damaged in [
        whole.trim_end().to_owned(),
        format!("{}\n{}\n", lines[0], lines[1]),
        format!("{whole}{}\n", lines[2]),
        whole.replace("\"size\":1", "\"size\":2"),
        String::new(),
    ] {
        assert_eq!(refusal(damaged.as_bytes()).kind, Kind::Corrupt, "{damaged}");
    }
}

#[test]
fn an_earlier_or_later_format_is_refused_as_such() {
    for version in [1, 3] {
        let failure = refusal(format!("{{\"format_version\":{version},\"something\":\"else\"}}\n").as_bytes());
        assert_eq!(failure.kind, Kind::Unsupported);
        assert_eq!(failure.message, format!("index t has format version {version}: this program reads version 2"));
    }
}

#[test]
fn a_snapshot_in_which_a_file_lies_in_a_file_is_refused() {
    let failure = snapshot(&[file("a", b"1", 1), file("a/b", b"2", 2)]).unwrap_err();
    assert!(failure.message.ends_with("`a/b` lies in what is no directory"), "{failure}");
    assert!(snapshot(&[file("a", b"1", 1), file("a-b", b"2", 2)]).is_ok());
}

#[test]
fn a_snapshot_with_a_path_twice_or_out_of_order_is_refused() {
    for entries in [[file("a", b"1", 1), file("a", b"2", 2)], [file("b", b"1", 1), file("a", b"2", 2)]] {
        assert_eq!(snapshot(&entries).unwrap_err().kind, Kind::Corrupt);
    }
}

#[test]
fn a_tablets_own_index_may_take_away_as_much_as_a_tablet_may_have() {
    let rowset = Rowset {
        job: JobUuid::random(),
        digest: Digest::of(b""),
        loaded_files: 0,
        loaded_bytes: 0,
        files: 0,
        bytes: 0,
        stored_bytes: 0,
    };
    for (entries, rowset, taken) in [
        (MAX_ENTRIES, None, true),
        (MAX_ENTRIES + 1, None, false),
        (MAX_LINES, Some(rowset), true),
        (MAX_LINES + 1, Some(rowset), false),
    ] {
        let mut text = Vec::new();
        let none = std::iter::empty::<Result<Entry>>();
        write(&mut text, Totals { entries, bytes: 0 }, rowset, none).unwrap();
        assert_eq!(Reader::new(&text[..], "t".to_owned()).is_ok(), taken, "{entries} entries");
    }
}
