//! What is in the files.

use crate::tree::noise;

/// Of [`log_normal`]: the median, and how far files are from it.
const MEDIAN: f64 = 16.0 * 1024.0;
const SIGMA: f64 = 2.27;

/// Random bytes of which every other 64 KiB is a pattern that compresses well, another one in every piece.
pub(super) fn half_columns(seed: u64, length: u64) -> Vec<u8> {
    let mut bytes = noise(seed, length as usize);
    for (number, piece) in bytes.chunks_mut(64 << 10).enumerate().skip(1).step_by(2) {
        let mask = noise(seed ^ (number as u64) << 40, 16);
        for (n, byte) in piece.iter_mut().enumerate() {
            *byte = b"columnar "[n % 9] ^ mask[n >> 12];
        }
    }
    bytes
}

/// Text if `n` is odd, else random bytes.
pub(super) fn either(n: u64, seed: u64, length: u64) -> Vec<u8> {
    if n % 2 == 1 { text(seed, length) } else { noise(seed, length as usize) }
}

/// Words in lines, of which some are much more frequent than others; compresses to a third or so.
pub(super) fn text(seed: u64, length: u64) -> Vec<u8> {
    let length = length as usize;
    let mut bytes = Vec::with_capacity(length + 16);
    // Two random bytes choose a word, so there are never too few.
    for choice in noise(!seed, length + 2).chunks_exact(2) {
        if bytes.len() >= length {
            break;
        }
        let (which, how) = (usize::from(choice[0]), choice[1]);
        // The product of two even choices is skewed to small numbers.
        let word = which * usize::from(how) / 256;
        bytes.extend_from_slice(STEMS[word % STEMS.len()].as_bytes());
        bytes.extend_from_slice(ENDINGS[word / STEMS.len() % ENDINGS.len()].as_bytes());
        bytes.push(if how % 11 == 0 { b'\n' } else { b' ' });
    }
    bytes.resize(length, b'.');
    bytes
}

const STEMS: [&str; 32] = [
    "a",
    "the",
    "of",
    "to",
    "in",
    "is",
    "that",
    "for",
    "with",
    "table",
    "column",
    "row",
    "key",
    "value",
    "order",
    "time",
    "count",
    "partition",
    "index",
    "page",
    "query",
    "store",
    "write",
    "read",
    "merge",
    "version",
    "backup",
    "load",
    "cluster",
    "replica",
    "segment",
    "commit",
];
const ENDINGS: [&str; 8] = ["", "s", "ed", "ing", "er", "-id", ", and", "0"];

/// A length between 1 KiB and 64 MiB such as those of files in real trees: the logarithm is normally distributed.
pub(super) fn log_normal(n: u64) -> u64 {
    let draws = noise(n ^ 0x6d69_7865_6420_7365, 16 + 12 * 8);
    let uniform = |draw: &[u8]| draw.iter().rev().fold(0.0, |sum, byte| (sum + f64::from(*byte)) / 256.0);
    // The sum of twelve even draws is as good as normal. The first draws of near seeds are alike.
    let normal = draws[16..].chunks_exact(8).map(uniform).sum::<f64>() - 6.0;
    ((MEDIAN * (SIGMA * normal).exp()) as u64).clamp(1 << 10, 64 << 20)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn lengths_are_spread_and_add_up_to_about_a_gibibyte() {
        let mut lengths: Vec<u64> = (0..5000).map(log_normal).collect();
        lengths.sort_unstable();
        let sum: u64 = lengths.iter().sum();
        assert!((900 << 20..1200 << 20).contains(&sum), "{} MiB", sum >> 20);
        assert!((8 << 10..32 << 10).contains(&lengths[2500]), "the median is {}", lengths[2500]);
        assert!(lengths[4999] > 8 << 20, "the greatest is {}", lengths[4999]);
    }

    #[test]
    fn text_compresses_and_is_exactly_as_long_as_asked() {
        let text = text(7, 100_000);
        assert_eq!(text.len(), 100_000);
        let packed = packed(&text);
        assert!((20_000..50_000).contains(&packed), "{packed}");
    }

    #[test]
    fn half_of_the_columns_compresses() {
        let packed = packed(&half_columns(7, 1 << 20));
        assert!((500 << 10..600 << 10).contains(&packed), "{packed}");
    }

    /// The bytes that zstd needs.
    fn packed(bytes: &[u8]) -> u64 {
        let dir = tempfile::tempdir().expect("a directory");
        let (plain, packed) = (dir.path().join("plain"), dir.path().join("packed"));
        crate::tree::write(&plain, bytes);
        let zstd = Command::new("zstd").args(["-q", "-1", "-o"]).arg(&packed).arg(&plain).status().expect("run zstd");
        assert!(zstd.success(), "{zstd}");
        packed.metadata().expect("what zstd has written").len()
    }
}
