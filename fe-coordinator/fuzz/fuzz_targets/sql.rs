//! Any text is read or refused, without a panic and in time; and what is read can be printed and read again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tabvault_fe_coordinator::sql::{Literal, Prepared, parse};

fuzz_target!(|text: &str| {
    match parse(text) {
        Ok(statements) => {
            for statement in &statements {
                let printed = statement.to_sql();
                let again = parse(&printed).expect("what is printed can be read");
                assert_eq!(again, std::slice::from_ref(statement), "{printed}");
                assert_eq!(again[0].to_sql(), printed);
                // What people are shown can be read as well, though it means something else.
                let shown = statement.to_string();
                assert_eq!(parse(&shown).expect("what is shown can be read").len(), 1, "{shown}");
            }
        }
        Err(error) => {
            let place = error.place.as_ref().expect("a text this short is refused at a place");
            let lines = u32::try_from(text.split('\n').count()).expect("a short text");
            assert!((1..=lines).contains(&place.line), "{place:?}");
            let line = text.split('\n').nth(place.line as usize - 1).expect("a line of the text");
            assert!((1..=line.chars().count() as u32 + 1).contains(&place.column), "{place:?}");
            assert!(error.render(text).contains(line.trim_end_matches('\r')));
        }
    }
    if let Ok(prepared) = Prepared::new(text) {
        for value in [Literal::Null, Literal::from(-7_i64), Literal::from("'; -- \"")] {
            for statement in prepared.bind(&vec![value; prepared.parameters()]).unwrap_or_default() {
                assert_eq!(parse(&statement.to_sql()).expect("what is printed can be read"), [statement]);
            }
        }
    }
});
