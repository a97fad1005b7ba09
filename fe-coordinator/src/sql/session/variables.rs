//! The variables of a session: those that drivers ask for and set. None of them changes what statements do.

use std::collections::BTreeMap;

use tabvault_common::failure::{Failure, Kind};

use super::SERVER_VERSION;
use crate::sql::answer::CellKind;
use crate::sql::error::SqlError;

/// Most user variables of a session.
const MAX_USER_VARIABLES: usize = 256;
/// Longest value of a variable, in bytes.
pub(in crate::sql) const MAX_VALUE: usize = 4096;

/// What a variable takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Takes {
    /// ON or OFF.
    Switch,
    /// A whole number.
    Number,
    /// Text.
    Text,
}

use Takes::{Number, Switch, Text};

/// A system variable: its name, what it takes, its value at first, and whether SET may change it.
type System = (&'static str, Takes, &'static str, bool);

/// In the order of their names.
const SYSTEM: &[System] = &[
    ("auto_increment_increment", Number, "1", true),
    ("auto_increment_offset", Number, "1", true),
    ("autocommit", Switch, "ON", true),
    ("character_set_client", Text, "utf8mb4", true),
    ("character_set_connection", Text, "utf8mb4", true),
    ("character_set_database", Text, "utf8mb4", true),
    ("character_set_filesystem", Text, "binary", true),
    ("character_set_results", Text, "utf8mb4", true),
    ("character_set_server", Text, "utf8mb4", true),
    ("character_set_system", Text, "utf8", false),
    ("collation_connection", Text, "utf8mb4_general_ci", true),
    ("collation_database", Text, "utf8mb4_general_ci", true),
    ("collation_server", Text, "utf8mb4_general_ci", true),
    ("completion_type", Text, "NO_CHAIN", true),
    ("default_authentication_plugin", Text, "mysql_native_password", false),
    ("default_storage_engine", Text, "OLAP", true),
    ("default_week_format", Number, "0", true),
    ("div_precision_increment", Number, "4", true),
    ("error_count", Number, "0", false),
    ("exec_mem_limit", Number, "2147483648", true),
    ("foreign_key_checks", Switch, "ON", true),
    ("group_concat_max_len", Number, "1024", true),
    ("have_openssl", Text, "YES", false),
    ("have_query_cache", Text, "NO", false),
    ("have_ssl", Text, "YES", false),
    ("identity", Number, "0", true),
    ("init_connect", Text, "", false),
    ("innodb_lock_wait_timeout", Number, "50", true),
    ("insert_id", Number, "0", true),
    ("interactive_timeout", Number, "28800", true),
    ("is_report_success", Switch, "OFF", true),
    ("last_insert_id", Number, "0", true),
    ("license", Text, "Apache License, Version 2.0", false),
    ("lock_wait_timeout", Number, "31536000", true),
    ("lower_case_file_system", Switch, "OFF", false),
    ("lower_case_table_names", Number, "0", false),
    ("max_allowed_packet", Number, "16777216", true),
    ("max_connections", Number, "1024", false),
    ("max_execution_time", Number, "0", true),
    ("max_join_size", Number, "18446744073709551615", true),
    ("net_buffer_length", Number, "16384", true),
    ("net_read_timeout", Number, "60", true),
    ("net_write_timeout", Number, "60", true),
    ("optimizer_switch", Text, "", true),
    ("performance_schema", Switch, "OFF", false),
    ("profiling", Switch, "OFF", true),
    ("protocol_version", Number, "10", false),
    ("query_cache_size", Number, "0", true),
    ("query_cache_type", Text, "OFF", true),
    ("query_timeout", Number, "300", true),
    ("read_only", Switch, "OFF", false),
    ("server_id", Number, "1", false),
    ("session_track_gtids", Text, "OFF", true),
    ("session_track_schema", Switch, "ON", true),
    ("session_track_state_change", Switch, "OFF", true),
    ("session_track_system_variables", Text, "", true),
    ("session_track_transaction_info", Text, "OFF", true),
    ("socket", Text, "", false),
    ("sql_auto_is_null", Switch, "OFF", true),
    ("sql_big_selects", Switch, "ON", true),
    ("sql_mode", Text, "", true),
    ("sql_notes", Switch, "ON", true),
    ("sql_quote_show_create", Switch, "ON", true),
    ("sql_safe_updates", Switch, "OFF", true),
    ("sql_select_limit", Number, "18446744073709551615", true),
    ("sql_warnings", Switch, "OFF", true),
    ("storage_engine", Text, "OLAP", true),
    ("super_read_only", Switch, "OFF", false),
    ("system_time_zone", Text, "UTC", false),
    ("time_zone", Text, "SYSTEM", true),
    ("transaction_isolation", Text, "REPEATABLE-READ", true),
    ("transaction_read_only", Switch, "OFF", true),
    ("tx_isolation", Text, "REPEATABLE-READ", true),
    ("tx_read_only", Switch, "OFF", true),
    ("unique_checks", Switch, "ON", true),
    ("version", Text, SERVER_VERSION, false),
    ("version_comment", Text, "tabvault: backup and restore", false),
    ("version_compile_machine", Text, std::env::consts::ARCH, false),
    ("version_compile_os", Text, std::env::consts::OS, false),
    ("wait_timeout", Number, "28800", true),
    ("warning_count", Number, "0", false),
];

