//! Telling writes apart.

/// The `n`th write of a kind, counted from 1. A kind is what is written without the names and numbers that differ from
/// job to job.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct Point {
    /// Such as `catalog publish`.
    pub kind: String,
    /// Which of the kind.
    pub n: usize,
}

/// What `write` is, without names and numbers.
pub(super) fn kind(write: &str) -> String {
    let mut words: Vec<String> = Vec::new();
    for word in write.split(' ').map(kind_of_word) {
        if !words.contains(&word) {
            words.push(word);
        }
    }
    words.join(" ")
}

fn kind_of_word(word: &str) -> String {
    word.split('/').map(kind_of_part).collect::<Vec<_>>().join("/")
}

/// A part of a path: of `__info_2026-11-21` the beginning says what it is, of a number nothing does.
fn kind_of_part(part: &str) -> String {
    if !part.contains(|c: char| c.is_ascii_digit()) {
        return part.to_owned();
    }
    let named = part.strip_prefix("__").and_then(|rest| rest.split_once('_'));
    named.map_or_else(|| "#".to_owned(), |(name, _)| format!("__{name}_#"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_make_no_kinds() {
        let one = kind("store +job/0017/row/0001 +job/0017/row/0002 +job/0017/head=COMMIT");
        assert_eq!(one, kind("store +job/0018/row/0001 +job/0018/head=COMMIT"));
        assert_ne!(one, kind("store +job/0018/row/0001 +job/0018/head=COMMITTING"));
        assert_eq!(kind("storage put __data/0e1f/m/77aa"), "storage put __data/#/m/#");
        assert_eq!(kind("storage create __ss_job1/__info_2026-11-21"), "storage create __ss_#/__info_#");
    }
}
