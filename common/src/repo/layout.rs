//! Names of objects: the only place that puts a repository's paths together or takes them apart.
//!
//! All paths but the repository's own directory are relative to that directory and use `/`. A directory's path ends
//! with `/`.

use crate::digest::Digest;
use crate::ids::{JobUuid, TaskId};
use crate::label::{Label, SnapshotTimestamp};

/// Files up to this many bytes travel in packs, larger ones become objects of their own.
pub const PACK_THRESHOLD: u64 = 1 << 20;
/// A pack is finished when its entries reach this many stored bytes.
pub const PACK_TARGET: u64 = 32 << 20;
/// No pack is larger than this many bytes, trailer included.
pub const PACK_MAX: u64 = 64 << 20;
/// No pack has more entries than this.
pub const PACK_MAX_ENTRIES: usize = 32_768;
/// No `__repo_info` is larger than this many bytes.
pub const MAX_REPO_INFO_SIZE: u64 = 1 << 20;
/// No info or tombstone is larger than this many bytes.
pub const MAX_INFO_SIZE: u64 = 64 << 20;
/// No intent is larger than this many bytes: it carries an info.
pub const MAX_INTENT_SIZE: u64 = MAX_INFO_SIZE + (1 << 20);
/// No meta is larger than this many stored bytes.
pub const MAX_META_SIZE: u64 = 1 << 30;
/// No manifest is larger than this many stored bytes.
pub const MAX_MANIFEST_SIZE: u64 = 256 << 20;

/// The directory of intents.
pub const INTENTS_DIR: &str = "__intents/";
/// The directory of data: one directory per job.
pub const DATA_DIR: &str = "__data/";
/// The directory of the garbage collector's generations.
pub const GC_DIR: &str = "__gc/";

const REPOSITORY_PREFIX: &str = "__tabvault_repository_";
const SNAPSHOT_PREFIX: &str = "__ss_";
const INFO_PREFIX: &str = "__info_";

/// The directory of the repository `name`, relative to the location, without a slash at its end.
#[must_use]
pub fn repository_root(name: &str) -> String {
    format!("{REPOSITORY_PREFIX}{name}")
}

/// What the repository is.
#[must_use]
pub fn repo_info() -> &'static str {
    "__repo_info"
}

/// The intent of `job`.
#[must_use]
pub fn intent(job: JobUuid) -> String {
    format!("{INTENTS_DIR}{job}")
}

/// The claim of the garbage collector's generation `n`.
#[must_use]
pub fn gc_generation(n: u64) -> String {
    format!("{GC_DIR}{n}")
}

/// Everything that `job` writes besides its intent and info.
#[must_use]
pub fn job_dir(job: JobUuid) -> String {
    format!("{DATA_DIR}{job}/")
}

/// The `n`th file that the attempt `attempt` of `task` stores as an object of its own; `zst` when it is a zstd frame.
#[must_use]
pub fn object(job: JobUuid, task: TaskId, attempt: u32, n: u32, zst: bool) -> String {
    let suffix = if zst { ".zst" } else { "" };
    format!("{DATA_DIR}{job}/o/{task}-{attempt}-{n}{suffix}")
}

/// The pack whose stored bytes have `digest`.
#[must_use]
pub fn pack(job: JobUuid, digest: &Digest) -> String {
    format!("{DATA_DIR}{job}/p/{digest}")
}

/// The manifest whose stored bytes have `digest`.
#[must_use]
pub fn manifest(job: JobUuid, digest: &Digest) -> String {
    format!("{DATA_DIR}{job}/m/{digest}")
}

/// The meta whose stored bytes have `digest`.
#[must_use]
pub fn meta(job: JobUuid, digest: &Digest) -> String {
    manifest(job, digest)
}

/// The directory of the snapshots with `label`.
#[must_use]
pub fn snapshot_dir(label: &Label) -> String {
    format!("{SNAPSHOT_PREFIX}{label}/")
}

/// The info (or tombstone) of a snapshot.
#[must_use]
pub fn info(label: &Label, timestamp: &SnapshotTimestamp) -> String {
    format!("{SNAPSHOT_PREFIX}{label}/{INFO_PREFIX}{timestamp}")
}

