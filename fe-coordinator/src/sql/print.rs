//! From statements back to text.
//!
//! # Overview
//! [`Statement::to_sql`] gives a text that parses to the same statement, secrets included: for nobody but the parser.
//! `Display` gives the same text with `***` for every secret: for logs and people.

use std::fmt;

use tabvault_common::secret::Secret;

use super::statement::{ConfigOf, CreateRepository, ObjectName, Properties, SecretProperties, Statement, StorageKind};
use escape::{name, quoted};

mod client;
pub(super) mod escape;
mod job;
mod show;
mod table;
mod user;

/// What a secret looks like to people.
const MASK: &str = "\"***\"";

impl Statement {
    /// The statement as a text that parses to the same statement. It holds its secrets: see `Display` for one that
    /// may be shown.
    #[must_use]
    pub fn to_sql(&self) -> String {
        let mut printer = Printer { out: String::new(), reveal: true, lines: false };
        printer.statement(self);
        printer.out
    }

    /// As `Display`, with the parts of a long statement on lines of their own: for people who read it.
    #[must_use]
    pub fn to_lines(&self) -> String {
        let mut printer = Printer { out: String::new(), reveal: false, lines: true };
        printer.statement(self);
        printer.out
    }
}

impl fmt::Display for Statement {
    /// The statement with `***` for every secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut printer = Printer { out: String::new(), reveal: false, lines: false };
        printer.statement(self);
        f.write_str(&printer.out)
    }
}

/// The text so far.
struct Printer {
    out: String,
    /// Whether secrets are printed.
    reveal: bool,
    /// Whether parts have lines of their own.
    lines: bool,
}

impl Printer {
    fn put(&mut self, text: &str) {
        self.out.push_str(text);
    }

    fn name(&mut self, text: &str) {
        self.put(&name(text));
    }

    fn text(&mut self, text: &str) {
        self.put(&quoted(text));
    }

    fn secret(&mut self, secret: &Secret) {
        if self.reveal { self.text(secret.expose()) } else { self.put(MASK) }
    }

    fn object(&mut self, object: &ObjectName) {
        if let Some(database) = &object.database {
            self.name(database);
            self.put(".");
        }
        self.name(&object.name);
    }

    /// The items, parted by commas.
    fn commas<T>(&mut self, items: impl IntoIterator<Item = T>, mut print: impl FnMut(&mut Self, T)) {
        for (n, item) in items.into_iter().enumerate() {
            if n > 0 {
                self.put(", ");
            }
            print(self, item);
        }
    }

    /// The items in brackets, parted by commas.
    fn list<T>(&mut self, items: impl IntoIterator<Item = T>, print: impl FnMut(&mut Self, T)) {
        self.put("(");
        self.commas(items, print);
        self.put(")");
    }

    /// As [`Printer::list`], with a line for each item where parts have lines of their own.
    fn rows<T>(&mut self, items: impl IntoIterator<Item = T>, mut print: impl FnMut(&mut Self, T)) {
        if !self.lines {
            return self.list(items, print);
        }
        self.put("(");
        for (n, item) in items.into_iter().enumerate() {
            self.put(if n > 0 { ",\n  " } else { "\n  " });
            print(self, item);
        }
        self.put("\n)");
    }

    /// What parts two clauses.
    fn part(&mut self) {
        self.put(if self.lines { "\n" } else { " " });
    }

    fn names(&mut self, names: &[String]) {
        self.list(names, |printer, name| printer.name(name));
    }

    /// `word name`, if there is a name.
    fn clause(&mut self, word: &str, named: Option<&String>) {
        if let Some(named) = named {
            self.put(word);
            self.name(named);
        }
    }

    fn if_not_exists(&mut self, said: bool) {
        if said {
            self.put("IF NOT EXISTS ");
        }
    }

    fn if_exists(&mut self, said: bool) {
        if said {
            self.put("IF EXISTS ");
        }
    }

    fn pairs(&mut self, properties: &Properties) {
        self.list(properties, Self::pair);
    }

    fn pair(&mut self, (key, value): (&String, &String)) {
        self.text(key);
        self.put(" = ");
        self.text(value);
    }

    fn secret_pairs(&mut self, properties: &SecretProperties) {
        self.list(properties, |printer, (key, value)| {
            printer.text(key);
            printer.put(" = ");
            printer.secret(value);
        });
    }

    fn properties(&mut self, properties: &Properties) {
        if !properties.is_empty() {
            self.part();
            self.put("PROPERTIES ");
            self.rows(properties, Self::pair);
        }
    }

