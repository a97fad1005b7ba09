//! The README's SQL tour: what it says is answered is what is answered.

use std::path::{Path, PathBuf};

use super::outcome::Outcome;

/// Where the README's tour lives; every test has a directory of its own for it.
pub(crate) const DIR: &str = "/tmp/tour";

/// The README's tour.
#[derive(Debug)]
pub(crate) struct Tour {
    readme: String,
    /// What is typed in a shell before.
    pub(crate) shell: String,
    /// Statements, each with its answer behind it, as comments.
    pub(crate) sql: String,
}

impl Tour {
    /// The first block of a shell and the first of SQL in the README's section.
    pub(crate) fn read() -> Self {
        let readme = std::fs::read_to_string(file()).expect("read the README");
        let section = readme.split("\n## SQL tour\n").nth(1).expect("the README has a section SQL tour");
        let section = section.split("\n## ").next().expect("a section begins");
        let block = |kind: &str| {
            let block = section.split(&format!("\n```{kind}\n")).nth(1).and_then(|rest| rest.split("```").next());
            block.unwrap_or_else(|| panic!("the tour has a block of {kind}")).to_owned()
        };
        let (shell, sql) = (block("sh"), block("sql"));
        Self { readme, shell, sql }
    }

    /// The README with `told` for its statements and answers.
    pub(crate) fn with(&self, told: &str) -> String {
        self.readme.replace(&self.sql, told)
    }
}

/// The README.
pub(crate) fn file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md")
}

/// A statement and its answer as the README has them: whoever pastes them into a client runs the statement only.
pub(crate) fn told(statement: &str, outcome: &Outcome) -> String {
    let answer = match outcome {
        Outcome::Done { affected: 0, notices } if notices.is_empty() => return format!("{statement};\n"),
        other => other.told(),
    };
    let comments: String = answer.lines().map(|line| format!("-- {line}\n")).collect();
    format!("{statement};\n{comments}\n")
}
