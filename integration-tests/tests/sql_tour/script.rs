//! A script: statements, and the places where whoever runs it waits.

use std::fmt;

/// A part of a script: what runs without waiting, and without looking up what the part itself makes.
#[derive(Debug)]
pub(crate) struct Chunk {
    /// What has to be finished before.
    pub(crate) wait: Option<Wait>,
    /// The part, word for word.
    pub(crate) text: String,
}

/// A job to wait for: `-- wait: BACKUP db label`.
#[derive(Debug)]
pub(crate) struct Wait {
    /// BACKUP or RESTORE.
    pub(crate) kind: String,
    /// Of which database.
    pub(crate) database: String,
    /// Its label.
    pub(crate) label: String,
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{WAIT}{} {} {}", self.kind, self.database, self.label)
    }
}

/// How a line begins that says what to wait for.
const WAIT: &str = "-- wait: ";

/// A statement of a chunk.
#[derive(Debug, Clone)]
pub(crate) struct Statement {
    /// The line that it begins at; the first is 1.
    pub(crate) line: usize,
    /// Its text, without the semicolon.
    pub(crate) text: String,
}

/// The chunks of a script.
pub(crate) fn chunks(script: &str) -> Vec<Chunk> {
    let mut chunks = vec![Chunk { wait: None, text: String::new() }];
    for line in script.lines() {
        if let Some(wait) = line.strip_prefix(WAIT) {
            let mut words = wait.split(' ').map(str::to_owned);
            let mut word =
                || words.next().unwrap_or_else(|| panic!("not the kind, database and label of a job: {wait}"));
            let wait = Wait { kind: word(), database: word(), label: word() };
            chunks.push(Chunk { wait: Some(wait), text: String::new() });
        } else if line.starts_with("-- look up: ") {
            chunks.push(Chunk { wait: None, text: String::new() });
        } else if let Some(chunk) = chunks.last_mut() {
            chunk.text.push_str(line);
            chunk.text.push('\n');
        }
    }
    chunks
}

/// The statements of a text. Here they begin and end at lines, and comments have lines of their own.
pub(crate) fn statements(text: &str) -> Vec<Statement> {
    let mut statements = Vec::new();
    let mut begun: Option<Statement> = None;
    for (n, line) in text.lines().enumerate() {
        if line.starts_with("--") || (line.is_empty() && begun.is_none()) {
            continue;
        }
        let statement = match begun.take() {
            Some(before) => Statement { text: format!("{}\n{line}", before.text), ..before },
            None => Statement { line: n + 1, text: line.to_owned() },
        };
        match statement.text.strip_suffix(';') {
            Some(whole) => statements.push(Statement { text: whole.to_owned(), ..statement }),
            None => begun = Some(statement),
        }
    }
    assert!(begun.is_none(), "a statement without an end: {begun:?}");
    statements
}

/// Puts in what stands between `@` outside of comments: `known` says what `dir`, `broker` and `timestamp:LABEL` are.
pub(crate) fn fill(text: &str, mut known: impl FnMut(&str) -> Option<String>) -> String {
    let mut line = |line: &str| {
        let mut parts = line.split('@');
        let mut filled = parts.next().unwrap_or_default().to_owned();
        while let Some(name) = parts.next() {
            let value = known(name).unwrap_or_else(|| panic!("what is @{name}@ in {line}?"));
            filled = filled + &value + parts.next().unwrap_or_default();
        }
        filled + "\n"
    };
    text.lines().map(|text| if text.starts_with("--") { format!("{text}\n") } else { line(text) }).collect()
}
