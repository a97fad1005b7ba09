//! Files to load: many small ones, some large ones, and what makes trees of real files difficult. Everything here
//! blocks.

use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use tabvault_common::failure::Failure;

const SMALL_FILES: u64 = 400;
const LARGE_FILES: u64 = 6;
const MIB: usize = 1 << 20;

/// Makes the directory `dir` and fills it: about 450 entries and 20 MiB, the same every time.
pub(super) fn tree(dir: &Path) -> Result<(), Failure> {
    let mut random = Random(1);
    directory(dir)?;
    for number in 0..SMALL_FILES {
        let parent = dir.join(format!("small/{:02}", number % 20));
        directory(&parent)?;
        let length = random.below(12 << 10);
        let file = parent.join(format!("{number:03}.txt"));
        write(&file, &text(&mut random, length))?;
        mode(&file, [0o644, 0o600, 0o755, 0o444][usize::try_from(number % 4).unwrap_or(0)])?;
    }
    directory(&dir.join("large"))?;
    for number in 0..LARGE_FILES {
        let length = 2 * MIB + random.below(3 * MIB);
        let bytes = if number % 2 == 0 { random.bytes(length) } else { text(&mut random, length) };
        write(&dir.join(format!("large/{number}.bin")), &bytes)?;
    }
    odd(dir)
}

/// Empty things, links, and names that need care.
fn odd(dir: &Path) -> Result<(), Failure> {
    let odd = dir.join("odd");
    directory(&odd.join("empty directory"))?;
    directory(&odd.join("empty/below/empty"))?;
    mode(&odd.join("empty/below"), 0o750)?;
    for number in 0..5 {
        write(&odd.join(format!("empty-{number}")), b"")?;
    }
    let long = "n".repeat(255);
    let names: [&[u8]; 10] = [
        b" spaces in front and behind ",
        b"-rf",
        b"a\nnew line",
        b"quote ' and \" and `",
        b"back\\slash",
        "ümläut 文件 🗄".as_bytes(),
        b"not UTF-8: \xff\xfe",
        b"%2e%2e and * ? [x] $HOME",
        b".hidden",
        long.as_bytes(),
    ];
    for name in names {
        write(&odd.join(OsStr::from_bytes(name)), name)?;
    }
    for (name, target) in [
        ("to a file", "../small/00/000.txt"),
        ("to a directory", "../small"),
        ("to nothing", "nowhere"),
        ("to itself", "to itself"),
        ("to the root", "/"),
    ] {
        symlink(target, odd.join(name)).map_err(|error| Failure::io(format_args!("make the link {name}"), &error))?;
    }
    Ok(())
}

/// Makes the directory `dir` with some new files, and with another content for `changed`, a path in the first tree.
pub(super) fn more(dir: &Path, changed: Option<&Path>) -> Result<(), Failure> {
    let mut random = Random(2);
    let parent = dir.join("added after the backup");
    directory(&parent)?;
    for number in 0..20 {
        write(&parent.join(format!("{number}.txt")), &text(&mut random, 2000))?;
    }
    if let Some(changed) = changed {
        let file = dir.join(changed);
        directory(file.parent().unwrap_or(dir))?;
        write(&file, b"this was written after the backup\n")?;
    }
    Ok(())
}

fn directory(path: &Path) -> Result<(), Failure> {
    fs::create_dir_all(path).map_err(|error| Failure::io(format_args!("make {}", path.display()), &error))
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let written = File::create_new(path).and_then(|mut file| file.write_all(bytes));
    written.map_err(|error| Failure::io(format_args!("write {}", path.display()), &error))
}

fn mode(path: &Path, mode: u32) -> Result<(), Failure> {
    fs::set_permissions(path, Permissions::from_mode(mode))
        .map_err(|error| Failure::io(format_args!("change the permissions of {}", path.display()), &error))
}

/// Words: they compress as well as real text.
fn text(random: &mut Random, length: usize) -> Vec<u8> {
    let words = ["tablet ", "replica ", "version ", "snapshot ", "backend ", "partition ", "manifest ", "digest\n"];
    let mut bytes = Vec::with_capacity(length + 16);
    while bytes.len() < length {
        bytes.extend_from_slice(words[random.below(words.len())].as_bytes());
        bytes.extend_from_slice(random.below(1000).to_string().as_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// xorshift64*: numbers that are the same every time.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, bound: usize) -> usize {
        // The remainder is below a usize.
        usize::try_from(self.next() % bound.max(1) as u64).unwrap_or(0)
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(length + 8);
        while bytes.len() < length {
            bytes.extend_from_slice(&self.next().to_le_bytes());
        }
        bytes.truncate(length);
        bytes
    }
}
