//! What may belong into a partition of a table that is defined here: checked against the columns' types, and compared
//! as [`crate::check::ranges`] has it.

use std::collections::{BTreeMap, BTreeSet};

use tabvault_common::failure::{Failure, Kind};
use tabvault_common::schema::{PartitionRange, PartitionValue, Partitioning, TableDef};

use super::Result;
use crate::check::ranges::{Key, PartitionKeys};

/// What belongs into a partition, ready to be compared within one table. The order is that of the first key inside.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(Form);

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Form {
    Whole,
    /// Lower inclusive, upper exclusive.
    Range(Key, Key),
    List(BTreeSet<Key>),
}

impl Span {
    /// Reads `range` of partition `name` as the partition columns of `table` mean it. A range that gives fewer values
    /// than there are columns goes on with MINVALUE.
    ///
    /// # Errors
    /// `InvalidArgument` if the form is not that of the table, a value does not fit its column's type, a range is
    /// empty, or a list names a key twice.
    pub fn of(table: &TableDef, name: &str, range: &PartitionRange) -> Result<Self> {
        let refused = |why: String| {
            Failure::fatal(Kind::InvalidArgument, format!("Partition {name} of table {}: {why}", table.name))
        };
        match (&table.partitioning, range) {
            (Partitioning::None, PartitionRange::Whole) => Ok(Self(Form::Whole)),
            (Partitioning::Range(columns), PartitionRange::Range { lower, upper }) => {
                let lower = key(table, columns, lower).map_err(refused)?;
                let upper = key(table, columns, upper).map_err(refused)?;
                if lower >= upper {
                    return Err(refused("its range is empty, the lower bound must be below the upper".to_owned()));
                }
                Ok(Self(Form::Range(lower, upper)))
            }
            (Partitioning::List(columns), PartitionRange::List(rows)) => {
                if rows.is_empty() {
                    return Err(refused("its list is empty, give at least one value".to_owned()));
                }
                let mut keys = BTreeSet::new();
                for row in rows {
                    if row.len() != columns.len() {
                        let why = format!("{} values stand for {} partition columns", row.len(), columns.len());
                        return Err(refused(why));
                    }
                    if row.iter().any(|value| !matches!(value, PartitionValue::Literal(_))) {
                        return Err(refused("a list takes values, neither MINVALUE nor MAXVALUE".to_owned()));
                    }
                    if !keys.insert(key(table, columns, row).map_err(refused)?) {
                        return Err(refused(format!("its list names {} twice", row_text(row))));
                    }
                }
                Ok(Self(Form::List(keys)))
            }
            (Partitioning::None, _) => Err(refused("the table is not partitioned".to_owned())),
            (Partitioning::Range(_), _) => Err(refused("the table is partitioned by range".to_owned())),
            (Partitioning::List(_), _) => Err(refused("the table is partitioned by list".to_owned())),
        }
    }

    /// Whether some key belongs to both.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Form::Range(lower, upper), Form::Range(other_lower, other_upper)) => {
                lower < other_upper && other_lower < upper
            }
            (Form::List(keys), Form::List(others)) => !keys.is_disjoint(others),
            _ => true,
        }
    }
}

/// Positions of two spans of one table that overlap, if any do.
#[must_use]
pub fn first_overlap(spans: &[Span]) -> Option<(usize, usize)> {
    let mut order: Vec<usize> = (0..spans.len()).collect();
    order.sort_by_key(|at| spans.get(*at));
    let mut owners: BTreeMap<&Key, usize> = BTreeMap::new();
    let mut before: Option<usize> = None;
    for at in order {
        let Some(span) = spans.get(at) else { continue };
        if let Form::List(keys) = &span.0 {
            for key in keys {
                if let Some(owner) = owners.insert(key, at) {
                    return Some((owner, at));
                }
            }
        } else if let Some(earlier) = before
            && spans.get(earlier).is_some_and(|earlier| earlier.overlaps(span))
        {
            // Sorted by their lower bounds, ranges overlap somewhere only if two neighbours do.
            return Some((earlier, at));
        }
        before = Some(at);
    }
    None
}

