#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods)]

use tabvault_common::ids::Version;

use super::*;
use crate::store::file::entry::{DataName, Mode};

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

fn snapshot(entries: &[Entry]) -> Result<Vec<Entry>> {
    let text = encode(entries.iter(), None).unwrap();
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(INDEX_NAME), text).unwrap();
    read_snapshot(&dir.path().join(INDEX_NAME))
}

fn refusal(text: &[u8]) -> Failure {
    decode(&mut &*text, &"t", |_| Ok(())).unwrap_err()
}

#[test]
fn an_index_reads_back_as_it_was_written() {
    let entries = [file("a", b"1", 1), file("b", b"22", 2)];
    assert_eq!(snapshot(&entries).unwrap(), entries);
}

#[test]
fn a_line_that_is_cut_off_missing_or_too_many_is_noticed() {
    let text = encode([file("a", b"1", 1), file("b", b"22", 2)].iter(), None).unwrap();
    let whole = std::str::from_utf8(&text).unwrap();
    let lines: Vec<&str> = whole.lines().collect();
    assert!(decode(&mut &*text, &"t", |_| Ok(())).is_ok());
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
fn a_later_format_is_refused_as_such() {
    let failure = refusal(b"{\"format_version\":2,\"something\":\"new\"}\n");
    assert_eq!(failure.kind, Kind::Unsupported);
    assert_eq!(failure.message, "index t has format version 2: this program reads version 1");
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
fn a_data_file_with_two_contents_is_refused_and_with_one_is_not() {
    assert!(snapshot(&[file("a", b"1", 1), file("b", b"1", 1)]).is_ok());
    assert_eq!(snapshot(&[file("a", b"1", 1), file("b", b"2", 1)]).unwrap_err().kind, Kind::Corrupt);
}
