//! From characters to tokens, each with its place.
//!
//! # Overview
//! The library `sqlparser` tokenizes; this file narrows its tokens to the few that the grammar knows, reads the escapes
//! of strings as MySQL does, drops comments, and opens the `/*! … */` comments that MySQL executes.

use std::any::TypeId;
use std::iter::Peekable;
use std::str::CharIndices;

use sqlparser::dialect::{Dialect, MySqlDialect};
use sqlparser::tokenizer::{Location, Token as LibraryToken, TokenWithSpan, Tokenizer, TokenizerError, Whitespace};

use super::error::{Place, SqlError};
use super::print::escape::unescape;

/// The longest text that is read, in bytes. Its tokens take about a hundred times as much memory while it is read.
pub(super) const MAX_TEXT: usize = 1 << 20;

/// The version of MySQL whose comments `/*!50799 … */` are executed; those of later ones are comments.
const MYSQL_VERSION: u32 = 50_799;

/// What a token is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// A word without quotes: a keyword or a name.
    Word(String),
    /// A name in backquotes.
    Name(String),
    /// A string in either quotes, without them and its escapes.
    Text(String),
    /// A number without sign.
    Number(String),
    /// NULL, from a bound value.
    Null,
    /// A sign of the grammar.
    Symbol(&'static str),
    /// `?`.
    Parameter,
    /// What the grammar has no use for, as it may be shown.
    Other(String),
    /// After the last token.
    End,
}

/// A token and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token {
    /// What it is.
    pub kind: Kind,
    /// Its first byte in the text.
    pub start: usize,
    /// The first byte behind it.
    pub end: usize,
    /// Its line, from 1.
    pub line: u32,
    /// Its first character in its line, from 1.
    pub column: u32,
    /// Which executed comment it stands in, from 1; 0 for none.
    pub comment: u32,
}

/// The tokens of `text`, the last one [`Kind::End`].
///
/// # Errors
/// 1064: the text is too long, or a string, a name in backquotes or a comment does not end.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, SqlError> {
    if text.len() > MAX_TEXT {
        let message = format!("the text has {} bytes, more than {MAX_TEXT}: send fewer statements at once", text.len());
        return Err(SqlError::syntax(message, None));
    }
    let mut reader = Reader { text, chars: text.char_indices().peekable(), line: 1, column: 1, out: Vec::new() };
    let mut comments = 0;
    for token in tokenize(text).map_err(|error| unfinished(text, error.location))? {
        match &token.token {
            LibraryToken::Whitespace(Whitespace::MultiLineComment(comment)) if comment.starts_with('!') => {
                comments += 1;
                reader.executed(comment, token.span.start, comments)?;
            }
            LibraryToken::Whitespace(_) => {}
            _ => reader.push(token, 0),
        }
    }
    let mut out = reader.out;
    // The end stands behind the last token rather than behind blank lines.
    let (line, column) = out.last().map_or((1, 1), |last| end_of(text, last));
    out.push(Token { kind: Kind::End, start: text.len(), end: text.len(), line, column, comment: 0 });
    Ok(out)
}

fn end_of(text: &str, last: &Token) -> (u32, u32) {
    let mut place = (last.line, last.column);
    for c in text.get(last.start..last.end).unwrap_or_default().chars() {
        place = if c == '\n' { (place.0 + 1, 1) } else { (place.0, place.1 + 1) };
    }
    place
}

fn tokenize(text: &str) -> Result<Vec<TokenWithSpan>, TokenizerError> {
    // Escapes are kept: the library reads some that MySQL does not know.
    Tokenizer::new(&Mysql, text).with_unescape(false).tokenize_with_location()
}

/// What stands at the place where the library gave up.
fn unfinished(text: &str, at: Location) -> SqlError {
    let line = text.split('\n').nth(usize::try_from(at.line).unwrap_or(usize::MAX).saturating_sub(1));
    let column = usize::try_from(at.column).unwrap_or(usize::MAX).saturating_sub(1);
    let (found, expected) = match line.and_then(|line| line.chars().nth(column)) {
        Some(quote @ ('\'' | '"' | '`')) => ("the end of the text inside quotes", quote.to_string()),
        Some('.') => ("`.`", "a name".to_owned()),
        _ => ("the end of the text inside a comment", "*/".to_owned()),
    };
    SqlError::unexpected(Place {
        line: narrow(at.line),
        column: narrow(at.column),
        found: found.to_owned(),
        expected: vec![expected],
    })
}

