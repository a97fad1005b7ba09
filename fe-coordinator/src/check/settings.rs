//! Live settings of agents and repositories, as their user writes them.

use std::collections::BTreeMap;

use tabvault_common::failure::Failure;
use tabvault_common::settings::{AgentSettings, RepositorySettings};

use super::invalid;
use super::properties::parse_size;

/// What takes a setting back, so that whoever is less specific decides.
const BACK: &str = "default";
/// Most requests in flight: each may hold a piece of the agent's memory budget.
const MAX_IN_FLIGHT: u32 = 1024;
/// More cores than any machine has are a mistake.
const MAX_CORES: u32 = 4096;

/// A setting: its name, what it means for an agent, and what for a repository where that has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setting {
    /// What users write.
    pub key: &'static str,
    /// For people.
    pub of_agent: &'static str,
    /// For people; `None` where repositories have none.
    pub of_repository: Option<&'static str>,
}

/// All settings, in the order of their names.
pub const SETTINGS: [Setting; 4] = [
    Setting {
        key: "bytes_per_second",
        of_agent: "to and from all storage",
        of_repository: Some("of all agents together"),
    },
    Setting { key: "cpu_cores", of_agent: "that work on files may keep busy", of_repository: None },
    Setting {
        key: "max_requests_in_flight",
        of_agent: "at once, to and from storage but file://",
        of_repository: None,
    },
    Setting { key: "requests_per_second", of_agent: "to all storage", of_repository: Some("of all agents together") },
];

/// The settings of an agent, changed as `given` says; those that are not named stay.
///
/// # Errors
/// `InvalidArgument` for a name that is unknown, a value that it cannot have, or nothing at all.
pub fn change_agent(mut settings: AgentSettings, given: &BTreeMap<String, String>) -> Result<AgentSettings, Failure> {
    some(given, "an agent", |_| true)?;
    for (key, value) in given {
        match key.as_str() {
            "bytes_per_second" => settings.bytes_per_second = bytes(key, value)?,
            "requests_per_second" => settings.requests_per_second = requests(key, value)?,
            "cpu_cores" => settings.cpu_cores = number(key, value, 0, MAX_CORES, "0 for all")?,
            "max_requests_in_flight" => {
                settings.max_requests_in_flight = number(key, value, 1, MAX_IN_FLIGHT, "64 unless told otherwise")?;
            }
            _ => return Err(unknown(key, "an agent", |_| true)),
        }
    }
    Ok(settings)
}

/// The settings of a repository, changed as `given` says; those that are not named stay.
///
/// # Errors
/// As of [`change_agent`].
pub fn change_repository(
    mut settings: RepositorySettings,
    given: &BTreeMap<String, String>,
) -> Result<RepositorySettings, Failure> {
    let has = |setting: &Setting| setting.of_repository.is_some();
    some(given, "a repository", has)?;
    for (key, value) in given {
        match key.as_str() {
            "bytes_per_second" => settings.bytes_per_second = bytes(key, value)?,
            "requests_per_second" => settings.requests_per_second = requests(key, value)?,
            _ => return Err(unknown(key, "a repository", has)),
        }
    }
    Ok(settings)
}

fn some(given: &BTreeMap<String, String>, of: &str, has: fn(&Setting) -> bool) -> Result<(), Failure> {
    if given.is_empty() {
        return Err(invalid(format!("No config of {of} is named; those that exist are {}", known(has))));
    }
    Ok(())
}

fn unknown(key: &str, of: &str, has: fn(&Setting) -> bool) -> Failure {
    invalid(format!("Unknown config of {of}: {key}; those that exist are {}", known(has)))
}

fn known(has: fn(&Setting) -> bool) -> String {
    SETTINGS.iter().filter(|setting| has(setting)).map(|setting| setting.key).collect::<Vec<_>>().join(", ")
}

/// Bytes, 0 for no limit.
fn bytes(key: &str, value: &str) -> Result<Option<u64>, Failure> {
    let value = value.trim();
    if value.eq_ignore_ascii_case(BACK) {
        return Ok(None);
    }
    // 50MB is what people write.
    let number = value.strip_suffix(['B', 'b']).filter(|rest| rest.ends_with(['K', 'k', 'M', 'm', 'G', 'g']));
    parse_size(number.unwrap_or(value)).map(Some).ok_or_else(|| {
        invalid(format!(
            "Invalid config '{key}': {value}; write bytes, or a number with K, M or G, such as 50M; 0 for no limit, or \
             {BACK}"
        ))
    })
}

