//! The two clients: each runs the same text, and what it prints is read back.

use std::fmt;
use std::io::Write;
use std::process::{Command, Stdio};

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use tabvault_integration_tests::binary::{PASSWORD, program};
use tabvault_integration_tests::processes::Server;

use super::outcome::Outcome;
use super::script::{Statement, statements};

/// Which client.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Client {
    /// `mariadb`, over MySQL's protocol.
    Mariadb,
    /// `tabvault sql`, over gRPC.
    Tabvault,
}

impl Client {
    /// Runs `text` as a script, through all that is refused in it, and answers with each statement and what came of it.
    ///
    /// # Panics
    /// If what the client prints is not as expected.
    pub(crate) fn run(self, server: &Server, text: &str) -> Vec<(Statement, Outcome)> {
        let statements = statements(text);
        let (said, complained) = feed(self.command(server), text);
        let mut refused = refusals(&complained);
        let mut taken = |statement: &Statement| {
            let at = refused.iter().position(|refusal| refusal.line == statement.line)?;
            Some(refused.remove(at))
        };
        let outcomes: Vec<_> = match self {
            Self::Mariadb => {
                let bodies = bodies(&said, &statements);
                let outcome = |(statement, body): (&Statement, &str)| match taken(statement) {
                    Some(refusal) => Outcome::Refused(refusal.told),
                    None => of_mariadb(body),
                };
                statements.iter().zip(bodies).map(outcome).collect()
            }
            Self::Tabvault => {
                let mut answers = serde_json::Deserializer::from_str(&said).into_iter::<Answer>();
                let mut outcome = |statement: &Statement| match taken(statement) {
                    Some(refusal) => Outcome::Refused(refusal.within_statement()),
                    None => match answers.next() {
                        Some(Ok(answer)) => answer.into(),
                        other => panic!(
                            "{}: no answer but {:?}:\n{said}\n{complained}",
                            statement.text,
                            other.map(|o| o.err())
                        ),
                    },
                };
                let outcomes = statements.iter().map(&mut outcome).collect();
                assert!(answers.next().is_none(), "an answer more than statements:\n{said}");
                outcomes
            }
        };
        assert!(refused.is_empty(), "refused is what no statement asked: {complained}");
        statements.into_iter().zip(outcomes).collect()
    }

    fn command(self, server: &Server) -> Command {
        match self {
            Self::Mariadb => {
                let (host, port) = server.listens("MySQL").split_once(':').expect("host and port");
                let mut command = Command::new("mariadb");
                command.args(["--no-defaults", "--batch", "--force", "-vv", "--show-warnings", "-u", "root"]);
                command.args(["-h", host, "-P", port]).env("MYSQL_PWD", PASSWORD);
                command
            }
            Self::Tabvault => {
                let mut command = Command::new(program());
                command.args(["sql", "--force", "--output", "json"]);
                command.env("TABVAULT_FE", format!("http://{}", server.address)).env("TABVAULT_PASSWORD", PASSWORD);
                command
            }
        }
    }
}

/// Runs a client with a script on stdin; answers with what it said and what it complained of.
fn feed(mut command: Command, text: &str) -> (String, String) {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut client = command.spawn().unwrap_or_else(|error| {
        panic!("{} does not start ({error}): apt-get install mariadb-client", command.get_program().display())
    });
    let mut stdin = client.stdin.take().expect("its stdin is ours");
    let written = std::thread::scope(|scope| {
        let written = scope.spawn(move || stdin.write_all(text.as_bytes()));
        let output = client.wait_with_output().expect("wait for a client");
        written.join().expect("write to a client").expect("write to a client");
        output
    });
    let text = |bytes| String::from_utf8(bytes).expect("a client prints UTF-8");
    (text(written.stdout), text(written.stderr))
}

/// A statement that was refused.
struct Refusal {
    line: usize,
    told: String,
}

impl Refusal {
    /// `tabvault sql` tells where in the script a text cannot be read, MySQL's clients where in the statement.
    fn within_statement(self) -> String {
        let Some((before, after)) = self.told.split_once("syntax error at line ") else { return self.told };
        let (line, behind) = after.split_once(',').expect("a line and a column");
        let line: usize = line.parse().expect("a line");
        format!("{before}syntax error at line {},{behind}", line + 1 - self.line)
    }
}

/// `ERROR 1049 (42000) at line 4: Unknown database 'd'`, each on a line; what stands below shows the place only.
fn refusals(complained: &str) -> Vec<Refusal> {
    let refusal = |line: &str| {
        let (error, after) = line.strip_prefix("ERROR ")?.split_once(" at line ")?;
        let (line, why) = after.split_once(": ")?;
        Some(Refusal { line: line.parse().ok()?, told: format!("ERROR {error}: {why}") })
    };
    complained.lines().filter_map(refusal).collect()
}

