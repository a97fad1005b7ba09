//! What drivers and shells say by themselves: SET and SELECT without tables.

/// A value as a client sends it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Literal {
    /// NULL.
    Null,
    /// A number as text: digits, perhaps a sign, a point, an exponent. TRUE is `1`, FALSE is `0`.
    Number(String),
    /// A string.
    Text(String),
}

impl From<i64> for Literal {
    fn from(number: i64) -> Self {
        Self::Number(number.to_string())
    }
}

impl From<u64> for Literal {
    fn from(number: u64) -> Self {
        Self::Number(number.to_string())
    }
}

impl From<&str> for Literal {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

/// Whose variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// This session's.
    Session,
    /// Everybody's.
    Global,
}

/// A system variable: `@@name`, `@@session.name`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    /// If it is said.
    pub scope: Option<Scope>,
    /// As typed; compared without regard to case.
    pub name: String,
}

/// A function without arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Function {
    /// VERSION().
    Version,
    /// DATABASE(), SCHEMA().
    Database,
    /// USER(), SESSION_USER(), SYSTEM_USER().
    User,
    /// CURRENT_USER(), CURRENT_USER.
    CurrentUser,
    /// CONNECTION_ID().
    ConnectionId,
    /// LAST_INSERT_ID(): always zero here.
    LastInsertId,
    /// NOW(), CURRENT_TIMESTAMP.
    Now,
}

impl Function {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Version,
        Self::Database,
        Self::User,
        Self::CurrentUser,
        Self::ConnectionId,
        Self::LastInsertId,
        Self::Now,
    ];

    /// The name it is printed with, and then the others it has.
    #[must_use]
    pub fn names(self) -> &'static [&'static str] {
        match self {
            Self::Version => &["VERSION"],
            Self::Database => &["DATABASE", "SCHEMA"],
            Self::User => &["USER", "SESSION_USER", "SYSTEM_USER"],
            Self::CurrentUser => &["CURRENT_USER"],
            Self::ConnectionId => &["CONNECTION_ID"],
            Self::LastInsertId => &["LAST_INSERT_ID"],
            Self::Now => &["NOW", "CURRENT_TIMESTAMP"],
        }
    }
}

/// What SELECT can answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SelectValue {
    /// A literal.
    Literal(Literal),
    /// A system variable.
    Variable(Variable),
    /// `@name`.
    UserVariable(String),
    /// A function.
    Function(Function),
}

/// A column of a SELECT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SelectItem {
    /// What is asked for.
    pub value: SelectValue,
    /// The column's name: the alias, else the words as typed, as MySQL names it.
    pub name: String,
}

/// SELECT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Select {
    /// Its columns; at least one.
    pub items: Vec<SelectItem>,
    /// LIMIT: zero rows or the one.
    pub limit: Option<u64>,
}

/// What a variable is set to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SetValue {
    /// A literal.
    Literal(Literal),
    /// A bare word, such as ON, OFF, DEFAULT or utf8mb4, as typed.
    Word(String),
    /// A system variable.
    Variable(Variable),
    /// `@name`.
    UserVariable(String),
    /// CONCAT(…) of the others, as connectors add to `sql_mode`.
    Concat(Vec<SetValue>),
}

/// The levels of isolation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// READ UNCOMMITTED.
    ReadUncommitted,
    /// READ COMMITTED.
    ReadCommitted,
    /// REPEATABLE READ.
    RepeatableRead,
    /// SERIALIZABLE.
    Serializable,
}

/// What SET sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SetItem {
    /// NAMES.
    Names {
        /// The character set; `None` for DEFAULT.
        charset: Option<String>,
        /// COLLATE.
        collation: Option<String>,
    },
    /// CHARACTER SET, CHARSET; `None` for DEFAULT.
    CharacterSet(Option<String>),
    /// A system variable.
    Variable {
        /// Which.
        variable: Variable,
        /// To what.
        value: SetValue,
    },
    /// `@name`.
    UserVariable {
        /// Its name.
        name: String,
        /// To what.
        value: SetValue,
    },
    /// [SESSION | GLOBAL] TRANSACTION ….
    Transaction {
        /// If it is said.
        scope: Option<Scope>,
        /// ISOLATION LEVEL.
        isolation: Option<Isolation>,
        /// READ ONLY or READ WRITE.
        read_only: Option<bool>,
    },
}
