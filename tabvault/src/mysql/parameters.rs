//! The values of a prepared statement as clients send them.

use mysql_common::constants::{ColumnFlags, ColumnType};
use mysql_common::io::ParseBuf;
use mysql_common::value::{BinValue, Value, ValueDeserializer};
use tabvault_fe_coordinator::sql::Literal;

use super::refusal::Refusal;

/// A parameter's type: what it is, and whether it is unsigned.
pub(super) type ParameterType = (ColumnType, bool);

/// The values in `body`. `types` are those that the client told at an earlier execution and is not bound to repeat;
/// they are replaced if it tells others. `long` answers with what was sent ahead for a parameter.
///
/// # Errors
/// Bytes that are no such values.
pub(super) fn read<'a>(
    body: &[u8],
    parameters: usize,
    types: &mut Vec<ParameterType>,
    long: impl Fn(usize) -> Option<&'a [u8]>,
) -> Result<Vec<Literal>, Refusal> {
    if parameters == 0 {
        return Ok(Vec::new());
    }
    let mut body = ParseBuf(body);
    let nulls = body.checked_eat(parameters.div_ceil(8)).ok_or_else(Refusal::bad_arguments)?;
    if body.checked_eat_u8().ok_or_else(Refusal::bad_arguments)? != 0 {
        *types = read_types(&mut body, parameters)?;
    }
    if types.len() != parameters {
        return Err(Refusal::bad_arguments());
    }
    let one = |(index, declared): (usize, &ParameterType)| {
        if let Some(bytes) = long(index) {
            return text(bytes.to_vec());
        }
        if nulls[index / 8] & (1 << (index % 8)) != 0 {
            return Ok(Literal::Null);
        }
        literal(*declared, &mut body)
    };
    types.iter().enumerate().map(one).collect()
}

fn read_types(body: &mut ParseBuf<'_>, parameters: usize) -> Result<Vec<ParameterType>, Refusal> {
    let told = body.checked_eat(parameters * 2).ok_or_else(Refusal::bad_arguments)?;
    let one = |pair: &[u8]| {
        let declared = ColumnType::try_from(pair[0]).map_err(|_| Refusal::bad_arguments())?;
        if readable(declared) { Ok((declared, pair[1] & 0x80 != 0)) } else { Err(Refusal::bad_arguments()) }
    };
    told.chunks_exact(2).map(one).collect()
}

/// Whether clients may send the type: the rest is MySQL's own, and the library panics over it.
fn readable(declared: ColumnType) -> bool {
    use ColumnType as T;
    matches!(
        declared,
        T::MYSQL_TYPE_DECIMAL
            | T::MYSQL_TYPE_TINY
            | T::MYSQL_TYPE_SHORT
            | T::MYSQL_TYPE_LONG
            | T::MYSQL_TYPE_FLOAT
            | T::MYSQL_TYPE_DOUBLE
            | T::MYSQL_TYPE_NULL
            | T::MYSQL_TYPE_TIMESTAMP
            | T::MYSQL_TYPE_LONGLONG
            | T::MYSQL_TYPE_INT24
            | T::MYSQL_TYPE_DATE
            | T::MYSQL_TYPE_TIME
            | T::MYSQL_TYPE_DATETIME
            | T::MYSQL_TYPE_YEAR
            | T::MYSQL_TYPE_VARCHAR
            | T::MYSQL_TYPE_BIT
            | T::MYSQL_TYPE_JSON
            | T::MYSQL_TYPE_NEWDECIMAL
            | T::MYSQL_TYPE_ENUM
            | T::MYSQL_TYPE_SET
            | T::MYSQL_TYPE_TINY_BLOB
            | T::MYSQL_TYPE_MEDIUM_BLOB
            | T::MYSQL_TYPE_LONG_BLOB
            | T::MYSQL_TYPE_BLOB
            | T::MYSQL_TYPE_VAR_STRING
            | T::MYSQL_TYPE_STRING
    )
}

