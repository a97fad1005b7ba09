//! What is the same in every session: character sets, engines, plugins.

use super::pattern::like_any;
use super::{table, text};
use crate::sql::answer::{Answer, Cell};

/// Collation, character set, number, and whether it is its set's default.
const COLLATIONS: [(&str, &str, u16, bool); 9] = [
    ("utf8mb4_general_ci", "utf8mb4", 45, true),
    ("utf8mb4_bin", "utf8mb4", 46, false),
    ("utf8mb4_unicode_ci", "utf8mb4", 224, false),
    ("utf8mb4_0900_ai_ci", "utf8mb4", 255, false),
    ("utf8_general_ci", "utf8", 33, true),
    ("utf8_bin", "utf8", 83, false),
    ("latin1_swedish_ci", "latin1", 8, true),
    ("ascii_general_ci", "ascii", 11, true),
    ("binary", "binary", 63, true),
];

/// Character set, what it is, its default collation, and bytes of a character at most.
const CHARSETS: [(&str, &str, &str, u8); 5] = [
    ("utf8mb4", "UTF-8 Unicode", "utf8mb4_general_ci", 4),
    ("utf8", "UTF-8 Unicode", "utf8_general_ci", 3),
    ("latin1", "cp1252 West European", "latin1_swedish_ci", 1),
    ("ascii", "US ASCII", "ascii_general_ci", 1),
    ("binary", "Binary pseudo charset", "binary", 1),
];

pub(super) fn collations(like: Option<&str>) -> Answer {
    let wanted = COLLATIONS.iter().filter(|(name, ..)| like_any(like, name));
    let row = |(name, charset, number, default): &(&str, &str, u16, bool)| -> Vec<Cell> {
        let default = if *default { "Yes" } else { "" };
        vec![text(name), text(charset), text(number), text(default), text("Yes"), text(1)]
    };
    table(&["Collation", "Charset", "Id", "Default", "Compiled", "Sortlen"], wanted.map(row).collect())
}

pub(super) fn charsets(like: Option<&str>) -> Answer {
    let wanted = CHARSETS.iter().filter(|(name, ..)| like_any(like, name));
    let row = |(name, what, collation, length): &(&str, &str, &str, u8)| -> Vec<Cell> {
        vec![text(name), text(what), text(collation), text(length)]
    };
    table(&["Charset", "Description", "Default collation", "Maxlen"], wanted.map(row).collect())
}

pub(super) fn engines() -> Answer {
    let what = "Tables of tablets, as they are backed up and restored";
    let row = vec![text("OLAP"), text("DEFAULT"), text(what), text("NO"), text("NO"), text("NO")];
    table(&["Engine", "Support", "Comment", "Transactions", "XA", "Savepoints"], vec![row])
}

pub(super) fn plugins() -> Answer {
    let row = vec![text("mysql_native_password"), text("ACTIVE"), text("AUTHENTICATION"), None, text("Apache-2.0")];
    table(&["Name", "Status", "Type", "Library", "License"], vec![row])
}
