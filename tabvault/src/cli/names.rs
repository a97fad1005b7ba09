//! Names that people type as one word: `DB.TABLE/PARTITION`, `DB.LABEL`, `T/P1,P2=ALIAS`, `k=v`, `HOST:PORT`.
//!
//! Only the shape is checked here; whether a name exists, or a label may be given, the coordinator says.

use std::fmt;

use tabvault_common::request::ObjectSelection;
use tabvault_common::secret::Secret;

/// `DB.TABLE` or `DB.TABLE/PARTITION`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectName {
    /// The database.
    pub database: String,
    /// The table.
    pub table: String,
    /// The partition, if one was named.
    pub partition: Option<String>,
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.database, self.table)?;
        self.partition.as_ref().map_or(Ok(()), |partition| write!(f, "/{partition}"))
    }
}

/// `DB.LABEL`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotName {
    /// The database.
    pub database: String,
    /// The label; it may contain `:`.
    pub label: String,
}

impl fmt::Display for SnapshotName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.database, self.label)
    }
}

/// `NAME=VALUE`. The value may be a secret and is never shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Property {
    /// What stands before the first `=`.
    pub name: String,
    /// What stands behind it, possibly empty.
    pub value: Secret,
}

/// `HOST:PORT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPort {
    /// Host name or address, without brackets.
    pub host: String,
    /// Port, not zero.
    pub port: u16,
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

/// Reads `DB.TABLE[/PARTITION]`. The database ends at the first dot, the table at the first slash.
///
/// # Errors
/// A sentence with the right shape.
pub fn object(text: &str) -> Result<ObjectName, String> {
    let wrong = || format!("`{text}` names no table: write DB.TABLE or DB.TABLE/PARTITION");
    let (database, rest) = text.split_once('.').ok_or_else(wrong)?;
    let (table, partition) = match rest.split_once('/') {
        Some((table, partition)) => (table, Some(partition)),
        None => (rest, None),
    };
    if database.is_empty() || table.is_empty() || partition.is_some_and(str::is_empty) {
        return Err(wrong());
    }
    Ok(ObjectName { database: database.to_owned(), table: table.to_owned(), partition: partition.map(str::to_owned) })
}

/// Reads `DB.TABLE`.
///
/// # Errors
/// A sentence with the right shape.
pub fn table(text: &str) -> Result<ObjectName, String> {
    let wrong = || format!("`{text}` names no table: write DB.TABLE");
    object(text).ok().filter(|name| name.partition.is_none()).ok_or_else(wrong)
}

/// Reads `DB.LABEL`. The database ends at the first dot.
///
/// # Errors
/// A sentence with the right shape.
pub fn snapshot(text: &str) -> Result<SnapshotName, String> {
    match text.split_once('.') {
        Some((database, label)) if !database.is_empty() && !label.is_empty() => {
            Ok(SnapshotName { database: database.to_owned(), label: label.to_owned() })
        }
        _ => Err(format!("`{text}` names no snapshot of a database: write DB.LABEL")),
    }
}

/// Reads `TABLE[/P1,P2][=ALIAS]`.
///
/// # Errors
/// A sentence with the right shape.
pub fn selection(text: &str) -> Result<ObjectSelection, String> {
    let wrong = || format!("`{text}` selects no table: write TABLE, TABLE/P1,P2 or TABLE=ALIAS");
    let (object, alias) = match text.split_once('=') {
        Some((object, alias)) => (object, Some(alias)),
        None => (text, None),
    };
    let (table, partitions) = match object.split_once('/') {
        Some((table, partitions)) => (table, partitions.split(',').map(str::to_owned).collect()),
        None => (object, Vec::new()),
    };
    if table.is_empty() || alias.is_some_and(str::is_empty) || partitions.iter().any(String::is_empty) {
        return Err(wrong());
    }
    Ok(ObjectSelection { table: table.to_owned(), partitions, alias: alias.map(str::to_owned) })
}

/// Reads `NAME=VALUE`.
///
/// # Errors
/// A sentence with the right shape, without the text: it may be a secret.
pub fn property(text: &str) -> Result<Property, String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok(Property { name: name.to_owned(), value: Secret::new(value) }),
        _ => Err("a property has a name and a value: write NAME=VALUE".to_owned()),
    }
}