fn narrow(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// Walks along the text beside the library's tokens, to learn their bytes.
struct Reader<'a> {
    text: &'a str,
    chars: Peekable<CharIndices<'a>>,
    line: u64,
    column: u64,
    out: Vec<Token>,
}

impl Reader<'_> {
    /// The byte at `place`, which is never before the last one asked for.
    fn byte(&mut self, place: Location) -> usize {
        while (self.line, self.column) < (place.line, place.column) {
            match self.chars.next() {
                Some((_, '\n')) => (self.line, self.column) = (self.line + 1, 1),
                Some(_) => self.column += 1,
                None => break,
            }
        }
        self.chars.peek().map_or(self.text.len(), |(at, _)| *at)
    }

    fn push(&mut self, token: TokenWithSpan, comment: u32) {
        let (line, column) = (narrow(token.span.start.line), narrow(token.span.start.column));
        let start = self.byte(token.span.start);
        let end = self.byte(token.span.end);
        if token.token == LibraryToken::ShiftRight {
            // ARRAY<ARRAY<INT>> closes two types.
            let kind = Kind::Symbol(">");
            self.out.push(Token { kind: kind.clone(), start, end: start + 1, line, column, comment });
            self.out.push(Token { kind, start: start + 1, end, line, column: column + 1, comment });
            return;
        }
        self.out.push(Token { kind: kind(token.token), start, end, line, column, comment });
    }

    /// The tokens inside `/*!version … */`, if we are that version.
    fn executed(&mut self, comment: &str, start: Location, number: u32) -> Result<(), SqlError> {
        let content = comment.strip_prefix('!').unwrap_or(comment);
        let digits = content.bytes().take(6).take_while(u8::is_ascii_digit).count();
        // Fewer than five are part of the statement.
        let version = if digits >= 5 { &content[..digits] } else { "" };
        if version.parse().is_ok_and(|version: u32| version > MYSQL_VERSION) {
            return Ok(());
        }
        let content = &content[version.len()..];
        let before = "/*".len() + comment.len() - content.len();
        let shift = |at: Location| {
            let column = if at.line == 1 { at.column + start.column + before as u64 - 1 } else { at.column };
            Location::new(at.line + start.line - 1, column)
        };
        let tokens = tokenize(content).map_err(|error| unfinished(self.text, shift(error.location)))?;
        for mut token in tokens {
            (token.span.start, token.span.end) = (shift(token.span.start), shift(token.span.end));
            if !matches!(token.token, LibraryToken::Whitespace(_)) {
                self.push(token, number);
            }
        }
        Ok(())
    }
}

fn kind(token: LibraryToken) -> Kind {
    use LibraryToken as T;
    let symbol = match token {
        T::Word(word) if word.quote_style.is_none() => return Kind::Word(word.value),
        T::Word(word) => return Kind::Name(word.value.replace("``", "`")),
        T::Number(number, _) => return Kind::Number(number),
        T::SingleQuotedString(text) | T::NationalStringLiteral(text) => return Kind::Text(unescape(&text, '\'')),
        T::DoubleQuotedString(text) => return Kind::Text(unescape(&text, '"')),
        T::Placeholder(mark) if mark == "?" => return Kind::Parameter,
        // They may hold a secret.
        T::HexStringLiteral(_) | T::SingleQuotedByteStringLiteral(_) | T::DoubleQuotedByteStringLiteral(_) => {
            return Kind::Other("a binary literal".to_owned());
        }
        T::Comma => ",",
        T::Eq => "=",
        T::Assignment => ":=",
        T::Lt => "<",
        T::Gt => ">",
        T::Minus => "-",
        T::Mul => "*",
        T::Mod => "%",
        T::LParen => "(",
        T::RParen => ")",
        T::LBracket => "[",
        T::RBracket => "]",
        T::Period => ".",
        T::Colon => ":",
        T::SemiColon => ";",
        T::AtSign => "@",
        T::AtAt => "@@",
        other => return Kind::Other(format!("`{other}`")),
    };
    Kind::Symbol(symbol)
}

/// MySQL's dialect of the library with three differences: `@` is a sign of its own, so that `user@host` are three
/// tokens; blanks outside ASCII are blanks; and comments that are executed stay whole, so that we know the version
/// they ask for and the place of what is in them.
#[derive(Debug)]
struct Mysql;

impl Dialect for Mysql {
    fn dialect(&self) -> TypeId {
        TypeId::of::<MySqlDialect>()
    }

    fn is_identifier_start(&self, c: char) -> bool {
        c.is_alphabetic() || matches!(c, '_' | '$') || !(c.is_ascii() || c.is_whitespace())
    }