/// The name of the repository in a directory of a location (with or without a slash at its end).
#[must_use]
pub fn parse_repository_root(path: &str) -> Option<&str> {
    let name = path.strip_suffix('/').unwrap_or(path).strip_prefix(REPOSITORY_PREFIX)?;
    (!name.is_empty() && !name.contains('/')).then_some(name)
}

/// The label of a snapshot directory (with or without a slash at its end).
#[must_use]
pub fn parse_snapshot_dir(path: &str) -> Option<Label> {
    path.strip_suffix('/').unwrap_or(path).strip_prefix(SNAPSHOT_PREFIX)?.parse().ok()
}

/// The label and timestamp of an info's path.
#[must_use]
pub fn parse_info(path: &str) -> Option<(Label, SnapshotTimestamp)> {
    let (dir, name) = path.split_once('/')?;
    Some((parse_snapshot_dir(dir)?, name.strip_prefix(INFO_PREFIX)?.parse().ok()?))
}

/// The job of an intent's path.
#[must_use]
pub fn parse_intent(path: &str) -> Option<JobUuid> {
    parse_job(path.strip_prefix(INTENTS_DIR)?)
}

/// The number of a generation's path.
#[must_use]
pub fn parse_gc_generation(path: &str) -> Option<u64> {
    canonical_number(path.strip_prefix(GC_DIR)?)
}

/// The job under whose directory `path` lies, whatever it is: what a crash left half-written has an owner, too.
#[must_use]
pub fn parse_job_of(path: &str) -> Option<JobUuid> {
    let (job, rest) = path.strip_prefix(DATA_DIR)?.split_once('/')?;
    parse_job(job).filter(|_| !rest.is_empty())
}

/// A path below a job's directory that this format gives a meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataPath {
    /// One file.
    Object(JobUuid),
    /// Many small files.
    Pack(JobUuid, Digest),
    /// A manifest or a meta.
    Metadata(JobUuid, Digest),
}

/// What the path of a data object means. Accepts exactly what [`object`], [`pack`], [`manifest`] and [`meta`] produce:
/// a hostile manifest cannot point anywhere else.
#[must_use]
pub fn parse_data(path: &str) -> Option<DataPath> {
    let job = parse_job_of(path)?;
    let (kind, name) = path.strip_prefix(&job_dir(job))?.split_once('/')?;
    // A digest spelt with capitals would be another name for the same object.
    let digest = || name.parse::<Digest>().ok().filter(|digest| digest.to_string() == name);
    match kind {
        "o" => {
            let mut numbers = name.strip_suffix(".zst").unwrap_or(name).split('-');
            let task = canonical_number(numbers.next()?)?;
            let attempt = u32::try_from(canonical_number(numbers.next()?)?).ok()?;
            let n = u32::try_from(canonical_number(numbers.next()?)?).ok()?;
            let again = object(job, TaskId(task), attempt, n, name.ends_with(".zst"));
            (again == path).then_some(DataPath::Object(job))
        }
        "p" => Some(DataPath::Pack(job, digest()?)),
        "m" => Some(DataPath::Metadata(job, digest()?)),
        _ => None,
    }
}

/// Why `path` cannot be the path of a file inside a tablet's directory; `None` if it can. Checked on writing and on
/// reading, so that no manifest, however damaged or hostile, makes anybody write elsewhere.
#[must_use]
pub fn refuse_file_path(path: &str) -> Option<&'static str> {
    if path.is_empty() {
        return Some("it is empty");
    }
    if path.len() > 1024 {
        return Some("it is longer than 1024 bytes");
    }
    if path.starts_with('/') {
        return Some("it is absolute");
    }
    if path.chars().any(char::is_control) {
        return Some("it has a control character");
    }
    path.split('/').find_map(|component| match component {
        "" => Some("it has an empty component"),
        "." | ".." => Some("it has a component that is `.` or `..`"),
        _ if component.len() > 255 => Some("it has a component longer than 255 bytes"),
        _ => None,
    })
}

/// A UUID is accepted in the one spelling that is written, so that no object has two names.
fn parse_job(text: &str) -> Option<JobUuid> {
    text.parse::<JobUuid>().ok().filter(|job| job.to_string() == text)
}

