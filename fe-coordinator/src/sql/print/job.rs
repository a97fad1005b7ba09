//! BACKUP, RESTORE, CANCEL, LOAD and EXPORT.

use tabvault_common::request::{ObjectSelection, Selection};
use tabvault_common::view::JobKind;

use super::Printer;
use crate::sql::statement::{Backup, Export, Load, Match, Properties, Restore, SecretProperties, StorageKind};

impl Printer {
    fn label(&mut self, database: Option<&String>, label: &str) {
        if let Some(database) = database {
            self.name(database);
            self.put(".");
        }
        self.name(label);
    }

    pub(super) fn backup(&mut self, backup: &Backup) {
        self.put("BACKUP SNAPSHOT ");
        self.label(backup.database.as_ref(), &backup.label);
        self.clause(" TO ", Some(&backup.repository));
        self.selection(&backup.selection);
        self.properties(&backup.properties);
    }

    pub(super) fn restore(&mut self, restore: &Restore) {
        self.put("RESTORE SNAPSHOT ");
        self.label(restore.database.as_ref(), &restore.label);
        self.clause(" FROM ", Some(&restore.repository));
        self.clause(" DATABASE ", restore.source.as_ref());
        self.clause(" AS ", restore.into.as_ref());
        self.selection(&restore.selection);
        self.properties(&restore.properties);
    }

    fn selection(&mut self, selection: &Selection) {
        let (word, objects) = match selection {
            Selection::All => return,
            Selection::Only(objects) => (" ON ", objects),
            Selection::Except(objects) => (" EXCLUDE ", objects),
        };
        self.put(word);
        self.list(objects, Self::selected);
    }

    fn selected(&mut self, object: &ObjectSelection) {
        self.name(&object.table);
        if !object.partitions.is_empty() {
            self.put(" PARTITION ");
            self.names(&object.partitions);
        }
        self.clause(" AS ", object.alias.as_ref());
    }

    pub(super) fn cancel(&mut self, kind: JobKind, database: Option<&String>, label: Option<&Match>) {
        self.put(match kind {
            JobKind::Backup => "CANCEL BACKUP",
            JobKind::Restore => "CANCEL RESTORE",
        });
        self.clause(" FROM ", database);
        self.filter("LABEL", label);
    }

    /// `WHERE column …`, if there is something to match.
    pub(super) fn filter(&mut self, column: &str, matching: Option<&Match>) {
        if let Some(matching) = matching {
            self.put(&format!(" WHERE {column}"));
            self.matching(matching);
        }
    }

    pub(super) fn matching(&mut self, matching: &Match) {
        match matching {
            Match::Equals(text) => {
                self.put(" = ");
                self.text(text);
            }
            Match::Like(pattern) => {
                self.put(" LIKE ");
                self.text(pattern);
            }
        }
    }

    pub(super) fn load(&mut self, load: &Load) {
        self.put("LOAD LABEL ");
        self.label(load.database.as_ref(), &load.label);
        self.put(" (DATA INFILE (");
        self.text(&load.source);
        self.clause(") INTO TABLE ", Some(&load.table));
        self.clause(" PARTITION ", load.partition.as_ref());
        self.put(")");
        self.reached(load.storage.as_ref(), &load.access, &load.properties);
    }

    pub(super) fn export(&mut self, export: &Export) {
        self.put("EXPORT TABLE ");
        self.object(&export.table);
        self.clause(" PARTITION ", export.partition.as_ref());
        self.put(" TO ");
        self.text(&export.target);
        self.reached(export.storage.as_ref(), &export.access, &export.properties);
    }

    fn reached(&mut self, storage: Option<&StorageKind>, access: &SecretProperties, properties: &Properties) {
        if let Some(storage) = storage {
            self.put(" WITH ");
            self.storage(storage);
            if !access.is_empty() {
                self.put(" ");
                self.secret_pairs(access);
            }
        }
        self.properties(properties);
    }
}