    fn is_identifier_part(&self, c: char) -> bool {
        self.is_identifier_start(c) || c.is_ascii_digit()
    }

    fn is_delimited_identifier_start(&self, c: char) -> bool {
        c == '`'
    }

    fn supports_string_literal_backslash_escape(&self) -> bool {
        true
    }

    fn supports_numeric_prefix(&self) -> bool {
        true
    }

    fn requires_single_line_comment_whitespace(&self) -> bool {
        true
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<Kind> {
        let mut kinds: Vec<Kind> = tokens(text).unwrap().into_iter().map(|token| token.kind).collect();
        assert_eq!(kinds.pop(), Some(Kind::End));
        kinds
    }

    fn word(text: &str) -> Kind {
        Kind::Word(text.to_owned())
    }

    #[test]
    fn strings_are_read_as_mysql_reads_them() {
        let read = kinds(r#"'it''s' "a""b" 'a\'b' 'x\n\t\\\0\Z\b\a' 'a\%b\_c' "it's" N'n' ''"#);
        let texts = ["it's", "a\"b", "a'b", "x\n\t\\\0\u{1a}\u{8}a", "a\\%b\\_c", "it's", "n", ""];
        assert_eq!(read, texts.map(|text| Kind::Text(text.to_owned())));
    }

    #[test]
    fn names_in_backquotes_may_hold_anything() {
        assert_eq!(kinds("`a``b` `sel ect`"), ["a`b", "sel ect"].map(|name| Kind::Name(name.to_owned())));
    }

    #[test]
    fn comments_are_blanks_and_two_dashes_need_one() {
        let read = kinds("a -- one\nb # two\nc /* three\n */d --1");
        let (minus, one) = (Kind::Symbol("-"), Kind::Number("1".to_owned()));
        assert_eq!(read, [word("a"), word("b"), word("c"), word("d"), minus.clone(), minus, one]);
    }

    #[test]
    fn a_comment_for_our_version_of_mysql_is_executed_in_its_place() {
        let text = "a /*!40101 b\n  c */ d /*!80000 e */ /*! f */ /*!1 g*/";
        let read = tokens(text).unwrap();
        let shown: Vec<_> =
            read.iter().map(|token| (&text[token.start..token.end], token.line, token.column)).collect();
        let expected = [
            ("a", 1, 1),
            ("b", 1, 12),
            ("c", 2, 3),
            ("d", 2, 8),
            ("f", 2, 28),
            ("1", 2, 36),
            ("g", 2, 38),
            ("", 2, 39),
        ];
        assert_eq!(shown, expected);
    }

    #[test]
    fn places_count_characters_and_bytes_follow_them() {
        let text = "ä\u{a0}`ö` =\r\n 'ü' >> 1abc";
        let read = tokens(text).unwrap();
        let shown: Vec<_> =
            read.iter().map(|token| (&text[token.start..token.end], token.line, token.column)).collect();
        let expected = [
            ("ä", 1, 1),
            ("`ö`", 1, 3),
            ("=", 1, 7),
            ("'ü'", 2, 2),
            (">", 2, 6),
            (">", 2, 7),
            ("1abc", 2, 9),
            ("", 2, 13),
        ];
        assert_eq!(shown, expected);
    }

    #[test]
    fn users_and_variables_fall_into_their_parts() {
        let at = || Kind::Symbol("@");
        assert_eq!(kinds("u@h"), [word("u"), at(), word("h")]);
        assert_eq!(kinds("@@session.x"), [Kind::Symbol("@@"), word("session"), Kind::Symbol("."), word("x")]);
    }

    #[test]
    fn what_does_not_end_is_refused_at_its_beginning() {
        for (text, message) in [
            ("SHOW 'x", "syntax error at line 1, column 6: found the end of the text inside quotes, expected '"),
            ("a\n `b", "syntax error at line 2, column 2: found the end of the text inside quotes, expected `"),
            ("a /* b", "syntax error at line 1, column 7: found the end of the text inside a comment, expected */"),
            (
                "/*!40101 'a */",
                "syntax error at line 1, column 10: found the end of the text inside quotes, expected '",
            ),
        ] {
            assert_eq!(tokens(text).unwrap_err().to_string(), message, "{text}");
        }
    }

    #[test]
    fn a_text_that_is_too_long_is_refused() {
        let refusal = tokens(&" ".repeat(MAX_TEXT + 1)).unwrap_err();
        let expected = "the text has 1048577 bytes, more than 1048576: send fewer statements at once";
        assert_eq!((refusal.to_string().as_str(), refusal.code), (expected, 1064));
    }
}
