//! SHOW.

use super::Printer;
use crate::sql::statement::{Match, ObjectName, Scope, Show};

impl Printer {
    pub(super) fn show(&mut self, show: &Show) {
        self.put("SHOW ");
        match show {
            Show::Repositories => self.put("REPOSITORIES"),
            Show::Brokers => self.put("BROKER"),
            Show::Backends => self.put("BACKENDS"),
            Show::Backup { database, label } => {
                self.put("BACKUP");
                self.clause(" FROM ", database.as_ref());
                self.filter("SnapshotName", label.as_ref());
            }
            Show::Restore { brief, database, label } => {
                self.put(if *brief { "BRIEF RESTORE" } else { "RESTORE" });
                self.clause(" FROM ", database.as_ref());
                self.filter("Label", label.as_ref());
            }
            Show::Snapshots { repository, label, timestamp } => {
                self.clause("SNAPSHOT ON ", Some(repository));
                self.filter("SNAPSHOT", label.as_ref());
                if let Some(timestamp) = timestamp {
                    self.put(if label.is_some() { " AND TIMESTAMP = " } else { " WHERE TIMESTAMP = " });
                    self.text(timestamp);
                }
            }
            Show::Databases { like } => self.listed("DATABASES", None, like.as_ref()),
            Show::Tables { full: true, database, like } => {
                self.listed("FULL TABLES", database.as_ref(), like.as_ref());
            }
            Show::Tables { full: false, database, like } => self.listed("TABLES", database.as_ref(), like.as_ref()),
            Show::TableStatus { database, like } => self.listed("TABLE STATUS", database.as_ref(), like.as_ref()),
            Show::CreateDatabase(database) => self.clause("CREATE DATABASE ", Some(database)),
            Show::CreateTable(table) => self.shown("CREATE TABLE ", table),
            Show::CreateView(view) => self.shown("CREATE VIEW ", view),
            Show::Columns { full, table, like } => {
                self.shown(if *full { "FULL COLUMNS FROM " } else { "COLUMNS FROM " }, table);
                self.like(like.as_ref());
            }
            Show::Indexes(table) => self.shown("INDEX FROM ", table),
            Show::Partitions(table) => self.shown("PARTITIONS FROM ", table),
            Show::Tablets(table) => self.shown("TABLETS FROM ", table),
            Show::Grants(user) => {
                self.put("GRANTS");
                if let Some(user) = user {
                    self.put(" FOR ");
                    self.user(user);
                }
            }
            Show::Variables { scope, any_of } => self.variables(*scope, "VARIABLES", any_of),
            Show::Status { scope, any_of } => self.variables(*scope, "STATUS", any_of),
            Show::Warnings => self.put("WARNINGS"),
            Show::Errors => self.put("ERRORS"),
            Show::ProcessList => self.put("PROCESSLIST"),
            Show::Collations { like } => self.listed("COLLATION", None, like.as_ref()),
            Show::Charsets { like } => self.listed("CHARACTER SET", None, like.as_ref()),
            Show::Engines => self.put("ENGINES"),
            Show::Plugins => self.put("PLUGINS"),
        }
    }

    fn shown(&mut self, what: &str, object: &ObjectName) {
        self.put(what);
        self.object(object);
    }

    fn listed(&mut self, what: &str, database: Option<&String>, like: Option<&String>) {
        self.put(what);
        self.clause(" FROM ", database);
        self.like(like);
    }

    pub(super) fn like(&mut self, like: Option<&String>) {
        if let Some(pattern) = like {
            self.put(" LIKE ");
            self.text(pattern);
        }
    }

    fn variables(&mut self, scope: Option<Scope>, what: &str, any_of: &[Match]) {
        self.put(match scope {
            Some(Scope::Session) => "SESSION ",
            Some(Scope::Global) => "GLOBAL ",
            None => "",
        });
        self.put(what);
        for (n, matching) in any_of.iter().enumerate() {
            self.put(if n == 0 { " WHERE Variable_name" } else { " OR Variable_name" });
            self.matching(matching);
        }
    }
}
