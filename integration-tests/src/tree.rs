//! Trees of real files: making them, and saying how two differ.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

/// What stands at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A regular file: permission bits, seconds of its modification time, contents.
    File(u32, i64, Vec<u8>),
    /// A symbolic link and where it points.
    Link(PathBuf),
    /// A directory: permission bits.
    Directory(u32),
}

/// Everything below `root`, by relative path.
///
/// # Panics
/// If something cannot be read.
#[must_use]
pub fn read(root: &Path) -> BTreeMap<PathBuf, Entry> {
    let mut entries = BTreeMap::new();
    walk(root, Path::new(""), &mut entries);
    entries
}

fn walk(root: &Path, below: &Path, entries: &mut BTreeMap<PathBuf, Entry>) {
    for entry in fs::read_dir(root.join(below)).expect("read a directory") {
        let entry = entry.expect("read a directory's entry");
        let path = below.join(entry.file_name());
        let full = root.join(&path);
        let meta = fs::symlink_metadata(&full).expect("look at an entry");
        let mode = meta.permissions().mode() & 0o7777;
        if meta.is_dir() {
            entries.insert(path.clone(), Entry::Directory(mode));
            walk(root, &path, entries);
        } else if meta.is_symlink() {
            entries.insert(path, Entry::Link(fs::read_link(&full).expect("read a link")));
        } else {
            entries.insert(path, Entry::File(mode, meta.mtime(), fs::read(&full).expect("read a file")));
        }
    }
}

/// Fails with the first differences if the trees are not the same.
///
/// # Panics
/// That is how it fails.
pub fn assert_same(left: &Path, right: &Path) {
    let (a, b) = (read(left), read(right));
    let mut differences = Vec::new();
    for path in a.keys().chain(b.keys().filter(|path| !a.contains_key(*path))) {
        if a.get(path) != b.get(path) {
            let say = |entry: Option<&Entry>| match entry {
                None => "nothing".to_owned(),
                Some(Entry::File(mode, time, bytes)) => format!("file {mode:o} of {time} with {} bytes", bytes.len()),
                Some(other) => format!("{other:?}"),
            };
            differences.push(format!("{}: {} / {}", path.display(), say(a.get(path)), say(b.get(path))));
        }
    }
    let shown = &differences[..differences.len().min(20)];
    assert!(differences.is_empty(), "{} and {} differ:\n{}", left.display(), right.display(), shown.join("\n"));
}

/// Bytes that look random and are the same for the same seed.
#[must_use]
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// Makes a tree with everything that real trees have: `small` small files in nested directories, some that compress and
/// some that do not, files of several MiB, empty files and directories, links that lead somewhere and nowhere, odd
/// names, unusual permissions.
///
/// # Panics
/// If it cannot be written.
pub fn make(root: &Path, seed: u64, small: usize) {
    fs::create_dir_all(root.join("empty/deep")).expect("make a directory");
    for n in 0..small {
        let directory = root.join(format!("d{}/s{}", n % 7, n % 31));
        fs::create_dir_all(&directory).expect("make a directory");
        let length = (n * 37 + usize::try_from(seed % 97).expect("small")) % 9000;
        let bytes = if n % 3 == 0 {
            noise(seed + n as u64, length)
        } else {
            format!("line {n} of {seed}\n").repeat(length / 12 + 1).into_bytes()
        };
        write(&directory.join(format!("f{n}.txt")), &bytes);
    }
    write(&root.join("large.noise"), &noise(seed, 3 << 20));
    write(&root.join("large.text"), "tabvault keeps tablets\n".repeat(200_000).as_bytes());
    write(&root.join("exactly-one-mib"), &noise(seed + 1, 1 << 20));
    write(&root.join("empty.file"), b"");
    for name in ["with space", "-dash", "ünïcode-\u{1F512}", "new\nline", "per%cent\\back", "'quote\"", ".hidden"] {
        write(&root.join(name), name.as_bytes());
    }
    write(&root.join(OsString::from_vec(b"not-utf8-\xff\xfe".to_vec())), b"bytes");
    symlink("large.text", root.join("link-to-file")).expect("make a link");
    symlink("d0", root.join("link-to-directory")).expect("make a link");
    symlink("../nowhere/at-all", root.join("dangling")).expect("make a link");
    fs::set_permissions(root.join("-dash"), fs::Permissions::from_mode(0o400)).expect("set permissions");
    fs::set_permissions(root.join(".hidden"), fs::Permissions::from_mode(0o755)).expect("set permissions");
    fs::set_permissions(root.join("empty"), fs::Permissions::from_mode(0o750)).expect("set permissions");
    assert!(root.as_os_str().as_bytes().first() == Some(&b'/'), "the root is an absolute path");
}

/// Makes a tree of a few files, one of them large enough for an object of its own: for tests that make many round trips.
/// Trees of two seeds have the same paths and other contents.
///
/// # Panics
/// If it cannot be written.
pub fn make_small(root: &Path, seed: u64) {
    fs::create_dir_all(root.join("empty")).expect("make a directory");
    fs::create_dir_all(root.join("d")).expect("make a directory");
    for n in 0..12_u64 {
        write(&root.join(format!("d/f{n}")), &noise(seed * 100 + n, 200 + usize::try_from(n).expect("small") * 700));
    }
    write(&root.join("own-object"), &noise(seed, (1 << 20) + 4711));
    write(&root.join("text"), format!("line of {seed}\n").repeat(3000).as_bytes());
    symlink("text", root.join("link")).expect("make a link");
}

/// Writes a file as any program would.
///
/// # Panics
/// If it cannot.
#[expect(clippy::disallowed_methods, reason = "what is loaded is written by anybody, not durably")]
pub fn write(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).expect("write a file");
}
