//! From what was typed to what is asked for.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use tabvault_common::access::StorageAccess;
use tabvault_common::request::{
    BackupRequest, CancelRequest, ExportRequest, LoadRequest, ObjectSelection, RestoreRequest, Selection,
};
use tabvault_common::secret::Secret;
use tabvault_common::view::JobKind;

use super::clients::{BackupArgs, CancelArgs, CancelKind, ExportArgs, LoadArgs, RestoreArgs};
use super::names::Property;
use crate::error::{Error, Result};

impl LoadArgs {
    /// What is asked for.
    ///
    /// # Errors
    /// A property given twice, or a directory that cannot be named in a request.
    pub fn request(&self) -> Result<LoadRequest> {
        Ok(LoadRequest {
            database: self.object.database.clone(),
            table: self.object.table.clone(),
            partition: self.object.partition.clone(),
            source: place(&self.dir, &self.property)?,
            create: true,
            buckets: self.buckets,
            replication_num: self.replication_num,
        })
    }
}

impl ExportArgs {
    /// What is asked for.
    ///
    /// # Errors
    /// A property given twice, or a directory that cannot be named in a request.
    pub fn request(&self) -> Result<ExportRequest> {
        Ok(ExportRequest {
            database: self.object.database.clone(),
            table: self.object.table.clone(),
            partition: self.object.partition.clone(),
            target: place(&self.dir, &self.property)?,
        })
    }
}

impl BackupArgs {
    /// What is asked for.
    ///
    /// # Errors
    /// A property given twice.
    pub fn request(&self) -> Result<BackupRequest> {
        let mut properties = plain(&self.property)?;
        if let Some(timeout) = self.timeout {
            add(&mut properties, "timeout", timeout.to_string())?;
        }
        Ok(BackupRequest {
            database: self.snapshot.database.clone(),
            label: self.snapshot.label.clone(),
            repository: self.to.clone(),
            selection: selected(&self.table, &self.exclude),
            properties,
        })
    }
}

impl RestoreArgs {
    /// What is asked for.
    ///
    /// # Errors
    /// A property given twice.
    pub fn request(&self) -> Result<RestoreRequest> {
        let mut properties = plain(&self.property)?;
        add(&mut properties, "backup_timestamp", self.timestamp.clone())?;
        if let Some(timeout) = self.timeout {
            add(&mut properties, "timeout", timeout.to_string())?;
        }
        Ok(RestoreRequest {
            database: self.snapshot.database.clone(),
            // Named even where it is the same, so that a snapshot of another database is refused.
            into: Some(self.into.clone().unwrap_or_else(|| self.snapshot.database.clone())),
            label: self.snapshot.label.clone(),
            repository: self.from.clone(),
            selection: selected(&self.table, &self.exclude),
            properties,
        })
    }
}

impl CancelArgs {
    /// What is asked for.
    #[must_use]
    pub fn request(&self) -> CancelRequest {
        let kind = match self.kind {
            CancelKind::Backup => JobKind::Backup,
            CancelKind::Restore => JobKind::Restore,
        };
        CancelRequest { kind, database: self.db.clone(), label: self.label.clone() }
    }
}

/// Properties by name, each at most once.
///
/// # Errors
/// Names the one that was given twice.
pub(crate) fn properties(given: &[Property]) -> Result<BTreeMap<String, Secret>> {
    let mut all = BTreeMap::new();
    for property in given {
        add(&mut all, &property.name, property.value.clone())?;
    }
    Ok(all)
}

/// Properties of a job, among which there are no secrets.
fn plain(given: &[Property]) -> Result<BTreeMap<String, String>> {
    let all = properties(given)?;
    Ok(all.into_iter().map(|(name, value)| (name, value.expose().to_owned())).collect())
}

fn add<T>(all: &mut BTreeMap<String, T>, name: &str, value: T) -> Result<()> {
    match all.insert(name.to_owned(), value) {
        None => Ok(()),
        Some(_) => Err(Error::Usage(format!("property `{name}` is given twice: give it once"))),
    }
}

fn selected(only: &[ObjectSelection], except: &[ObjectSelection]) -> Selection {
    if !only.is_empty() {
        Selection::Only(only.to_vec())
    } else if !except.is_empty() {
        Selection::Except(except.to_vec())
    } else {
        Selection::All
    }
}

/// A directory or URI. A directory is made absolute as this process sees it; what it means is up to the agents.
fn place(dir: &str, given: &[Property]) -> Result<StorageAccess> {
    let location = if has_scheme(dir) { dir.to_owned() } else { format!("file://{}", absolute(dir)?) };
    Ok(StorageAccess { properties: properties(given)?, ..StorageAccess::direct(location) })
}

