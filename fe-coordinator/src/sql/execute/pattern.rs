//! LIKE as MySQL means it.

use crate::sql::statement::Match;

/// Whether `text` is what `wanted` says; without anything wanted, every text is.
pub(super) fn matches(wanted: Option<&Match>, text: &str) -> bool {
    match wanted {
        None => true,
        Some(Match::Equals(wanted)) => wanted == text,
        Some(Match::Like(pattern)) => like(pattern, text),
    }
}

/// Whether `text` matches `pattern`, if there is one.
pub(super) fn like_any(pattern: Option<&str>, text: &str) -> bool {
    pattern.is_none_or(|pattern| like(pattern, text))
}

/// Whether `text` matches `pattern`: `%` any text, `_` any character, `\` before any character that character itself.
pub(super) fn like(pattern: &str, text: &str) -> bool {
    let pattern = read(pattern);
    let text: Vec<char> = text.chars().collect();
    let (mut p, mut t) = (0, 0);
    // Where to go on when what follows the last `%` does not fit: the `%` then takes one character more.
    let mut again: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(Sign::Any) => {
                again = Some((p, t));
                p += 1;
            }
            Some(sign) if sign.fits(text[t]) => (p, t) = (p + 1, t + 1),
            _ => match &mut again {
                None => return false,
                Some((any, from)) => {
                    *from += 1;
                    (p, t) = (*any + 1, *from);
                }
            },
        }
    }
    pattern[p..].iter().all(|sign| *sign == Sign::Any)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sign {
    Any,
    One,
    Itself(char),
}

impl Sign {
    fn fits(self, c: char) -> bool {
        match self {
            Self::Any => false,
            Self::One => true,
            Self::Itself(own) => own == c,
        }
    }
}

fn read(pattern: &str) -> Vec<Sign> {
    let mut signs = Vec::new();
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        signs.push(match c {
            '%' => Sign::Any,
            '_' => Sign::One,
            // At the end it has nothing to stand before.
            '\\' => Sign::Itself(chars.next().unwrap_or('\\')),
            c => Sign::Itself(c),
        });
    }
    signs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_mean_what_they_mean_in_mysql() {
        for (pattern, text, fits) in [
            ("", "", true),
            ("", "a", false),
            ("abc", "abc", true),
            ("abc", "ABC", false),
            ("%", "", true),
            ("a%", "abc", true),
            ("%c", "abcc", true),
            ("%b%", "abc", true),
            ("a%b%c", "axxbxbxc", true),
            ("a%b%c", "axxbxbx", false),
            ("a_c", "abc", true),
            ("a_c", "ac", false),
            ("_", "ä", true),
            (r"a\_c", "a_c", true),
            (r"a\_c", "abc", false),
            (r"100\%", "100%", true),
            (r"100\%", "1000", false),
            (r"a\\b", r"a\b", true),
            (r"a\", r"a\", true),
            ("%%%", "x", true),
        ] {
            assert_eq!(like(pattern, text), fits, "'{text}' LIKE '{pattern}'");
        }
    }

    #[test]
    fn a_pattern_of_many_signs_takes_no_exponential_time() {
        assert!(!like(&"%a".repeat(64), &"a".repeat(63).repeat(40).replace('a', "b")));
    }

    #[test]
    fn what_is_equal_knows_no_signs() {
        assert!(matches(Some(&Match::Equals("a%".to_owned())), "a%"));
        assert!(!matches(Some(&Match::Equals("a%".to_owned())), "ab"));
        assert!(matches(None, "anything"));
    }
}
