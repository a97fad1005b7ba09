//! What belongs into partitions, compared as the types of the partition columns have it.
//!
//! Two clusters may write one value differently: `"7"` and `"07"`, `"2024-01-01"` and `"2024-01-01 00:00:00"`. So
//! values are brought into one form first; then numbers compare as numbers of any length, everything else as text.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use tabvault_common::schema::{PartitionRange, PartitionValue, TableDef};

#[cfg(test)]
mod tests;

/// How the values of each partition column of a table compare.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionKeys {
    columns: Vec<ColumnOrder>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ColumnOrder {
    Number,
    Moment,
    Text,
}

/// One value in its one form. The order of the variants is that of the values.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Value {
    Min,
    Number(Number),
    Text(String),
    Max,
}

/// What a partition's bound or list names: a value per partition column.
pub(crate) type Key = Vec<Value>;

impl PartitionKeys {
    /// The order of the partition columns of `table`. A column that the table lacks compares as text.
    #[must_use]
    pub fn of(table: &TableDef) -> Self {
        let order = |name: &String| table.column(name).map_or(ColumnOrder::Text, |c| ColumnOrder::of(&c.data_type));
        Self { columns: table.partition_columns().iter().map(order).collect() }
    }

    /// Whether the same rows belong into both.
    #[must_use]
    pub fn same(&self, a: &PartitionRange, b: &PartitionRange) -> bool {
        match (a, b) {
            (PartitionRange::Whole, PartitionRange::Whole) => true,
            (
                PartitionRange::Range { lower: a_lower, upper: a_upper },
                PartitionRange::Range { lower: b_lower, upper: b_upper },
            ) => self.key(a_lower) == self.key(b_lower) && self.key(a_upper) == self.key(b_upper),
            (PartitionRange::List(a), PartitionRange::List(b)) => {
                let keys = |list: &[Vec<PartitionValue>]| list.iter().map(|key| self.key(key)).collect::<BTreeSet<_>>();
                keys(a) == keys(b)
            }
            _ => false,
        }
    }

    /// The values in the form in which they compare.
    pub(crate) fn key(&self, values: &[PartitionValue]) -> Key {
        let order = |at: usize| self.columns.get(at).copied().unwrap_or(ColumnOrder::Text);
        values.iter().enumerate().map(|(at, value)| order(at).value(value)).collect()
    }
}

/// The ranges of a table's partitions, to find the one that another range would overlap.
#[derive(Debug, Clone)]
pub struct Occupied<'a> {
    keys: &'a PartitionKeys,
    /// A partition that everything belongs into.
    whole: Option<&'a str>,
    /// By first key; the ranges of one table do not overlap.
    ranges: BTreeMap<Key, (Key, &'a str)>,
    lists: BTreeMap<Key, &'a str>,
}

impl<'a> Occupied<'a> {
    /// The ranges of these partitions, by name.
    pub fn new(keys: &'a PartitionKeys, partitions: impl IntoIterator<Item = (&'a str, &'a PartitionRange)>) -> Self {
        let mut this = Self { keys, whole: None, ranges: BTreeMap::new(), lists: BTreeMap::new() };
        for (name, range) in partitions {
            match range {
                PartitionRange::Whole => this.whole = Some(name),
                PartitionRange::Range { lower, upper } => {
                    this.ranges.insert(keys.key(lower), (keys.key(upper), name));
                }
                PartitionRange::List(list) => this.lists.extend(list.iter().map(|key| (keys.key(key), name))),
            }
        }
        this
    }

    /// A partition into which some row belongs that also belongs into `range`.
    #[must_use]
    pub fn conflict(&self, range: &PartitionRange) -> Option<&'a str> {
        if self.whole.is_some() {
            return self.whole;
        }
        match range {
            PartitionRange::Whole => self.any(),
            PartitionRange::Range { lower, upper } => {
                let (lower, upper) = (self.keys.key(lower), self.keys.key(upper));
                // Ranges do not overlap each other, so of those that start before `upper` the last one ends last.
                let (_, (end, name)) = self.ranges.range::<Key, _>(..&upper).next_back()?;
                (lower < upper && &lower < end).then_some(*name)
            }
            PartitionRange::List(list) => list.iter().find_map(|key| self.lists.get(&self.keys.key(key)).copied()),
        }
    }

    fn any(&self) -> Option<&'a str> {
        self.ranges.values().map(|(_, name)| *name).chain(self.lists.values().copied()).next()
    }
}

