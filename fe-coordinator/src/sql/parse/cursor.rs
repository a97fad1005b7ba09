//! Where the parser stands: asks for what may come next, and remembers what it asked for, so that an error can say it.

use crate::sql::error::{Place, SqlError};
use crate::sql::token::{Kind, Token};

/// The longest word that an error repeats, in characters.
const SHOWN: usize = 60;

/// Words that are names only in backquotes: those of MySQL and Doris without which the grammar could be read in two
/// ways. All other keywords may be names: a table may be called `backup` or `label`.
const RESERVED: [&str; 60] = [
    "ADD",
    "ALL",
    "ALTER",
    "AND",
    "AS",
    "BETWEEN",
    "BY",
    "CASE",
    "COLUMN",
    "CREATE",
    "CROSS",
    "DATABASE",
    "DATABASES",
    "DEFAULT",
    "DELETE",
    "DESC",
    "DESCRIBE",
    "DISTINCT",
    "DROP",
    "ELSE",
    "EXISTS",
    "EXPLAIN",
    "FALSE",
    "FOR",
    "FROM",
    "GRANT",
    "GROUP",
    "HAVING",
    "IF",
    "IN",
    "INDEX",
    "INSERT",
    "INTO",
    "IS",
    "JOIN",
    "KEY",
    "LIKE",
    "LIMIT",
    "LOAD",
    "NOT",
    "NULL",
    "ON",
    "OR",
    "ORDER",
    "PARTITION",
    "PRIMARY",
    "REVOKE",
    "SELECT",
    "SET",
    "SHOW",
    "TABLE",
    "TO",
    "TRUE",
    "UNION",
    "UNIQUE",
    "UPDATE",
    "USE",
    "VALUES",
    "WHERE",
    "WITH",
];

/// A result of parsing.
pub(super) type Parsed<T> = Result<T, SqlError>;

/// The parser's place in the tokens.
#[derive(Debug)]
pub(super) struct Cursor<'a> {
    text: &'a str,
    tokens: &'a [Token],
    at: usize,
    /// What was asked for at this token, in order.
    asked: Vec<String>,
    /// Whether what stands here may be a secret, so that errors must not repeat it.
    veiled: bool,
}

impl<'a> Cursor<'a> {
    /// At the first of `tokens` of `text`; the last one is [`Kind::End`].
    pub(super) fn new(text: &'a str, tokens: &'a [Token]) -> Self {
        Self { text, tokens, at: 0, asked: Vec::new(), veiled: false }
    }