/// Reads `HOST:PORT`; an IPv6 address stands in brackets.
///
/// # Errors
/// A sentence with the right shape.
pub fn host_port(text: &str) -> Result<HostPort, String> {
    let wrong = || format!("`{text}` is no address: write HOST:PORT, with a port from 1 to 65535");
    let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    let host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(inner) => inner,
        None if host.contains(':') => return Err(wrong()),
        None => host,
    };
    let port = port.parse().ok().filter(|port| *port != 0).ok_or_else(wrong)?;
    if host.is_empty() { Err(wrong()) } else { Ok(HostPort { host: host.to_owned(), port }) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn parts(text: &str) -> Option<(String, String, Option<String>)> {
        object(text).ok().map(|name| (name.database, name.table, name.partition))
    }

    #[test]
    fn a_table_is_named_by_database_table_and_partition() {
        let named = |d: &str, t: &str, p: Option<&str>| Some((d.to_owned(), t.to_owned(), p.map(str::to_owned)));
        assert_eq!(parts("d.t"), named("d", "t", None));
        assert_eq!(parts("d.t.x/p/q"), named("d", "t.x", Some("p/q")));
        for wrong in ["", "t", ".t", "d.", "d./p", "d.t/", "."] {
            assert_eq!(
                object(wrong).unwrap_err(),
                format!("`{wrong}` names no table: write DB.TABLE or DB.TABLE/PARTITION")
            );
        }
        assert!(table("d.t").is_ok());
        assert_eq!(table("d.t/p").unwrap_err(), "`d.t/p` names no table: write DB.TABLE");
    }

    #[test]
    fn a_label_may_contain_a_colon_and_begins_behind_the_first_dot() {
        let name = snapshot("db.day:1.a").unwrap();
        assert_eq!((name.database.as_str(), name.label.as_str()), ("db", "day:1.a"));
        for wrong in ["", "label", ".label", "db."] {
            assert_eq!(
                snapshot(wrong).unwrap_err(),
                format!("`{wrong}` names no snapshot of a database: write DB.LABEL")
            );
        }
    }

    #[test]
    fn a_selection_is_a_table_with_partitions_and_another_name() {
        let read = |text: &str| selection(text).map(|s| (s.table, s.partitions.join("+"), s.alias.unwrap_or_default()));
        let row = |t: &str, p: &str, a: &str| Ok((t.to_owned(), p.to_owned(), a.to_owned()));
        assert_eq!(read("t"), row("t", "", ""));
        assert_eq!(read("t/p1,p2"), row("t", "p1+p2", ""));
        assert_eq!(read("t=u"), row("t", "", "u"));
        assert_eq!(read("t/p1=u"), row("t", "p1", "u"));
        for wrong in ["", "/p", "t/", "t/p,", "t=", "=u"] {
            assert!(selection(wrong).unwrap_err().starts_with(&format!("`{wrong}` selects no table")), "{wrong}");
        }
    }

    #[test]
    fn a_property_is_cut_at_the_first_sign_and_never_shown() {
        let read = property("s3.secret_key=a=b").unwrap();
        assert_eq!((read.name.as_str(), read.value.expose()), ("s3.secret_key", "a=b"));
        assert!(!format!("{read:?}").contains("a=b"));
        for wrong in ["hush", "=hush"] {
            assert!(!property(wrong).unwrap_err().contains("hush"));
        }
    }

    #[test]
    fn an_address_is_a_host_and_a_port() {
        let read = |text: &str| host_port(text).map(|address| (address.host, address.port));
        assert_eq!(read("h.example:8000"), Ok(("h.example".to_owned(), 8000)));
        assert_eq!(read("[::1]:8000"), Ok(("::1".to_owned(), 8000)));
        for wrong in ["", "h", "h:", ":8000", "h:0", "h:65536", "::1:80", "h:x"] {
            assert!(read(wrong).unwrap_err().contains("write HOST:PORT"), "{wrong}");
        }
    }
}