fn canonical_number(text: &str) -> Option<u64> {
    text.parse::<u64>().ok().filter(|number| number.to_string() == text)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::*;

    fn job() -> JobUuid {
        "0f1e2d3c-4b5a-4978-8695-a4b3c2d1e0f0".parse().unwrap()
    }

    #[test]
    fn names_are_those_of_the_format() {
        let digest = Digest::of(b"");
        assert_eq!(repository_root("r"), "__tabvault_repository_r");
        assert_eq!(intent(job()), "__intents/0f1e2d3c-4b5a-4978-8695-a4b3c2d1e0f0");
        assert_eq!(object(job(), TaskId(7), 1, 0, true), "__data/0f1e2d3c-4b5a-4978-8695-a4b3c2d1e0f0/o/7-1-0.zst");
        assert_eq!(pack(job(), &digest), format!("__data/{}/p/{digest}", job()));
        assert_eq!(manifest(job(), &digest), format!("__data/{}/m/{digest}", job()));
        let label: Label = "a:b".parse().unwrap();
        let timestamp: SnapshotTimestamp = "2025-07-31-14-02-01-042".parse().unwrap();
        assert_eq!(info(&label, &timestamp), "__ss_a:b/__info_2025-07-31-14-02-01-042");
    }

    #[test]
    fn every_name_is_read_back() {
        let digest = Digest::of(b"x");
        let label: Label = "a:b".parse().unwrap();
        let timestamp: SnapshotTimestamp = "2025-07-31-14-02-01-042".parse().unwrap();
        assert_eq!(parse_repository_root("__tabvault_repository_r/"), Some("r"));
        assert_eq!(parse_snapshot_dir(&snapshot_dir(&label)), Some(label.clone()));
        assert_eq!(parse_info(&info(&label, &timestamp)), Some((label, timestamp)));
        assert_eq!(parse_intent(&intent(job())), Some(job()));
        assert_eq!(parse_gc_generation(&gc_generation(12)), Some(12));
        assert_eq!(parse_data(&object(job(), TaskId(7), 1, 0, true)), Some(DataPath::Object(job())));
        assert_eq!(parse_data(&object(job(), TaskId(7), 1, 0, false)), Some(DataPath::Object(job())));
        assert_eq!(parse_data(&pack(job(), &digest)), Some(DataPath::Pack(job(), digest)));
        assert_eq!(parse_data(&meta(job(), &digest)), Some(DataPath::Metadata(job(), digest)));
    }

    #[test]
    fn other_spellings_of_a_name_are_not_accepted() {
        let good = object(job(), TaskId(7), 1, 0, false);
        for bad in [
            good.replace("7-1-0", "07-1-0"),
            good.replace("7-1-0", "7-1-0-0"),
            good.replace("7-1-0", "7-1"),
            good.replace("7-1-0", "7-1-0.gz"),
            good.replace("0f1e", "0F1E"),
            good.replace("__data/", "__data//"),
            good.replace("__data/", "../__data/"),
            good.replace("/o/", "/x/"),
            format!("{}p/{}", job_dir(job()), Digest::of(b"x").to_string().to_uppercase()),
            job_dir(job()),
        ] {
            assert_eq!(parse_data(&bad), None, "{bad}");
        }
        assert_eq!(parse_info("__ss_a/__info_2025-07-31-14-02-01-042/x"), None);
        assert_eq!(parse_info("__ss_a/.__info_2025-07-31-14-02-01-042"), None);
        assert_eq!(parse_gc_generation("__gc/012"), None);
    }

    #[test]
    fn a_half_written_object_still_has_an_owner() {
        assert_eq!(parse_job_of(&format!("{}p/.torn.tmp", job_dir(job()))), Some(job()));
        assert_eq!(parse_job_of("__data/nobody/p/x"), None);
    }

    #[test]
    fn a_file_path_stays_inside_its_tablet() {
        for good in ["a", "a/b.dat", "..a", "a..", "ä ö/ß"] {
            assert_eq!(refuse_file_path(good), None, "{good}");
        }
        let long = "x/".repeat(600);
        let wide = "x".repeat(256);
        for bad in ["", "/a", "a//b", "a/", "../a", "a/../b", "a/.", "./a", "a\0b", "a\nb", &long, &wide] {
            assert!(refuse_file_path(bad).is_some(), "{bad:?}");
        }
    }
}