/// A number, 0 for no limit.
fn requests(key: &str, value: &str) -> Result<Option<u64>, Failure> {
    let value = value.trim();
    if value.eq_ignore_ascii_case(BACK) {
        return Ok(None);
    }
    value
        .parse()
        .map(Some)
        .map_err(|_| invalid(format!("Invalid config '{key}': {value}; write a number, 0 for no limit, or {BACK}")))
}

fn number(key: &str, value: &str, least: u32, most: u32, hint: &str) -> Result<Option<u32>, Failure> {
    let value = value.trim();
    if value.eq_ignore_ascii_case(BACK) {
        return Ok(None);
    }
    match value.parse() {
        Ok(number) if (least..=most).contains(&number) => Ok(Some(number)),
        _ => Err(invalid(format!(
            "Invalid config '{key}': {value}; write a number from {least} to {most} ({hint}), or {BACK}"
        ))),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::*;

    fn given(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn what_is_named_changes_and_the_rest_stays() {
        let before = AgentSettings { requests_per_second: Some(9), cpu_cores: Some(2), ..AgentSettings::default() };
        let change =
            given(&[("bytes_per_second", "50MB"), ("cpu_cores", " Default "), ("max_requests_in_flight", "16")]);
        let after = change_agent(before, &change).unwrap();
        let expected = AgentSettings {
            bytes_per_second: Some(50 << 20),
            requests_per_second: Some(9),
            cpu_cores: None,
            max_requests_in_flight: Some(16),
        };
        assert_eq!(after, expected);
        let unlimited = change_repository(RepositorySettings::default(), &given(&[("bytes_per_second", "0")])).unwrap();
        assert_eq!(unlimited.bytes_per_second, Some(0));
    }

    #[test]
    fn every_setting_can_be_set_and_taken_back() {
        for setting in SETTINGS {
            let set = change_agent(AgentSettings::default(), &given(&[(setting.key, "7")])).unwrap();
            assert_ne!(set, AgentSettings::default(), "{}", setting.key);
            let back = given(&[(setting.key, "default")]);
            assert_eq!(change_agent(set, &back).unwrap(), AgentSettings::default(), "{}", setting.key);
            let of_repository = change_repository(RepositorySettings::default(), &given(&[(setting.key, "7")]));
            assert_eq!(of_repository.is_ok(), setting.of_repository.is_some(), "{}", setting.key);
        }
    }

    #[test]
    fn what_cannot_be_set_is_refused_with_what_would_be_right() {
        for (key, value, words) in [
            ("speed", "1", "Unknown config of an agent: speed; those that exist are bytes_per_second, cpu_cores, "),
            (
                "bytes_per_second",
                "fast",
                "Invalid config 'bytes_per_second': fast; write bytes, or a number with K, M or G",
            ),
            ("bytes_per_second", "-1", "Invalid config 'bytes_per_second': -1; "),
            ("requests_per_second", "5M", "Invalid config 'requests_per_second': 5M; write a number, 0 for no limit"),
            (
                "max_requests_in_flight",
                "0",
                "Invalid config 'max_requests_in_flight': 0; write a number from 1 to 1024",
            ),
            ("cpu_cores", "1.5", "Invalid config 'cpu_cores': 1.5; write a number from 0 to 4096 (0 for all)"),
        ] {
            let refused = change_agent(AgentSettings::default(), &given(&[(key, value)])).unwrap_err();
            assert!(refused.message.starts_with(words), "{refused}");
        }
        let refused = change_repository(RepositorySettings::default(), &given(&[("cpu_cores", "1")])).unwrap_err();
        let words =
            "Unknown config of a repository: cpu_cores; those that exist are bytes_per_second, requests_per_second";
        assert_eq!(refused.message, words);
        assert!(
            change_agent(AgentSettings::default(), &given(&[])).unwrap_err().message.starts_with("No config of an")
        );
    }
}