    /// The token that comes next.
    pub(super) fn peek(&self) -> &'a Kind {
        self.tokens.get(self.at).map_or(&Kind::End, |token| &token.kind)
    }

    /// The token after the next.
    pub(super) fn second(&self) -> &'a Kind {
        self.tokens.get(self.at + 1).map_or(&Kind::End, |token| &token.kind)
    }

    /// Takes the next token, whatever it is.
    pub(super) fn advance(&mut self) {
        self.at += 1;
        self.asked.clear();
    }

    /// Remembers what could stand here.
    pub(super) fn ask(&mut self, what: &str) {
        if !self.asked.iter().any(|asked| asked == what) {
            self.asked.push(what.to_owned());
        }
    }

    /// That none of what was asked for stands here.
    pub(super) fn unexpected<T>(&self) -> Parsed<T> {
        let Some(token) = self.tokens.get(self.at).or(self.tokens.last()) else {
            return Err(SqlError::syntax("there is no statement".to_owned(), None));
        };
        let found = self.found(&token.kind);
        let (line, column) = (token.line, token.column);
        Err(SqlError::unexpected(Place { line, column, found, expected: self.asked.clone() }))
    }

    /// That what was just taken cannot be, for a reason of its own.
    pub(super) fn refuse<T>(&self, why: &str) -> Parsed<T> {
        let before = self.at.saturating_sub(1);
        let Some(token) = self.tokens.get(before) else { return self.unexpected() };
        let (line, column, found) = (token.line, token.column, self.found(&token.kind));
        let message = format!("syntax error at line {line}, column {column}: {why}");
        Err(SqlError::syntax(message, Some(Place { line, column, found, expected: Vec::new() })))
    }

    fn found(&self, kind: &Kind) -> String {
        let shown = |text: &str| {
            let mut shown: String = text.chars().take(SHOWN).collect();
            if shown.len() < text.len() {
                shown.push('…');
            }
            format!("`{shown}`")
        };
        match kind {
            Kind::End => "the end of the text".to_owned(),
            Kind::Text(_) => "a string".to_owned(),
            Kind::Symbol(symbol) => format!("`{symbol}`"),
            Kind::Parameter => "`?`".to_owned(),
            Kind::Null => "NULL".to_owned(),
            Kind::Word(_) if self.veiled => "a word".to_owned(),
            Kind::Name(_) if self.veiled => "a name".to_owned(),
            Kind::Number(_) if self.veiled => "a number".to_owned(),
            Kind::Other(_) if self.veiled => "a sign".to_owned(),
            Kind::Word(text) | Kind::Name(text) | Kind::Number(text) => shown(text),
            Kind::Other(sign) => sign.chars().take(SHOWN).collect(),
        }
    }

    /// From here to the end of the statement, errors do not repeat what they found.
    pub(super) fn veil(&mut self) {
        self.veiled = true;
    }

    /// A statement begins.
    pub(super) fn unveil(&mut self) {
        self.veiled = false;
    }

    /// Whether the next token is this keyword.
    pub(super) fn is_word(&self, word: &str) -> bool {
        matches!(self.peek(), Kind::Word(found) if found.eq_ignore_ascii_case(word))
    }

    /// Takes the keyword if it is next.
    pub(super) fn word(&mut self, word: &str) -> bool {
        let found = self.is_word(word);
        if found {
            self.advance();
        } else {
            self.ask(word);
        }
        found
    }

    /// Takes one of the keywords if it is next.
    pub(super) fn one_of(&mut self, words: &[&'static str]) -> Option<&'static str> {
        words.iter().find(|word| self.word(word)).copied()
    }

    /// Takes the keyword.
    pub(super) fn need(&mut self, word: &str) -> Parsed<()> {
        if self.word(word) { Ok(()) } else { self.unexpected() }
    }

    /// Takes the keywords.
    pub(super) fn need_all(&mut self, words: &[&str]) -> Parsed<()> {
        words.iter().try_for_each(|word| self.need(word))
    }

    /// Takes `first` and what must follow it, if `first` is next.
    pub(super) fn phrase(&mut self, first: &str, rest: &[&str]) -> Parsed<bool> {
        let found = self.word(first);
        if found {
            self.need_all(rest)?;
        }
        Ok(found)
    }

    /// Takes the sign if it is next.
    pub(super) fn sign(&mut self, sign: &'static str) -> bool {
        let found = matches!(self.peek(), Kind::Symbol(found) if *found == sign);
        if found {
            self.advance();
        } else {
            self.ask(&format!("`{sign}`"));
        }
        found
    }

    /// Takes the sign.
    pub(super) fn need_sign(&mut self, sign: &'static str) -> Parsed<()> {
        if self.sign(sign) { Ok(()) } else { self.unexpected() }
    }

    /// Takes a name if one is next: in backquotes, or a word that is not reserved.
    pub(super) fn name_if(&mut self, what: &str) -> Option<String> {
        let name = match self.peek() {
            Kind::Name(name) if !name.is_empty() => name,
            Kind::Word(word) if !is_reserved(word) => word,
            Kind::Word(_) => {
                self.ask(&format!("{what} (a reserved word only in backquotes)"));
                return None;
            }
            _ => {
                self.ask(what);
                return None;
            }
        };
        self.advance();
        Some(name.clone())
    }

    /// Takes a name: in backquotes, or a word that is not reserved.
    pub(super) fn name(&mut self, what: &str) -> Parsed<String> {
        match self.name_if(what) {
            Some(name) => Ok(name),
            None => self.unexpected(),
        }
    }

    /// Takes a string if one is next. While a statement is prepared, `?` is an empty one.
    pub(super) fn text_if(&mut self, what: &str) -> Option<String> {
        let text = match self.peek() {
            Kind::Text(text) => text.clone(),
            Kind::Parameter => String::new(),
            _ => {
                self.ask(what);
                return None;
            }
        };
        self.advance();
        Some(text)
    }

    /// Takes a string.
    pub(super) fn text(&mut self, what: &str) -> Parsed<String> {
        match self.text_if(what) {
            Some(text) => Ok(text),
            None => self.unexpected(),
        }
    }

    /// Takes a number without sign or fraction if one is next. While a statement is prepared, `?` is zero.
    pub(super) fn integer<T: std::str::FromStr + Default>(&mut self, what: &str) -> Parsed<T> {
        let number = match self.peek() {
            Kind::Number(number) => number.parse().ok(),
            Kind::Parameter => Some(T::default()),
            _ => None,
        };
        self.ask(what);
        let Some(number) = number else { return self.unexpected() };
        self.advance();
        Ok(number)
    }

    /// Takes what `item` takes, once or more, between brackets and parted by commas.
    pub(super) fn list<T>(&mut self, item: impl FnMut(&mut Self) -> Parsed<T>) -> Parsed<Vec<T>> {
        self.need_sign("(")?;
        let items = self.commas(item)?;
        self.need_sign(")")?;
        Ok(items)
    }

    /// Takes what `item` takes, once or more, parted by commas.
    pub(super) fn commas<T>(&mut self, mut item: impl FnMut(&mut Self) -> Parsed<T>) -> Parsed<Vec<T>> {
        let mut items = vec![item(self)?];
        while self.sign(",") {
            items.push(item(self)?);
        }
        Ok(items)
    }

    /// The first byte of the next token.
    pub(super) fn start(&self) -> usize {
        self.tokens.get(self.at).map_or(self.text.len(), |token| token.start)
    }

    /// The text from byte `start` to the end of the token that was last taken.
    pub(super) fn since(&self, start: usize) -> &'a str {
        let end = self.at.checked_sub(1).and_then(|last| self.tokens.get(last)).map_or(0, |token| token.end);
        self.text.get(start..end).unwrap_or_default()
    }

    /// The executed comment that the next token stands in; 0 for none.
    pub(super) fn comment(&self) -> u32 {
        self.tokens.get(self.at).map_or(0, |token| token.comment)
    }
}

/// Whether the word is a name only in backquotes.
pub(super) fn is_reserved(word: &str) -> bool {
    RESERVED.iter().any(|reserved| reserved.eq_ignore_ascii_case(word))
}
