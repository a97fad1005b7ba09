//! `Debug` of the messages that carry secrets: the names of their properties, never a value, and no statement.

use std::collections::BTreeMap;
use std::fmt;

use crate::v1;

/// Property names without their values.
struct Names<'a>(&'a BTreeMap<String, String>);

impl fmt::Debug for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.0.keys().map(|name| (name, "***"))).finish()
    }
}

impl fmt::Debug for v1::StorageAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StorageAccess")
            .field("location", &self.location)
            .field("properties", &Names(&self.properties))
            .field("brokers", &self.brokers)
            .finish()
    }
}

impl fmt::Debug for v1::CreateRepositoryRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CreateRepositoryRequest")
            .field("name", &self.name)
            .field("location", &self.location)
            .field("properties", &Names(&self.properties))
            .field("broker", &self.broker)
            .field("read_only", &self.read_only)
            .finish()
    }
}

impl fmt::Debug for v1::AlterRepositoryRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AlterRepositoryRequest")
            .field("name", &self.name)
            .field("properties", &Names(&self.properties))
            .finish()
    }
}

impl fmt::Debug for v1::ExecuteRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExecuteRequest").field("sql", &"***").field("database", &self.database).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_not_shown() {
        let sql = "SET PASSWORD = 'hunter2'".to_owned();
        let text = format!("{:?}", v1::ExecuteRequest { sql, database: Some("d".to_owned()) });
        assert_eq!(text, r#"ExecuteRequest { sql: "***", database: Some("d") }"#);
    }

    #[test]
    fn no_debug_output_shows_the_value_of_a_property() {
        let properties = BTreeMap::from([("s3.secret_key".to_owned(), "hunter2".to_owned())]);
        let access = v1::StorageAccess { properties: properties.clone(), ..Default::default() };
        let messages = [
            format!("{access:?}"),
            format!("{:?}", v1::Upload { repository: Some(access), ..Default::default() }),
            format!("{:?}", v1::CreateRepositoryRequest { properties: properties.clone(), ..Default::default() }),
            format!("{:?}", v1::AlterRepositoryRequest { properties, ..Default::default() }),
        ];
        for text in messages {
            assert!(text.contains("s3.secret_key") && !text.contains("hunter2"), "{text}");
        }
    }
}
