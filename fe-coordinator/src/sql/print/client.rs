//! SET and SELECT.

use super::Printer;
use crate::sql::statement::{Isolation, Literal, Scope, Select, SelectItem, SelectValue, SetItem, SetValue, Variable};

impl Printer {
    pub(super) fn select(&mut self, select: &Select) {
        self.put("SELECT ");
        self.commas(&select.items, Self::item);
        if let Some(limit) = select.limit {
            self.put(&format!(" LIMIT {limit}"));
        }
    }

    fn item(&mut self, item: &SelectItem) {
        let start = self.out.len();
        match &item.value {
            SelectValue::Literal(literal) => self.literal(literal),
            SelectValue::Variable(variable) => self.variable(variable),
            SelectValue::UserVariable(name) => self.user_variable(name),
            SelectValue::Function(function) => {
                self.put(function.names().first().copied().unwrap_or_default());
                self.put("()");
            }
        }
        // Without an alias a string names its column by its contents, anything else by its words.
        let named = match &item.value {
            SelectValue::Literal(Literal::Text(text)) => Some(text.as_str()),
            _ => self.out.get(start..),
        };
        if named != Some(&item.name) {
            self.put(" AS ");
            self.text(&item.name);
        }
    }

    fn literal(&mut self, literal: &Literal) {
        match literal {
            Literal::Null => self.put("NULL"),
            Literal::Number(number) => self.put(number),
            Literal::Text(text) => self.text(text),
        }
    }

    fn variable(&mut self, variable: &Variable) {
        self.put("@@");
        self.put(match variable.scope {
            Some(Scope::Session) => "session.",
            Some(Scope::Global) => "global.",
            None => "",
        });
        self.identifier(&variable.name);
    }

    fn user_variable(&mut self, name: &str) {
        self.put("@");
        self.identifier(name);
    }

    /// A name after `@`: without quotes where it can be, as clients write it and expect the column's name.
    fn identifier(&mut self, name: &str) {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && name.chars().all(plain) {
            self.put(name);
        } else {
            self.name(name);
        }
    }

    pub(super) fn set(&mut self, items: &[SetItem]) {
        self.put("SET ");
        self.commas(items, |printer, item| match item {
            SetItem::Names { charset, collation } => {
                printer.put("NAMES ");
                printer.charset(charset.as_ref());
                if let Some(collation) = collation {
                    printer.put(" COLLATE ");
                    printer.text(collation);
                }
            }
            SetItem::CharacterSet(charset) => {
                printer.put("CHARACTER SET ");
                printer.charset(charset.as_ref());
            }
            // With `@@`, because a scope before a bare name would hold for the names behind it too.
            SetItem::Variable { variable, value } => {
                printer.variable(variable);
                printer.put(" = ");
                printer.set_value(value);
            }
            SetItem::UserVariable { name, value } => {
                printer.user_variable(name);
                printer.put(" = ");
                printer.set_value(value);
            }
            SetItem::Transaction { scope, isolation, read_only } => {
                printer.transaction(*scope, *isolation, *read_only);
            }
        });
    }

    fn charset(&mut self, charset: Option<&String>) {
        match charset {
            Some(charset) => self.text(charset),
            None => self.put("DEFAULT"),
        }
    }

    fn set_value(&mut self, value: &SetValue) {
        match value {
            SetValue::Literal(literal) => self.literal(literal),
            SetValue::Word(word) => self.put(word),
            SetValue::Variable(variable) => self.variable(variable),
            SetValue::UserVariable(name) => self.user_variable(name),
            SetValue::Concat(values) => {
                self.put("CONCAT");
                self.list(values, Self::set_value);
            }
        }
    }

    fn transaction(&mut self, scope: Option<Scope>, isolation: Option<Isolation>, read_only: Option<bool>) {
        self.put(match scope {
            Some(Scope::Session) => "SESSION TRANSACTION ",
            Some(Scope::Global) => "GLOBAL TRANSACTION ",
            None => "TRANSACTION ",
        });
        let isolation = isolation.map(|isolation| match isolation {
            Isolation::ReadUncommitted => "ISOLATION LEVEL READ UNCOMMITTED",
            Isolation::ReadCommitted => "ISOLATION LEVEL READ COMMITTED",
            Isolation::RepeatableRead => "ISOLATION LEVEL REPEATABLE READ",
            Isolation::Serializable => "ISOLATION LEVEL SERIALIZABLE",
        });
        let access = read_only.map(|read_only| if read_only { "READ ONLY" } else { "READ WRITE" });
        self.commas(isolation.into_iter().chain(access), Self::put);
    }
}
