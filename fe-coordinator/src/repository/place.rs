//! Names and locations of repositories: what they may be, and what they are called for people.

use tabvault_common::failure::{Failure, Kind};
use tabvault_common::repo::layout;

/// Longest name of a repository or broker, in bytes.
const MAX_NAME: usize = 64;

/// Refuses a name that is not a letter followed by letters, digits and `_`. `what` is what is named, for the message.
pub(crate) fn check_name(what: &str, name: &str) -> Result<(), Failure> {
    let mut chars = name.chars();
    let starts = chars.next().is_some_and(|c| c.is_ascii_alphabetic());
    if starts && name.len() <= MAX_NAME && chars.all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Ok(());
    }
    let shown: String = name.chars().take(MAX_NAME + 16).collect();
    Err(Failure::fatal(
        Kind::InvalidArgument,
        format!("{what} name '{shown}' is not valid: a letter, then letters, digits and _, at most {MAX_NAME} in all"),
    ))
}

/// The location as it is kept and shown: without blanks around it and slashes at its end, the scheme in lower case.
pub(super) fn normalise(location: &str) -> String {
    let location = location.trim();
    let Some((scheme, rest)) = location.split_once("://") else { return location.to_owned() };
    let (scheme, rest) = (scheme.to_ascii_lowercase(), rest.trim_end_matches('/'));
    // The root directory is all slashes; it keeps the one that names it.
    if rest.is_empty() && scheme == "file" { format!("{scheme}:///") } else { format!("{scheme}://{rest}") }
}

/// Where the repository `name` lies below a normalised location.
pub(super) fn directory(location: &str, name: &str) -> String {
    let slash = if location.ends_with('/') { "" } else { "/" };
    format!("{location}{slash}{}", layout::repository_root(name))
}

/// The cell Type of SHOW REPOSITORIES.
pub(super) fn kind(location: &str, through_brokers: bool) -> String {
    let scheme = location.split_once("://").map_or(location, |(scheme, _)| scheme);
    match scheme {
        _ if through_brokers => "BROKER".to_owned(),
        "file" => "LOCAL".to_owned(),
        "s3" | "s3a" | "s3n" => "S3".to_owned(),
        other => other.to_ascii_uppercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_letter_and_then_letters_digits_and_underscores() {
        assert_eq!(check_name("repository", "r_1"), Ok(()));
        assert_eq!(check_name("repository", &"r".repeat(64)), Ok(()));
        for bad in ["", "1r", "_r", "r-1", "r/../x", "ä", &"r".repeat(65)] {
            assert!(check_name("repository", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_location_is_kept_in_one_spelling() {
        assert_eq!(normalise(" S3://Bucket/Prefix// "), "s3://Bucket/Prefix");
        assert_eq!(normalise("file:///backup/"), "file:///backup");
        assert_eq!(normalise("file:///"), "file:///");
    }

    #[test]
    fn a_repository_has_a_directory_of_its_own() {
        assert_eq!(directory("s3://b/p", "r"), "s3://b/p/__tabvault_repository_r");
        assert_eq!(directory("file:///", "r"), "file:///__tabvault_repository_r");
    }

    #[test]
    fn a_type_is_told_by_the_scheme_or_the_broker() {
        assert_eq!(kind("file:///x", false), "LOCAL");
        assert_eq!(kind("s3a://x", false), "S3");
        assert_eq!(kind("s3://x", true), "BROKER");
    }
}