/// Names of one variable.
const ALIKE: [(&str, &str); 2] = [("transaction_isolation", "tx_isolation"), ("transaction_read_only", "tx_read_only")];

/// What was set; the rest is as at first.
#[derive(Debug, Clone, Default)]
pub(in crate::sql) struct Variables {
    system: BTreeMap<&'static str, String>,
    user: BTreeMap<String, Option<String>>,
}

impl Variables {
    /// A system variable as SELECT shows it: a switch as 0 or 1.
    pub(in crate::sql) fn get(&self, name: &str) -> Result<(String, CellKind), SqlError> {
        let (name, kind, first, _) = system(name)?;
        let value = self.system.get(name).map_or(*first, String::as_str);
        Ok(match kind {
            Text => (value.to_owned(), CellKind::Text),
            Number => (value.to_owned(), CellKind::Integer),
            Switch => (u8::from(value == "ON").to_string(), CellKind::Integer),
        })
    }

    /// All system variables as SHOW VARIABLES lists them: a switch as ON or OFF.
    pub(in crate::sql) fn list(&self) -> impl Iterator<Item = (&'static str, &str)> {
        SYSTEM.iter().map(|(name, _, first, _)| (*name, self.system.get(name).map_or(*first, String::as_str)))
    }

    /// SET; `None` puts it back to what it was at first.
    pub(in crate::sql) fn set(&mut self, name: &str, value: Option<&str>) -> Result<(), SqlError> {
        let (name, kind, _, changeable) = system(name)?;
        if !changeable {
            return Err(error(1238, format!("Variable '{name}' is a read only variable")));
        }
        let both = ALIKE.iter().find(|(one, other)| name == one || name == other);
        let names = both.map_or(vec![*name], |(one, other)| vec![*one, *other]);
        let value = value.map(|value| read(name, *kind, value)).transpose()?;
        for name in names {
            match &value {
                Some(value) => self.system.insert(name, value.clone()),
                None => self.system.remove(name),
            };
        }
        Ok(())
    }

    /// `@name`; one that was never set is NULL.
    pub(in crate::sql) fn user(&self, name: &str) -> Option<String> {
        self.user.get(&name.to_lowercase()).cloned().flatten()
    }

    /// SET `@name`.
    pub(in crate::sql) fn set_user(&mut self, name: &str, value: Option<String>) -> Result<(), SqlError> {
        let name = name.to_lowercase();
        let length = value.as_ref().map_or(0, String::len).max(name.len());
        let full = self.user.len() >= MAX_USER_VARIABLES && !self.user.contains_key(&name);
        if full || length > MAX_VALUE {
            let why = format!(
                "set a user variable: a session has at most {MAX_USER_VARIABLES} of at most {MAX_VALUE} bytes each"
            );
            return Err(Failure::fatal(Kind::ResourceExhausted, why).into());
        }
        self.user.insert(name, value);
        Ok(())
    }
}

