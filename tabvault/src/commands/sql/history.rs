//! What was typed before: in a file that only its owner can read, without statements that carry secrets.

use std::path::PathBuf;

use rustyline::DefaultEditor;
use tabvault_common::durable;

use crate::output;

/// Words beside which secrets stand.
const SECRETS: [&str; 6] = ["identified", "password", "secret", "access_key", "token", "credential"];

/// `$XDG_STATE_HOME/tabvault/sql_history`, or below `~/.local/state`; none without a home.
fn file() -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = set("XDG_STATE_HOME").or_else(|| Some(set("HOME")?.join(".local/state")))?;
    Some(state.join("tabvault").join("sql_history"))
}

/// Whether a statement may be remembered.
pub(super) fn is_harmless(statement: &str) -> bool {
    let lower = statement.to_ascii_lowercase();
    !SECRETS.iter().any(|word| lower.contains(word))
}

/// Reads what earlier shells left. A history that cannot be read is none.
pub(super) fn load(editor: &mut DefaultEditor) {
    if let Some(file) = file() {
        let _ = editor.load_history(&file);
    }
}

/// Adds what this shell took.
pub(super) fn save(editor: &mut DefaultEditor) {
    let Some(file) = file() else { return };
    if let Some(dir) = file.parent()
        && let Err(failure) = durable::create_dir_all(dir)
    {
        return output::note(format!("the history is not kept: {failure}"));
    }
    if let Err(error) = editor.append_history(&file) {
        output::note(format!("the history is not kept: write {}: {error}", file.display()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_with_secrets_are_not_remembered() {
        assert!(is_harmless("CREATE TABLE t (a INT) DUPLICATE KEY (a)"));
        for statement in [
            "CREATE USER u IDENTIFIED BY 'x'",
            "set password = 'x'",
            "CREATE REPOSITORY r … PROPERTIES ('s3.secret_key' = 'x')",
            "ALTER REPOSITORY r PROPERTIES ('aws.s3.access_key' = 'x')",
        ] {
            assert!(!is_harmless(statement), "{statement}");
        }
    }
}