fn literal((declared, unsigned): ParameterType, body: &mut ParseBuf<'_>) -> Result<Literal, Refusal> {
    let flags = if unsigned { ColumnFlags::UNSIGNED_FLAG } else { ColumnFlags::empty() };
    let read = body.parse::<ValueDeserializer<BinValue>>((declared, flags));
    Ok(match read.map_err(|_| Refusal::bad_arguments())?.0 {
        Value::NULL => Literal::Null,
        Value::Int(number) => Literal::from(number),
        Value::UInt(number) => Literal::from(number),
        Value::Float(number) if number.is_finite() => Literal::Number(number.to_string()),
        Value::Double(number) if number.is_finite() => Literal::Number(number.to_string()),
        Value::Float(_) | Value::Double(_) => return Err(Refusal::bad_arguments()),
        Value::Bytes(bytes) => match text(bytes)? {
            Literal::Text(text) if decimal(declared) && is_number(&text) => Literal::Number(text),
            literal => literal,
        },
        Value::Date(year, month, day, hour, minute, second, micros) => {
            let mut text = format!("{year:04}-{month:02}-{day:02}");
            if declared != ColumnType::MYSQL_TYPE_DATE {
                text.push_str(&format!(" {hour:02}:{minute:02}:{second:02}{}", fraction(micros)));
            }
            Literal::Text(text)
        }
        Value::Time(negative, days, hours, minutes, seconds, micros) => {
            let sign = if negative { "-" } else { "" };
            let hours = u64::from(days) * 24 + u64::from(hours);
            Literal::Text(format!("{sign}{hours:02}:{minutes:02}:{seconds:02}{}", fraction(micros)))
        }
    })
}

fn text(bytes: Vec<u8>) -> Result<Literal, Refusal> {
    String::from_utf8(bytes).map(Literal::Text).map_err(|_| Refusal::not_utf8())
}

fn decimal(declared: ColumnType) -> bool {
    matches!(declared, ColumnType::MYSQL_TYPE_DECIMAL | ColumnType::MYSQL_TYPE_NEWDECIMAL)
}

fn is_number(text: &str) -> bool {
    text.parse::<f64>().is_ok_and(f64::is_finite)
}

