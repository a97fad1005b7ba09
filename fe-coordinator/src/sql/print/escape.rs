//! How strings and names are quoted, and read back.

/// What stands between quotes `quote`, with its escapes read as MySQL does. `\%` and `\_` stay: they mean something
/// to LIKE.
pub(in crate::sql) fn unescape(raw: &str, quote: char) -> String {
    let mut text = String::with_capacity(raw.len());
    let mut chars = raw.chars();
    while let Some(c) = chars.next() {
        if c == quote {
            // The library ends a string at a single one, so this is the first of two.
            chars.next();
            text.push(quote);
        } else if c == '\\' {
            match chars.next() {
                Some('0') => text.push('\0'),
                Some('b') => text.push('\u{8}'),
                Some('n') => text.push('\n'),
                Some('r') => text.push('\r'),
                Some('t') => text.push('\t'),
                Some('Z') => text.push('\u{1a}'),
                Some(sign @ ('%' | '_')) => text.extend(['\\', sign]),
                Some(other) => text.push(other),
                None => text.push('\\'),
            }
        } else {
            text.push(c);
        }
    }
    text
}

/// `text` as a string that MySQL, Doris and this parser read as it is.
pub(super) fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\0' => quoted.push_str("\\0"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

/// `name` in backquotes.
pub(super) fn name(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}
