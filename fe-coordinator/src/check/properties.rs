//! The PROPERTIES of BACKUP and RESTORE.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tabvault_common::compression::Compression;
use tabvault_common::failure::{Failure, Kind};
use tabvault_common::repo::FORMAT_VERSION;
use tabvault_common::repo::info::{BackupType, Content};

use super::invalid;

#[cfg(test)]
mod tests;

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(86_400);
const MIN_TIMEOUT: Duration = Duration::from_secs(600);
const DEFAULT_FILE_SIZE: u64 = 64 << 20;
const MIN_FILE_SIZE: u64 = 1 << 20;
/// What S3 takes as one object without parts.
const MAX_FILE_SIZE: u64 = 5 << 30;

/// How a backup is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupProperties {
    /// `type`: whether objects of an earlier snapshot are shared.
    pub backup_type: BackupType,
    /// `timeout`: how long the job may take.
    pub timeout: Duration,
    /// `content`: what the snapshot holds.
    pub content: Content,
    /// `compression`: how hard to try.
    pub compression: Compression,
    /// `max_file_size`: bytes of the largest pack.
    pub max_file_size: u64,
}

impl Default for BackupProperties {
    fn default() -> Self {
        Self {
            backup_type: BackupType::Full,
            timeout: DEFAULT_TIMEOUT,
            content: Content::All,
            compression: Compression::Balanced,
            max_file_size: DEFAULT_FILE_SIZE,
        }
    }
}

impl BackupProperties {
    /// The properties as their user wrote them; those left out take their defaults.
    ///
    /// # Errors
    /// `InvalidArgument` for a property that is unknown or has a value it cannot have.
    pub fn parse(given: &BTreeMap<String, String>) -> Result<Self, Failure> {
        let mut given = Given::new(given);
        let defaults = Self::default();
        let properties = Self {
            backup_type: given
                .one_of("type", BackupType::parse, "full or incremental")?
                .unwrap_or(defaults.backup_type),
            timeout: given.timeout()?,
            content: given.one_of("content", Content::parse, "all or metadata_only")?.unwrap_or(defaults.content),
            compression: given
                .one_of("compression", Compression::parse, "fastest, balanced, best or none")?
                .unwrap_or(defaults.compression),
            max_file_size: given.file_size()?,
        };
        given.none_left("backup")?;
        Ok(properties)
    }

    /// Whether such a backup shares objects with an earlier one.
    #[must_use]
    pub fn shares(&self) -> bool {
        match (self.backup_type, self.content) {
            (BackupType::Incremental, Content::All) => true,
            (BackupType::Full, _) | (_, Content::MetadataOnly) => false,
        }
    }
}

/// How a restore is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreProperties {
    /// `backup_timestamp`: which of the label's snapshots, as given; milliseconds may be left out.
    pub backup_timestamp: String,
    /// `replication_num`: replicas per tablet. Of an existing table it must be the number that it has.
    pub replication_num: Option<u32>,
    /// `reserve_replica`: every partition gets the number of replicas that it had when it was backed up;
    /// `replication_num` then says nothing.
    pub reserve_replica: bool,
    /// `reserve_dynamic_partition_enable`: a new table keeps `dynamic_partition.enable` as it was.
    pub reserve_dynamic_partition_enable: bool,
    /// `allow_load`: loads into existing tables go on meanwhile.
    pub allow_load: bool,
    /// `timeout`: how long the job may take.
    pub timeout: Duration,
    /// `meta_version`: the version of the remote format to read, for old snapshots.
    pub meta_version: Option<u32>,
    /// `clean_tables`: local tables that the restore does not bring are dropped.
    pub clean_tables: bool,
    /// `clean_partitions`: partitions of restored tables that the restore does not bring are dropped.
    pub clean_partitions: bool,
    /// `atomic_restore`: an existing table is replaced as a whole, with all its partitions, by a new one.
    pub atomic_restore: bool,
    /// `force_replace`: with `atomic_restore` a table that differs from the snapshot's is replaced, too.
    pub force_replace: bool,
}

impl RestoreProperties {
    /// The properties as their user wrote them; those left out take their defaults.
    ///
    /// # Errors
    /// `InvalidArgument` for one that is missing or unknown or has a value it cannot have, `Unsupported` for a
    /// `meta_version` that this program cannot read.
    pub fn parse(given: &BTreeMap<String, String>) -> Result<Self, Failure> {
        let mut given = Given::new(given);
        // Asked for first and missed last: a name that is mistyped is told as such, not as missing.
        let timestamp = given.timestamp();
        let mut properties = Self {
            backup_timestamp: String::new(),
            replication_num: given.count("replication_num")?,
            reserve_replica: given.boolean("reserve_replica")?,
            reserve_dynamic_partition_enable: given.boolean("reserve_dynamic_partition_enable")?,
            allow_load: given.boolean("allow_load")?,
            timeout: given.timeout()?,
            meta_version: given.meta_version()?,
            clean_tables: given.boolean("clean_tables")?,
            clean_partitions: given.boolean("clean_partitions")?,
            atomic_restore: given.boolean("atomic_restore")?,
            force_replace: given.boolean("force_replace")?,
        };
        given.none_left("restore")?;
        properties.backup_timestamp = timestamp?;
        if properties.force_replace && !properties.atomic_restore {
            return Err(invalid(
                "force_replace replaces a whole table: set \"atomic_restore\" = \"true\" as well, or leave it out",
            ));
        }
        Ok(properties)
    }
}