/// What `mariadb` printed below each statement. It shows a statement before it runs it, but neither USE nor HELP.
fn bodies<'a>(said: &'a str, statements: &[Statement]) -> Vec<&'a str> {
    let head = |statement: &Statement| match statement.text.split(' ').next() {
        Some("USE" | "HELP") => String::new(),
        _ => format!("--------------\n{}\n--------------\n\n", statement.text),
    };
    let heads: Vec<_> = statements.iter().map(head).collect();
    let mut rest = said.strip_suffix("Bye\n").unwrap_or(said);
    let mut bodies = Vec::new();
    for (n, head) in heads.iter().enumerate() {
        rest = rest.strip_prefix(head.as_str()).unwrap_or_else(|| panic!("not {head}: {rest}"));
        let next = heads[n + 1..].iter().find(|head| !head.is_empty());
        let end = next.map_or(Some(rest.len()), |next| rest.find(next));
        let (body, after) = rest.split_at(end.unwrap_or_else(|| panic!("no {next:?} in {rest}")));
        bodies.push(body);
        rest = after;
    }
    bodies
}

fn of_mariadb(body: &str) -> Outcome {
    let lines: Vec<_> = body.lines().filter(|line| !line.is_empty()).collect();
    let warnings = || lines.iter().filter_map(|line| line.strip_prefix("Warning (Code 1105): "));
    match lines.as_slice() {
        [] => Outcome::Done { affected: 0, notices: Vec::new() },
        ["Empty set", ..] => Outcome::Rows { columns: Vec::new(), rows: Vec::new() },
        [first, ..] if first.starts_with("Name: ") => Outcome::Page(body.to_owned()),
        [first, ..] if first.starts_with("Query OK, ") => {
            let affected = first.split(' ').nth(2).and_then(|number| number.parse().ok());
            let affected = affected.unwrap_or_else(|| panic!("no number of rows: {first}"));
            Outcome::Done { affected, notices: warnings().map(str::to_owned).collect() }
        }
        [columns, rows @ ..] => {
            let (count, rows) = rows.split_last().unwrap_or_else(|| panic!("no rows: {body}"));
            assert!(count.ends_with(" in set"), "not a number of rows: {count}");
            let cells = |row: &&str| row.split('\t').map(unescape).collect();
            Outcome::Rows { columns: cells(columns), rows: rows.iter().map(cells).collect() }
        }
    }
}

/// A cell as `mariadb --batch` writes it.
fn unescape(cell: &str) -> String {
    let mut text = String::new();
    let mut chars = cell.chars();
    while let Some(c) = chars.next() {
        text.push(match (c, c == '\\') {
            (_, true) => match chars.next() {
                Some('n') => '\n',
                Some('t') => '\t',
                Some('0') => '\0',
                Some(c) => c,
                None => panic!("a cell ends within an escape: {cell}"),
            },
            (c, false) => c,
        });
    }
    text
}

/// What `tabvault sql --output json` prints for a statement.
#[derive(Deserialize)]
#[serde(untagged)]
enum Answer {
    Rows(Vec<Row>),
    Done { affected: u64, notices: Vec<String> },
}

/// A row with its columns in their order.
struct Row(Vec<(String, Option<String>)>);

impl<'de> Deserialize<'de> for Row {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Row;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a row")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Row, A::Error> {
                let mut cells = Vec::new();
                while let Some(cell) = map.next_entry()? {
                    cells.push(cell);
                }
                Ok(Row(cells))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

impl From<Answer> for Outcome {
    fn from(answer: Answer) -> Self {
        let rows = match answer {
            Answer::Done { affected, notices } => return Self::Done { affected, notices },
            Answer::Rows(rows) => rows,
        };
        let columns: Vec<_> =
            rows.first().into_iter().flat_map(|row| row.0.iter().map(|(name, _)| name.clone())).collect();
        let cell = |(_, cell): (String, Option<String>)| cell.unwrap_or_else(|| "NULL".to_owned());
        let rows: Vec<Vec<_>> = rows.into_iter().map(|row| row.0.into_iter().map(cell).collect()).collect();
        match rows.as_slice() {
            // As `mariadb` shows it.
            [page] if columns == ["name", "description", "example"] => {
                let [name, description, example] = page.as_slice() else { panic!("a page has three cells") };
                Self::Page(format!("Name: '{name}'\nDescription:\n{description}Examples:\n{example}\n"))
            }
            _ => Self::Rows { columns, rows },
        }
    }
}