fn fraction(micros: u32) -> String {
    if micros == 0 { String::new() } else { format!(".{micros:06}") }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read_new(body: &[u8], parameters: usize) -> Result<Vec<Literal>, Refusal> {
        read(body, parameters, &mut Vec::new(), |_| None)
    }

    fn one(declared: ColumnType, unsigned: bool, value: &[u8]) -> Literal {
        let body = [&[0, 1, declared as u8, u8::from(unsigned) << 7], value].concat();
        read_new(&body, 1).unwrap().remove(0)
    }

    #[test]
    fn every_type_becomes_a_literal() {
        use ColumnType as T;
        let text = |text: &str| Literal::Text(text.to_owned());
        let number = |text: &str| Literal::Number(text.to_owned());
        assert_eq!(one(T::MYSQL_TYPE_TINY, false, &[0xff]), number("-1"));
        assert_eq!(one(T::MYSQL_TYPE_TINY, true, &[0xff]), number("255"));
        assert_eq!(one(T::MYSQL_TYPE_SHORT, false, &[0, 0x80]), number("-32768"));
        assert_eq!(one(T::MYSQL_TYPE_LONG, false, &86_400_i32.to_le_bytes()), number("86400"));
        assert_eq!(one(T::MYSQL_TYPE_LONGLONG, true, &u64::MAX.to_le_bytes()), number("18446744073709551615"));
        assert_eq!(one(T::MYSQL_TYPE_FLOAT, false, &0.5_f32.to_le_bytes()), number("0.5"));
        assert_eq!(one(T::MYSQL_TYPE_DOUBLE, false, &1e3_f64.to_le_bytes()), number("1000"));
        assert_eq!(one(T::MYSQL_TYPE_NULL, false, &[]), Literal::Null);
        assert_eq!(one(T::MYSQL_TYPE_VAR_STRING, false, b"\x06\xe5\xba\x93'\\x"), text("库'\\x"));
        assert_eq!(one(T::MYSQL_TYPE_BLOB, false, b"\x00"), text(""));
        assert_eq!(one(T::MYSQL_TYPE_NEWDECIMAL, false, b"\x041.50"), number("1.50"));
        assert_eq!(one(T::MYSQL_TYPE_NEWDECIMAL, false, b"\x04true"), text("true"));
        assert_eq!(one(T::MYSQL_TYPE_DATE, false, &[4, 0xea, 7, 2, 3]), text("2026-02-03"));
        assert_eq!(one(T::MYSQL_TYPE_DATETIME, false, &[4, 0xea, 7, 2, 3]), text("2026-02-03 00:00:00"));
        let late = [11, 0xea, 7, 2, 3, 4, 5, 6, 7, 0, 0, 0];
        assert_eq!(one(T::MYSQL_TYPE_TIMESTAMP, false, &late), text("2026-02-03 04:05:06.000007"));
        assert_eq!(one(T::MYSQL_TYPE_TIME, false, &[8, 1, 1, 0, 0, 0, 2, 3, 4]), text("-26:03:04"));
    }

    #[test]
    fn a_set_bit_is_null_and_takes_no_bytes() {
        let types = [ColumnType::MYSQL_TYPE_LONGLONG as u8, 0].repeat(9);
        let values: Vec<u8> = (0..7_i64).flat_map(i64::to_le_bytes).collect();
        let body = [&[0b0000_0010, 0b1, 1][..], &types, &values].concat();
        let read = read_new(&body, 9).unwrap();
        assert_eq!(read[0], Literal::from(0_i64));
        assert_eq!(read[1], Literal::Null);
        assert_eq!(read[7], Literal::from(6_i64));
        assert_eq!(read[8], Literal::Null);
    }

    #[test]
    fn types_told_once_hold_until_others_are_told() {
        let mut types = Vec::new();
        let first = [0, 1, ColumnType::MYSQL_TYPE_TINY as u8, 0, 7];
        assert_eq!(read(&first, 1, &mut types, |_| None).unwrap(), [Literal::from(7_i64)]);
        assert_eq!(read(&[0, 0, 8], 1, &mut types, |_| None).unwrap(), [Literal::from(8_i64)]);
        let text = [0, 1, ColumnType::MYSQL_TYPE_STRING as u8, 0, 1, b'x'];
        assert_eq!(read(&text, 1, &mut types, |_| None).unwrap(), [Literal::from("x")]);
        assert_eq!(read_new(&[0, 0, 8], 1).unwrap_err().code, 1210);
    }

    #[test]
    fn what_was_sent_ahead_stands_for_its_parameter() {
        let tiny = ColumnType::MYSQL_TYPE_TINY as u8;
        let body = [0, 1, ColumnType::MYSQL_TYPE_BLOB as u8, 0, tiny, 0, 9];
        let long = |index| (index == 0).then_some(&b"ahead"[..]);
        let read = read(&body, 2, &mut Vec::new(), long).unwrap();
        assert_eq!(read, [Literal::from("ahead"), Literal::from(9_i64)]);
    }

    #[test]
    fn text_that_is_no_utf8_is_refused() {
        let body = [0, 1, ColumnType::MYSQL_TYPE_STRING as u8, 0, 1, 0xff];
        assert_eq!(read_new(&body, 1).unwrap_err().code, 1300);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(body in prop::collection::vec(any::<u8>(), 0..64), parameters in 0_usize..20) {
            let _ = read_new(&body, parameters);
        }

        #[test]
        fn no_value_of_any_type_makes_it_panic(declared: u8, flag: u8, value in prop::collection::vec(any::<u8>(), 0..24)) {
            let _ = read_new(&[&[0, 1, declared, flag][..], &value].concat(), 1);
        }
    }
}