/// The range as people read it: `[("2024-01-01"), ("2024-02-01"))`, `("de"), ("at")`, empty for a table that is not
/// partitioned.
#[must_use]
pub fn text(range: &PartitionRange) -> String {
    match range {
        PartitionRange::Whole => String::new(),
        PartitionRange::Range { lower, upper } => format!("[{}, {})", row_text(lower), row_text(upper)),
        PartitionRange::List(rows) => rows.iter().map(|row| row_text(row)).collect::<Vec<_>>().join(", "),
    }
}

fn row_text(row: &[PartitionValue]) -> String {
    let values: Vec<String> = row.iter().map(ToString::to_string).collect();
    format!("({})", values.join(", "))
}

fn key(table: &TableDef, columns: &[String], values: &[PartitionValue]) -> std::result::Result<Key, String> {
    if values.len() > columns.len() || values.is_empty() {
        return Err(format!("{} values stand for {} partition columns", values.len(), columns.len()));
    }
    for (name, value) in columns.iter().zip(values) {
        let PartitionValue::Literal(text) = value else { continue };
        let column = table.column(name).ok_or_else(|| format!("partition column {name} does not exist"))?;
        if !is_value(&column.data_type, text) {
            return Err(format!("\"{text}\" is no value of column {name}, whose type is {}", column.data_type));
        }
    }
    let mut values = values.to_vec();
    values.resize(columns.len(), PartitionValue::Min);
    Ok(PartitionKeys::of(table).key(&values))
}

/// What values of a type look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Values {
    /// Whole numbers between two limits.
    Number(i128, i128),
    /// `yyyy-MM-dd`.
    Date,
    /// `yyyy-MM-dd HH:mm:ss`, possibly with a fraction.
    DateTime,
    /// Any.
    Text,
}

/// What values of `data_type` look like, `None` if they cannot be in a partition key.
pub(crate) fn values_of(data_type: &str) -> Option<Values> {
    let end = data_type.find(['(', ' ']).unwrap_or(data_type.len());
    let name = data_type.get(..end).unwrap_or(data_type).to_ascii_uppercase();
    Some(match name.as_str() {
        "BOOLEAN" | "BOOL" => Values::Number(0, 1),
        "TINYINT" => Values::Number(i8::MIN.into(), i8::MAX.into()),
        "SMALLINT" => Values::Number(i16::MIN.into(), i16::MAX.into()),
        "INT" | "INTEGER" => Values::Number(i32::MIN.into(), i32::MAX.into()),
        "BIGINT" => Values::Number(i64::MIN.into(), i64::MAX.into()),
        "LARGEINT" => Values::Number(i128::MIN, i128::MAX),
        "DATE" | "DATEV2" => Values::Date,
        "DATETIME" | "DATETIMEV2" => Values::DateTime,
        "CHAR" | "VARCHAR" | "STRING" | "TEXT" => Values::Text,
        _ => return None,
    })
}

/// Whether `text` is a value of this type as it must be written here.
fn is_value(data_type: &str, text: &str) -> bool {
    match values_of(data_type) {
        Some(Values::Number(least, most)) => match text.to_ascii_lowercase().as_str() {
            "true" | "false" => (least, most) == (0, 1),
            digits => digits.parse::<i128>().is_ok_and(|number| (least..=most).contains(&number)),
        },
        Some(Values::Date) => shaped(text, "dddd-dd-dd"),
        Some(Values::DateTime) => {
            let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
            let plain = shaped(seconds, "dddd-dd-dd dd:dd:dd") && fraction.bytes().all(|b| b.is_ascii_digit());
            plain || shaped(text, "dddd-dd-dd")
        }
        Some(Values::Text) => true,
        None => false,
    }
}

/// Whether `text` looks like `shape`, where `d` stands for a digit.
fn shaped(text: &str, shape: &str) -> bool {
    let fits = |(c, s): (u8, u8)| if s == b'd' { c.is_ascii_digit() } else { c == s };
    text.len() == shape.len() && text.bytes().zip(shape.bytes()).all(fits)
}