impl ColumnOrder {
    fn of(data_type: &str) -> Self {
        let end = data_type.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(data_type.len());
        match data_type[..end].to_ascii_uppercase().as_str() {
            "BOOLEAN" | "BOOL" | "TINYINT" | "SMALLINT" | "INT" | "INTEGER" | "BIGINT" | "LARGEINT" | "DECIMAL"
            | "DECIMALV2" | "DECIMALV3" | "DECIMAL32" | "DECIMAL64" | "DECIMAL128" | "DECIMAL256" | "NUMERIC"
            | "FLOAT" | "DOUBLE" => Self::Number,
            "DATE" | "DATEV1" | "DATEV2" | "DATETIME" | "DATETIMEV1" | "DATETIMEV2" | "TIMESTAMP" => Self::Moment,
            _ => Self::Text,
        }
    }

    fn value(self, value: &PartitionValue) -> Value {
        let text = match value {
            PartitionValue::Min => return Value::Min,
            PartitionValue::Max => return Value::Max,
            PartitionValue::Literal(text) => text,
        };
        match self {
            Self::Number => Number::parse(text.trim()).map_or_else(|| Value::Text(text.clone()), Value::Number),
            Self::Moment => Value::Text(plain_moment(text.trim()).unwrap_or_else(|| text.clone())),
            Self::Text => Value::Text(text.clone()),
        }
    }
}

/// A decimal number of any length: what LARGEINT and DECIMAL need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Number {
    negative: bool,
    /// Without leading zeros.
    whole: String,
    /// Without trailing zeros.
    fraction: String,
}

impl Number {
    fn parse(text: &str) -> Option<Self> {
        match text.to_ascii_lowercase().as_str() {
            "true" => return Self::parse("1"),
            "false" => return Self::parse("0"),
            _ => {}
        }
        let (negative, digits) = match text.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let all_digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
        if (whole.is_empty() && fraction.is_empty()) || !all_digits(whole) || !all_digits(fraction) {
            return None;
        }
        let whole = whole.trim_start_matches('0').to_owned();
        let fraction = fraction.trim_end_matches('0').to_owned();
        let zero = whole.is_empty() && fraction.is_empty();
        Some(Self { negative: negative && !zero, whole, fraction })
    }

    fn cmp_magnitude(&self, other: &Self) -> Ordering {
        let whole = self.whole.len().cmp(&other.whole.len()).then_with(|| self.whole.cmp(&other.whole));
        whole.then_with(|| self.fraction.cmp(&other.fraction))
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.negative, other.negative) {
            (false, true) => Ordering::Greater,
            (true, false) => Ordering::Less,
            (false, false) => self.cmp_magnitude(other),
            (true, true) => other.cmp_magnitude(self),
        }
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// A date as `yyyy-MM-dd`, followed by the time of day unless that is midnight. `None` for what is no date.
fn plain_moment(text: &str) -> Option<String> {
    let (date, time) = text.split_once([' ', 'T']).unwrap_or((text, ""));
    let date = match date.split('-').collect::<Vec<_>>()[..] {
        [compact] if compact.len() == 8 && compact.is_ascii() => {
            format!("{}-{}-{}", digits(&compact[..4], 4)?, digits(&compact[4..6], 2)?, digits(&compact[6..], 2)?)
        }
        [year, month, day] => format!("{}-{}-{}", digits(year, 4)?, digits(month, 2)?, digits(day, 2)?),
        _ => return None,
    };
    let (clock, fraction) = time.split_once('.').unwrap_or((time, ""));
    let fraction = fraction.trim_end_matches('0');
    let mut parts = Vec::new();
    if !clock.is_empty() {
        for part in clock.split(':') {
            parts.push(digits(part, 2)?);
        }
    }
    parts.resize(3, "00".to_owned());
    let clock = parts.join(":");
    match (clock.as_str(), fraction) {
        ("00:00:00", "") => Some(date),
        (_, "") => Some(format!("{date} {clock}")),
        _ => Some(format!("{date} {clock}.{fraction}")),
    }
}

/// `text` with zeros before it up to `width`, if it is made of at most that many digits.
fn digits(text: &str, width: usize) -> Option<String> {
    let fits = (1..=width).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    fits.then(|| format!("{text:0>width$}"))
}