fn has_scheme(text: &str) -> bool {
    text.split_once("://").is_some_and(|(scheme, _)| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
    })
}

fn absolute(dir: &str) -> Result<String> {
    let wrong = |why: &dyn std::fmt::Display| Error::Usage(format!("`{dir}` names no directory: {why}"));
    let path = std::path::absolute(dir).map_err(|error| wrong(&error))?;
    let path = without_parents(&path);
    path.into_os_string().into_string().map_err(|_| wrong(&"its absolute path is not UTF-8"))
}

/// The path without `..`. What lies before a `..` is looked up, because it may be a link; where there is nothing, the
/// last name is dropped.
fn without_parents(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for part in path.components() {
        if part == Component::ParentDir {
            clean = clean.canonicalize().unwrap_or(clean);
            clean.pop();
        } else {
            clean.push(part);
        }
    }
    clean
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    fn parse(line: &str) -> Command {
        Cli::try_parse_from(line.split_whitespace()).unwrap().command
    }

    #[test]
    fn a_backup_carries_its_selection_and_properties() {
        let Command::Backup(args) =
            parse("tabvault backup db.l:1 --to r --table a/p,q --table b --property type=full --timeout 700")
        else {
            panic!("not a backup");
        };
        let table = |table: &str, partitions: &[&str]| ObjectSelection {
            table: table.to_owned(),
            partitions: partitions.iter().map(ToString::to_string).collect(),
            alias: None,
        };
        let wanted = BackupRequest {
            database: "db".to_owned(),
            label: "l:1".to_owned(),
            repository: "r".to_owned(),
            selection: Selection::Only(vec![table("a", &["p", "q"]), table("b", &[])]),
            properties: [("timeout", "700"), ("type", "full")].map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
        };
        assert_eq!(args.request().unwrap(), wanted);
    }

    #[test]
    fn a_restore_carries_its_timestamp_as_a_property() {
        let line = "tabvault restore db.l --from r --timestamp 2025-07-31-14-02-01 --into db2 --table t=u";
        let Command::Restore(args) = parse(line) else { panic!("not a restore") };
        let request = args.request().unwrap();
        assert_eq!(request.properties.get("backup_timestamp").map(String::as_str), Some("2025-07-31-14-02-01"));
        assert_eq!(request.into.as_deref(), Some("db2"));
        let Selection::Only(objects) = request.selection else { panic!("a selection was given") };
        assert_eq!(objects[0].alias.as_deref(), Some("u"));
    }

    #[test]
    fn without_tables_everything_is_meant_and_exclude_means_the_rest() {
        let Command::Backup(all) = parse("tabvault backup db.l --to r") else { panic!("not a backup") };
        assert_eq!(all.request().unwrap().selection, Selection::All);
        let Command::Backup(rest) = parse("tabvault backup db.l --to r --exclude t/p") else { panic!("not a backup") };
        assert!(matches!(rest.request().unwrap().selection, Selection::Except(objects) if objects.len() == 1));
    }

    #[test]
    fn a_property_given_twice_is_refused_by_name() {
        for line in [
            "tabvault backup db.l --to r --property a=1 --property a=2",
            "tabvault backup db.l --to r --property a=1 --timeout 700 --property timeout=800",
        ] {
            let Command::Backup(args) = parse(line) else { panic!("not a backup") };
            let refusal = args.request().unwrap_err();
            assert!(
                matches!(&refusal, Error::Usage(text) if text.ends_with("is given twice: give it once")),
                "{refusal}"
            );
        }
    }

    #[test]
    fn a_directory_is_made_absolute_and_a_uri_is_kept() {
        let here = std::env::current_dir().unwrap().canonicalize().unwrap();
        let here = here.to_str().unwrap();
        let inside = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(here, inside.path().join("link")).unwrap();
        let link = inside.path().join("link/..");
        let above = Path::new(here).parent().unwrap().to_str().unwrap();
        for (given, wanted) in [
            ("some/dir", format!("file://{here}/some/dir")),
            (".", format!("file://{here}")),
            ("nowhere/../dir", format!("file://{here}/dir")),
            ("/a//b/", "file:///a/b".to_owned()),
            ("/a/b://c", "file:///a/b:/c".to_owned()),
            (link.to_str().unwrap(), format!("file://{above}")),
            ("s3://bucket/x", "s3://bucket/x".to_owned()),
            ("file:///x/../y", "file:///x/../y".to_owned()),
        ] {
            assert_eq!(place(given, &[]).unwrap().location, wanted);
        }
        assert!(place("", &[]).is_err());
    }
}