    fn storage(&mut self, storage: &StorageKind) {
        match storage {
            StorageKind::Broker(broker) => {
                self.put("BROKER");
                self.clause(" ", broker.as_ref());
            }
            StorageKind::S3 => self.put("S3"),
            StorageKind::Local => self.put("LOCAL"),
        }
    }

    fn statement(&mut self, statement: &Statement) {
        match statement {
            Statement::CreateRepository(create) => self.create_repository(create),
            Statement::AlterRepository { name, properties } => {
                self.clause("ALTER REPOSITORY ", Some(name));
                self.put(" PROPERTIES ");
                self.secret_pairs(properties);
            }
            Statement::DropRepository { name } => self.clause("DROP REPOSITORY ", Some(name)),
            Statement::AddBroker { name, addresses } => {
                self.clause("ALTER SYSTEM ADD BROKER ", Some(name));
                self.addresses(addresses);
            }
            Statement::DropBroker { name, addresses } => {
                let all = if addresses.is_empty() { "ALL " } else { "" };
                self.clause(&format!("ALTER SYSTEM DROP {all}BROKER "), Some(name));
                self.addresses(addresses);
            }
            Statement::DecommissionBackends(backends) => {
                self.put("ALTER SYSTEM DECOMMISSION BACKEND");
                self.addresses(backends);
            }
            Statement::SetConfig { of, config } => self.set_config(of, config),
            Statement::ShowConfig { like } => {
                self.put("ADMIN SHOW CONFIG");
                self.like(like.as_ref());
            }
            Statement::Backup(backup) => self.backup(backup),
            Statement::Restore(restore) => self.restore(restore),
            Statement::ExplainBackup(backup) => {
                self.put("EXPLAIN ");
                self.backup(backup);
            }
            Statement::ExplainRestore(restore) => {
                self.put("EXPLAIN ");
                self.restore(restore);
            }
            Statement::Cancel { kind, database, label } => self.cancel(*kind, database.as_ref(), label.as_ref()),
            Statement::Load(load) => self.load(load),
            Statement::Export(export) => self.export(export),
            Statement::CreateDatabase { name, if_not_exists } => {
                self.put("CREATE DATABASE ");
                self.if_not_exists(*if_not_exists);
                self.name(name);
            }
            Statement::DropDatabase { name, if_exists } => {
                self.put("DROP DATABASE ");
                self.if_exists(*if_exists);
                self.name(name);
            }
            Statement::CreateTable(create) => self.create_table(create),
            Statement::DropTable { table, if_exists } => {
                self.put("DROP TABLE ");
                self.if_exists(*if_exists);
                self.object(table);
            }
            Statement::AlterTable(alter) => self.alter_table(alter),
            Statement::CreateView(create) => self.create_view(create),
            Statement::DropView { view, if_exists } => {
                self.put("DROP VIEW ");
                self.if_exists(*if_exists);
                self.object(view);
            }
            Statement::User(statement) => self.user_statement(statement),
            Statement::Show(show) => self.show(show),
            Statement::Help(topic) => {
                self.put("HELP ");
                self.text(topic);
            }
            Statement::Use(database) => self.clause("USE ", Some(database)),
            Statement::Set(items) => self.set(items),
            Statement::Select(select) => self.select(select),
            Statement::Begin => self.put("START TRANSACTION"),
            Statement::Commit => self.put("COMMIT"),
            Statement::Rollback => self.put("ROLLBACK"),
            Statement::Kill { connection, query } => {
                let what = if *query { "QUERY" } else { "CONNECTION" };
                self.put(&format!("KILL {what} {connection}"));
            }
        }
    }

    fn create_repository(&mut self, create: &CreateRepository) {
        self.put(if create.read_only { "CREATE READ ONLY REPOSITORY " } else { "CREATE REPOSITORY " });
        self.name(&create.name);
        self.put(" WITH ");
        self.storage(&create.storage);
        self.put(" ON LOCATION ");
        self.text(&create.location);
        if !create.properties.is_empty() {
            self.put(" PROPERTIES ");
            self.secret_pairs(&create.properties);
        }
    }

    fn set_config(&mut self, of: &ConfigOf, config: &Properties) {
        self.put("ADMIN SET ");
        match of {
            ConfigOf::Agents => {}
            ConfigOf::Agent(agent) => {
                self.put("AGENT ");
                self.text(agent);
                self.put(" ");
            }
            ConfigOf::Repository(repository) => {
                self.clause("REPOSITORY ", Some(repository));
                self.put(" ");
            }
        }
        self.put("CONFIG ");
        self.pairs(config);
    }

    fn addresses(&mut self, addresses: &[String]) {
        if !addresses.is_empty() {
            self.put(" ");
        }
        self.commas(addresses, |printer, address| printer.text(address));
    }
}