/// Properties that nobody has asked for yet.
struct Given<'a> {
    left: BTreeMap<&'a str, &'a str>,
    known: Vec<&'static str>,
}

impl<'a> Given<'a> {
    fn new(given: &'a BTreeMap<String, String>) -> Self {
        Self { left: given.iter().map(|(k, v)| (k.as_str(), v.trim())).collect(), known: Vec::new() }
    }

    fn take(&mut self, name: &'static str) -> Option<&'a str> {
        self.known.push(name);
        self.left.remove(name)
    }

    fn none_left(self, job: &str) -> Result<(), Failure> {
        if self.left.is_empty() {
            return Ok(());
        }
        let unknown: Vec<&str> = self.left.into_keys().collect();
        let (unknown, known) = (unknown.join(", "), self.known.join(", "));
        Err(invalid(format!("Unknown {job} job properties: [{unknown}]; those that exist are {known}")))
    }

    fn boolean(&mut self, name: &'static str) -> Result<bool, Failure> {
        match self.take(name) {
            None => Ok(false),
            Some(value) if value.eq_ignore_ascii_case("true") => Ok(true),
            Some(value) if value.eq_ignore_ascii_case("false") => Ok(false),
            Some(value) => Err(invalid(format!("Invalid boolean property '{name}': {value}; write true or false"))),
        }
    }

    fn count(&mut self, name: &'static str) -> Result<Option<u32>, Failure> {
        let Some(value) = self.take(name) else { return Ok(None) };
        match value.parse() {
            Ok(number) if number > 0 => Ok(Some(number)),
            _ => Err(invalid(format!("Invalid property '{name}': {value}; write a number that is at least 1"))),
        }
    }

    fn meta_version(&mut self) -> Result<Option<u32>, Failure> {
        match self.count("meta_version")? {
            Some(version) if version > FORMAT_VERSION => Err(Failure::fatal(
                Kind::Unsupported,
                format!("meta_version is {version}, this program reads up to {FORMAT_VERSION}: use a newer one"),
            )),
            version => Ok(version),
        }
    }

    fn one_of<T>(
        &mut self,
        name: &'static str,
        parse: impl Fn(&str) -> Option<T>,
        choices: &str,
    ) -> Result<Option<T>, Failure> {
        let Some(value) = self.take(name) else { return Ok(None) };
        match parse(value) {
            Some(choice) => Ok(Some(choice)),
            None => Err(invalid(format!("Invalid property '{name}': {value}; write {choices}"))),
        }
    }

    fn timeout(&mut self) -> Result<Duration, Failure> {
        let Some(value) = self.take("timeout") else { return Ok(DEFAULT_TIMEOUT) };
        let Ok(seconds) = value.parse() else {
            return Err(invalid(format!("Invalid property 'timeout': {value}; write a number of seconds")));
        };
        let timeout = Duration::from_secs(seconds);
        if timeout < MIN_TIMEOUT {
            return Err(invalid(format!(
                "timeout must be at least 10 min; {seconds} seconds were given, write 600 or more"
            )));
        }
        Ok(timeout)
    }

    fn file_size(&mut self) -> Result<u64, Failure> {
        let Some(value) = self.take("max_file_size") else { return Ok(DEFAULT_FILE_SIZE) };
        match parse_size(value) {
            Some(size) if (MIN_FILE_SIZE..=MAX_FILE_SIZE).contains(&size) => Ok(size),
            _ => Err(invalid(format!(
                "Invalid property 'max_file_size': {value}; write bytes, or a number with K, M or G, from 1M to 5G"
            ))),
        }
    }

    fn timestamp(&mut self) -> Result<String, Failure> {
        let missing = "Missing backup_timestamp property; SHOW SNAPSHOT ON the repository lists the timestamps";
        match self.take("backup_timestamp") {
            None | Some("") => Err(invalid(missing)),
            Some(value) if is_timestamp(value) => Ok(value.to_owned()),
            Some(value) => Err(invalid(format!(
                "Invalid property 'backup_timestamp': {value}; write yyyy-MM-dd-HH-mm-ss or yyyy-MM-dd-HH-mm-ss-SSS"
            ))),
        }
    }
}

/// Bytes, or a number followed by K, M or G for powers of 1024.
pub(super) fn parse_size(text: &str) -> Option<u64> {
    let unit: u64 = match text.chars().last()?.to_ascii_uppercase() {
        'K' => 1 << 10,
        'M' => 1 << 20,
        'G' => 1 << 30,
        _ => return text.parse().ok(),
    };
    // The suffix is one byte, so this is the number before it.
    text[..text.len() - 1].trim_end().parse::<u64>().ok()?.checked_mul(unit)
}

/// Whether this is `yyyy-MM-dd-HH-mm-ss`, with or without `-SSS`.
fn is_timestamp(text: &str) -> bool {
    let groups: Vec<&str> = text.split('-').collect();
    let widths = [4, 2, 2, 2, 2, 2, 3];
    let digits = |(group, width): (&&str, usize)| group.len() == width && group.bytes().all(|b| b.is_ascii_digit());
    matches!(groups.len(), 6 | 7) && groups.iter().zip(widths).all(digits)
}
