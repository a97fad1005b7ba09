//! Where one statement ends and the next begins: `;`, `\G` or `\g` outside quotes and comments.

/// A statement and where it stands in the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Statement<'a> {
    /// Without what ends it, and without what stands before it.
    pub(super) text: &'a str,
    /// Its first line, from 1.
    pub(super) line: usize,
    /// Its first character in that line, from 1.
    pub(super) column: usize,
    /// Whether `\G` ended it.
    pub(super) vertical: bool,
}

/// Takes a text apart, from its beginning to its end.
#[derive(Debug)]
pub(super) struct Splitter<'a> {
    text: &'a str,
    /// The first byte that is not part of a statement that was given.
    at: usize,
    /// Line and character of the byte `counted`.
    line: usize,
    column: usize,
    counted: usize,
}

/// What was found from `at` on.
enum Found {
    /// A statement from the first byte to before the second, and the first byte after what ends it.
    Whole(usize, usize, usize, bool),
    /// The beginning of a statement.
    Begun(usize),
    /// Nothing but white space and comments.
    Nothing,
}

impl<'a> Splitter<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0, line: 1, column: 1, counted: 0 }
    }

    /// The next statement that is ended.
    pub(super) fn next(&mut self) -> Option<Statement<'a>> {
        let Found::Whole(start, end, after, vertical) = self.find() else { return None };
        self.at = after;
        Some(self.statement(start, end, vertical))
    }

    /// What is left when none is ended any more: a statement, or the beginning of one.
    pub(super) fn rest(&mut self) -> Option<Statement<'a>> {
        let Found::Begun(start) = self.find() else { return None };
        self.at = self.text.len();
        Some(self.statement(start, self.text.trim_end().len().max(start), false))
    }

    /// The bytes that [`Splitter::next`] has not given.
    pub(super) fn left(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn statement(&mut self, start: usize, end: usize, vertical: bool) -> Statement<'a> {
        for c in self.text.get(self.counted..start).unwrap_or_default().chars() {
            (self.line, self.column) = if c == '\n' { (self.line + 1, 1) } else { (self.line, self.column + 1) };
        }
        self.counted = start;
        let text = self.text.get(start..end).unwrap_or_default().trim_end();
        Statement { text, line: self.line, column: self.column, vertical }
    }

    fn find(&self) -> Found {
        let bytes = self.text.as_bytes();
        let (mut at, mut start) = (self.at, None);
        while let Some(byte) = bytes.get(at) {
            let rest = &bytes[at..];
            // The first byte after what begins here; `None` if it does not end.
            let (after, counts) = match byte {
                b';' | b'\\' if *byte == b';' || matches!(rest.get(1), Some(b'G' | b'g')) => {
                    let after = at + if *byte == b';' { 1 } else { 2 };
                    if let Some(start) = start {
                        return Found::Whole(start, at, after, rest.get(1) == Some(&b'G') && *byte == b'\\');
                    }
                    (Some(after), false)
                }
                b'\'' | b'"' => (after_quote(rest, *byte, true).map(|n| at + n), true),
                b'`' => (after_quote(rest, *byte, false).map(|n| at + n), true),
                b'#' => (Some(at + line(rest)), false),
                b'-' if rest.starts_with(b"--") && rest.get(2).is_none_or(u8::is_ascii_whitespace) => {
                    (Some(at + line(rest)), false)
                }
                b'/' if rest.starts_with(b"/*") => {
                    let end = rest.get(2..).and_then(|rest| rest.windows(2).position(|two| two == b"*/"));
                    // What MySQL executes is part of a statement, and so is what is not ended yet.
                    (end.map(|n| at + n + 4), end.is_none() || rest.starts_with(b"/*!"))
                }
                byte => (Some(at + 1), !byte.is_ascii_whitespace()),
            };
            if counts {
                start.get_or_insert(at);
            }
            at = after.unwrap_or(bytes.len());
        }
        start.map_or(Found::Nothing, Found::Begun)
    }
}

fn after_quote(text: &[u8], quote: u8, escapes: bool) -> Option<usize> {
    let mut at = 1;
    while let Some(byte) = text.get(at) {
        match byte {
            b'\\' if escapes => at += 2,
            byte if *byte == quote => return Some(at + 1),
            _ => at += 1,
        }
    }
    None
}

fn line(text: &[u8]) -> usize {
    text.iter().position(|byte| *byte == b'\n').unwrap_or(text.len())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// All that are ended, and what is left.
    fn split(text: &str) -> (Vec<&str>, Option<&str>) {
        let mut splitter = Splitter::new(text);
        let whole = std::iter::from_fn(|| splitter.next()).map(|statement| statement.text).collect();
        (whole, splitter.rest().map(|statement| statement.text))
    }

    #[test]
    fn statements_end_where_no_quote_and_no_comment_is_open() {
        assert_eq!(split("a; b ;"), (vec!["a", "b"], None));
        assert_eq!(split("a ';' \";\" `;` ; b"), (vec!["a ';' \";\" `;`"], Some("b")));
        assert_eq!(split(r"a 'it\'s;' ; b 'it''s;';"), (vec![r"a 'it\'s;'", "b 'it''s;'"], None));
        assert_eq!(split("a # x;\n-- y;\n/* z; */ b;"), (vec!["a # x;\n-- y;\n/* z; */ b"], None));
        assert_eq!(split("a--b;"), (vec!["a--b"], None));
        assert_eq!(split("/*!40101 SET x = 1 */; b"), (vec!["/*!40101 SET x = 1 */"], Some("b")));
        assert_eq!(split("ü; é"), (vec!["ü"], Some("é")));
    }

    #[test]
    fn nothing_is_no_statement() {
        for text in ["", " \n ", ";;", "-- x", "# x;\n", "/* x; */", " ; \\G"] {
            assert_eq!(split(text), (vec![], None), "{text}");
        }
    }

    #[test]
    fn what_is_not_ended_is_left() {
        for text in ["a", "a 'b;", "a `b;", "/* a;", "a /* b;", "a 'b\\", "--"] {
            let (whole, rest) = split(text);
            assert!(whole.is_empty(), "{text}");
            assert_eq!(rest.is_some(), text != "--", "{text}");
        }
    }

    #[test]
    fn a_statement_knows_its_place_and_how_it_ended() {
        let mut splitter = Splitter::new("a;\n\n -- ü\n  é b\\G c\\g d");
        let mut next = || splitter.next().map(|s| (s.text, s.line, s.column, s.vertical));
        assert_eq!(next(), Some(("a", 1, 1, false)));
        assert_eq!(next(), Some(("é b", 4, 3, true)));
        assert_eq!(next(), Some(("c", 4, 9, false)));
        assert_eq!(next(), None);
        assert_eq!(splitter.left(), " d");
        let rest = splitter.rest().unwrap();
        assert_eq!((rest.text, rest.line, rest.column), ("d", 4, 13));
        assert_eq!(splitter.rest(), None);
    }
}