fn system(name: &str) -> Result<&'static System, SqlError> {
    let found = SYSTEM.iter().find(|(known, ..)| known.eq_ignore_ascii_case(name));
    let shown: String = name.chars().take(64).collect();
    found.ok_or_else(|| error(1193, format!("Unknown system variable '{shown}'")))
}

/// The value as it is kept.
fn read(name: &str, kind: Takes, value: &str) -> Result<String, SqlError> {
    let wrong = || {
        let shown: String = value.chars().take(64).collect();
        error(1231, format!("Variable '{name}' can't be set to the value of '{shown}'"))
    };
    match kind {
        Switch => match value.to_ascii_uppercase().as_str() {
            "ON" | "TRUE" | "1" => Ok("ON".to_owned()),
            "OFF" | "FALSE" | "0" => Ok("OFF".to_owned()),
            _ => Err(wrong()),
        },
        Number => value.parse::<u64>().map(|number| number.to_string()).map_err(|_| wrong()),
        Text if value.len() <= MAX_VALUE => Ok(value.to_owned()),
        Text => Err(wrong()),
    }
}

fn error(code: u16, message: String) -> SqlError {
    let sqlstate = if code == 1231 { "42000" } else { "HY000" };
    SqlError { failure: Failure::fatal(Kind::InvalidArgument, message), code, sqlstate, place: None }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_in_the_order_of_names_and_names_each_once() {
        assert!(SYSTEM.is_sorted_by(|a, b| a.0 < b.0));
        for (name, kind, first, _) in SYSTEM {
            assert_eq!(read(name, *kind, first).unwrap(), *first, "{name}");
        }
    }

    #[test]
    fn a_switch_is_selected_as_a_number_and_listed_as_a_word() {
        let mut variables = Variables::default();
        variables.set("AutoCommit", Some("0")).unwrap();
        assert_eq!(variables.get("AUTOCOMMIT").unwrap(), ("0".to_owned(), CellKind::Integer));
        assert!(variables.list().any(|row| row == ("autocommit", "OFF")));
        variables.set("autocommit", None).unwrap();
        assert_eq!(variables.get("autocommit").unwrap().0, "1");
        assert_eq!(variables.set("autocommit", Some("maybe")).unwrap_err().code, 1231);
    }

    #[test]
    fn both_names_of_the_isolation_level_change_together() {
        let mut variables = Variables::default();
        variables.set("tx_isolation", Some("READ-COMMITTED")).unwrap();
        assert_eq!(variables.get("transaction_isolation").unwrap().0, "READ-COMMITTED");
    }

    #[test]
    fn unknown_and_fixed_variables_are_refused_with_mysqls_numbers() {
        let mut variables = Variables::default();
        assert_eq!(variables.get("nonsense").unwrap_err().code, 1193);
        assert_eq!(
            variables.set("nonsense", Some("1")).unwrap_err().failure.message,
            "Unknown system variable 'nonsense'"
        );
        assert_eq!(variables.set("version", Some("8")).unwrap_err().code, 1238);
    }

    #[test]
    fn user_variables_are_null_at_first_and_bounded() {
        let mut variables = Variables::default();
        assert_eq!(variables.user("a"), None);
        variables.set_user("A", Some("x".to_owned())).unwrap();
        assert_eq!(variables.user("a").as_deref(), Some("x"));
        assert!(variables.set_user("b", Some("x".repeat(MAX_VALUE + 1))).is_err());
        for n in 1..MAX_USER_VARIABLES {
            variables.set_user(&n.to_string(), None).unwrap();
        }
        assert!(variables.set_user("one more", None).is_err());
        assert!(variables.set_user("a", None).is_ok());
    }
}
