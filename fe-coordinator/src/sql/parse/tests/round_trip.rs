//! Printing and parsing are each other's reverse, for every statement.

use proptest::prelude::*;

use super::generate;
use super::{one, parse};

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn what_is_printed_parses_to_the_same_statement(statement in generate::statement()) {
        let text = statement.to_sql();
        let parsed = parse(&text).map_err(|error| TestCaseError::fail(error.render(&text)))?;
        prop_assert_eq!(&parsed, &[statement], "{}", text);
    }

    #[test]
    fn a_text_of_several_is_each_of_them(statements in proptest::collection::vec(generate::statement(), 0..4)) {
        let texts: Vec<String> = statements.iter().map(crate::sql::Statement::to_sql).collect();
        let text = texts.join(";\n");
        prop_assert_eq!(parse(&text).unwrap(), statements, "{}", text);
    }

    #[test]
    fn what_people_are_shown_is_a_statement_too(statement in generate::statement()) {
        let shown = statement.to_string();
        prop_assert_eq!(one(&shown).to_string(), shown);
    }

    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,80}") {
        for statement in parse(&text).unwrap_or_default() {
            prop_assert_eq!(one(&statement.to_sql()), statement);
        }
    }
}
