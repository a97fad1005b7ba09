//! `tabvault sql`: statements from the command line, a script, or somebody at a terminal.
//!
//! Each statement is a call of its own. What lasts from one to the next is the database that USE chose; SET and SHOW
//! WARNINGS reach no further than the statement they stand in, so notices are told at once.

use std::io::{IsTerminal, Read};
use std::process::ExitCode;
use std::time::Instant;

use tabvault_common::failure::Failure;

use self::answer::Printer;
use self::split::{Splitter, Statement};
use crate::cli::OutputFormat;
use crate::cli::clients::SqlArgs;
use crate::client::{Client, Part, Refusal};
use crate::commands::Session;
use crate::config::FileConfig;
use crate::error::Result;
use crate::{output, server};

mod answer;
mod history;
mod shell;
mod split;

/// Runs statements. Of a script, the first that fails ends it with exit code 1, unless `--force` is given.
///
/// # Errors
/// That the coordinator cannot be reached, or that stdin cannot be read.
pub async fn run(args: &SqlArgs, file: &FileConfig) -> Result<ExitCode> {
    let interactive = args.execute.is_none() && std::io::stdin().is_terminal();
    let script = match &args.execute {
        Some(text) => text.clone(),
        None if interactive => String::new(),
        None => server::blocking(read_stdin).await?,
    };
    let session = Session::open(&args.client, file).await?;
    let mut connection = Connection { client: session.client, format: session.output, database: args.database.clone() };
    if interactive {
        return shell::run(&mut connection).await;
    }
    let mut code = ExitCode::SUCCESS;
    let mut statements = Splitter::new(&script);
    while let Some(statement) = statements.next().or_else(|| statements.rest()) {
        if let Some(refusal) = connection.execute(&statement, false).await? {
            output::note(told(&refusal, &statement, &script, true, std::io::stderr().is_terminal()));
            code = ExitCode::FAILURE;
            if !args.force {
                break;
            }
        }
    }
    Ok(code)
}

fn read_stdin() -> std::result::Result<String, Failure> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).map_err(|error| Failure::io("read statements from stdin", &error))?;
    Ok(text)
}

/// What lasts from one statement to the next.
struct Connection {
    client: Client,
    format: OutputFormat,
    database: Option<String>,
}

impl Connection {
    /// Runs a statement and prints what it answers, with the time it took if `timed`. Answers with why it failed.
    async fn execute(&mut self, statement: &Statement<'_>, timed: bool) -> Result<Option<Refusal>> {
        let format = if statement.vertical { OutputFormat::Vertical } else { self.format };
        let (begin, mut printer, mut refused) = (Instant::now(), Printer::new(format), None);
        // USE must not fail because the database before it is gone.
        let chooses = is_use(statement.text);
        let database = self.database.as_deref().filter(|_| !chooses);
        let mut execution = self.client.execute(statement.text, database).await?;
        while let Some(part) = execution.next().await? {
            match part {
                Part::Columns(columns) => printer.begin(columns)?,
                Part::Rows(rows) => printer.rows(rows)?,
                Part::Done { affected, notices } => printer.done(affected, &notices, timed.then(|| begin.elapsed()))?,
                Part::Refused(refusal) => {
                    printer.broken()?;
                    refused = Some(refusal);
                }
                Part::End(_) if chooses && refused.is_some() => {}
                Part::End(database) => self.database = database,
            }
        }
        Ok(refused)
    }
}

/// Why `statement` of `source` failed; of a script also where it stands. Under it, if the statement could not be read,
/// the line with a caret under the place; a line that may hold secrets only at a `terminal`, since logs are kept.
fn told(refusal: &Refusal, statement: &Statement<'_>, source: &str, script: bool, terminal: bool) -> String {
    let (code, sqlstate) = (refusal.code, &refusal.sqlstate);
    let at = if script { format!(" at line {}", statement.line) } else { String::new() };
    let mut message = refusal.failure.message.clone();
    let mut shown = String::new();
    if let Some((line, column)) = refusal.place {
        // Places are told within the statement, but users look for them in what they wrote.
        let there = if line == 1 { statement.column.saturating_sub(1) } else { 0 };
        let (whole_line, whole_column) = (statement.line + line.saturating_sub(1), there + column);
        let (within, whole) = (place(line, column), place(whole_line, whole_column));
        message = message.replacen(&within, &whole, 1);
        let text = whole_line.checked_sub(1).and_then(|n| source.split('\n').nth(n));
        // A secret may stand on a line of its own, and a line may hold the end of another statement.
        let harmless = |text: &str| history::is_harmless(text) && history::is_harmless(statement.text);
        shown =
            text.filter(|text| terminal || harmless(text)).map_or_else(String::new, |text| caret(text, whole_column));
    }
    format!("ERROR {code} ({sqlstate}){at}: {message}{shown}")
}

/// Whether a statement, without its end, is USE.
fn is_use(statement: &str) -> bool {
    let mut words = statement.split_ascii_whitespace();
    words.next().is_some_and(|first| first.eq_ignore_ascii_case("use")) && words.count() == 1
}

fn place(line: usize, column: usize) -> String {
    format!("line {line}, column {column}:")
}

fn caret(text: &str, column: usize) -> String {
    // A tab stays one, so that the caret stands under the place whatever the terminal makes of tabs.
    let blank = |c: char| if c == '\t' { '\t' } else { ' ' };
    let gap: String = text.chars().take(column.saturating_sub(1)).map(blank).collect();
    format!("\n{}\n{gap}^", text.trim_end_matches('\r'))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use tabvault_common::failure::Kind;

    use super::*;

    fn refusal(line: usize, column: usize) -> Refusal {
        let message = format!("syntax error at line {line}, column {column}: found `x`, expected TO");
        let failure = Failure::fatal(Kind::InvalidArgument, message);
        Refusal { failure, code: 1064, sqlstate: "42000".to_owned(), place: Some((line, column)) }
    }

    #[test]
    fn use_is_known() {
        assert!(is_use("USE shop") && is_use("use\n`shop`"));
        assert!(!is_use("use") && !is_use("used t") && !is_use("show use"));
    }

    #[test]
    fn a_line_that_may_hold_secrets_is_shown_at_a_terminal_only() {
        for script in ["ALTER USER u IDENTIFIED AS 'hush'", "ALTER REPOSITORY r SET ('secret_key' =\n'hush' 'hush')"] {
            let statement = Splitter::new(script).rest().unwrap();
            let line = script.lines().count();
            let told = |terminal| told(&refusal(line, 8), &statement, script, true, terminal);
            assert!(!told(false).contains("hush") && !told(false).contains('^'), "{}", told(false));
            assert!(told(true).contains("hush"), "{}", told(true));
        }
    }

    #[test]
    fn a_place_is_told_where_it_stands_in_the_whole_script() {
        let script = "SHOW BACKUP;\n  \tSHOW x;\nBACKUP\nSNAPSHOT x";
        let mut statements = Splitter::new(script);
        let _ = statements.next();
        let second = statements.next().unwrap();
        assert_eq!(
            told(&refusal(1, 6), &second, script, true, false),
            "ERROR 1064 (42000) at line 2: syntax error at line 2, column 9: found `x`, expected TO\n  \tSHOW x;\n  \t     ^"
        );
        assert!(statements.next().is_none());
        let last = statements.rest().unwrap();
        assert_eq!(
            told(&refusal(2, 10), &last, script, false, false),
            "ERROR 1064 (42000): syntax error at line 4, column 10: found `x`, expected TO\nSNAPSHOT x\n         ^"
        );
    }
}
