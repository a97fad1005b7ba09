//! Statements of somebody at a terminal.

use std::io::IsTerminal;
use std::process::ExitCode;

use rustyline::DefaultEditor;
use rustyline::error::ReadlineError;
use tabvault_common::failure::{Failure, Kind};

use super::split::{Splitter, Statement};
use super::{Connection, history, is_use, told};
use crate::error::Result;
use crate::{output, server};

const HELP: &str = "\
Statements end with ; and are run with Enter; with \\G instead, rows stand below each other.
\\q, quit, exit or Ctrl-D end; Ctrl-C clears what is typed. HELP; tells what statements there are.";

/// What a line that is typed means.
#[derive(Debug, PartialEq, Eq)]
enum Line {
    /// It belongs to a statement.
    Text(String),
    /// What was typed is forgotten.
    Clear,
    /// The shell ends.
    End,
}

/// Reads and runs statements until the user ends it. A statement that fails ends nothing.
pub(super) async fn run(connection: &mut Connection) -> Result<ExitCode> {
    let editor = DefaultEditor::new().map_err(|error| broken(&error))?;
    let mut editor = with(editor, history::load).await?.0;
    output::line(format!("connected to {}; \\h for help", connection.client.address()))?;
    let mut typed = String::new();
    loop {
        let prompt = prompt(connection.database.as_deref(), !typed.is_empty());
        let (back, line) = with(editor, move |editor| read(editor, &prompt)).await?;
        editor = back;
        match line? {
            Line::End => break,
            Line::Clear => typed.clear(),
            Line::Text(line) if typed.is_empty() => match word(&line) {
                "" => {}
                "\\q" | "quit" | "exit" => break,
                "\\h" | "\\?" => output::line(HELP)?,
                // As in other clients, USE needs no end.
                word if is_use(word) && !word.contains(';') => typed = format!("{word};"),
                _ => typed = line,
            },
            Line::Text(line) => typed = format!("{typed}\n{line}"),
        }
        let mut statements = Splitter::new(&typed);
        let mut ran = false;
        while let Some(statement) = statements.next() {
            ran = true;
            if !answer(connection, &statement, &typed).await? {
                break;
            }
        }
        if ran {
            let left = statements.left().trim().to_owned();
            let done = typed[..typed.len() - statements.left().len()].trim();
            if history::is_harmless(done) {
                // A line that is not remembered is no reason to end.
                let _ = editor.add_history_entry(done);
            }
            typed = left;
        }
    }
    let _ = with(editor, history::save).await?;
    Ok(ExitCode::SUCCESS)
}

/// Runs a statement, unless Ctrl-C is pressed meanwhile. Answers whether what follows on the line may be run.
async fn answer(connection: &mut Connection, statement: &Statement<'_>, typed: &str) -> Result<bool> {
    let answered = tokio::select! {
        answered = connection.execute(statement, true) => answered,
        _ = tokio::signal::ctrl_c() => {
            output::note("not waited for any more: what was begun may go on");
            return Ok(false);
        }
    };
    match answered {
        Ok(None) => return Ok(true),
        Ok(Some(refusal)) => output::note(told(&refusal, statement, typed, false, std::io::stderr().is_terminal())),
        Err(error) => output::note(format!("error: {error}")),
    }
    Ok(false)
}

fn prompt(database: Option<&str>, begun: bool) -> String {
    match (begun, database) {
        (true, _) => "       -> ".to_owned(),
        (false, None) => "tabvault> ".to_owned(),
        (false, Some(database)) => format!("tabvault [{database}]> "),
    }
}

/// A line without what may end a command.
fn word(line: &str) -> &str {
    line.trim().trim_end_matches(';').trim_end()
}

fn read(editor: &mut DefaultEditor, prompt: &str) -> Result<Line> {
    match editor.readline(prompt) {
        Ok(line) => Ok(Line::Text(line)),
        Err(ReadlineError::Interrupted) => Ok(Line::Clear),
        Err(ReadlineError::Eof) => Ok(Line::End),
        Err(error) => Err(broken(&error).into()),
    }
}

/// Uses the editor where blocking is allowed.
async fn with<T: Send + 'static>(
    mut editor: DefaultEditor,
    work: impl FnOnce(&mut DefaultEditor) -> T + Send + 'static,
) -> Result<(DefaultEditor, T)> {
    Ok(server::blocking(move || {
        let done = work(&mut editor);
        Ok((editor, done))
    })
    .await?)
}

fn broken(error: &ReadlineError) -> Failure {
    Failure::fatal(Kind::Internal, format!("read from the terminal: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prompt_says_where_one_is() {
        assert_eq!(prompt(None, false), "tabvault> ");
        assert_eq!(prompt(Some("d"), false), "tabvault [d]> ");
        assert_eq!(prompt(Some("d"), true), "       -> ");
    }
}
