//! Which refusals were met.

use std::collections::BTreeSet;
use std::ops::{Deref, DerefMut};

use tabvault_fe_coordinator::sql::SqlError;
use tabvault_integration_tests::sql::{SqlBench, cell};

use crate::REFUSALS;

/// The refusals that were met.
#[derive(Default)]
pub(crate) struct Provoked {
    met: BTreeSet<&'static str>,
}

impl Provoked {
    pub(crate) fn met(&self, words: &str) -> bool {
        self.met.contains(words)
    }

    /// `error` is the refusal of these words, one of [`REFUSALS`], about `names`.
    pub(crate) fn meet(&mut self, words: &'static str, names: &[&str], error: &SqlError, statement: &str) {
        let (code, _) = REFUSALS.iter().find(|(_, known)| *known == words).unwrap_or_else(|| panic!("{words}?"));
        let sqlstate = match code {
            1045 => "28000",
            1146 => "42S02",
            1105 => "HY000",
            _ => "42000",
        };
        let message = &error.failure.message;
        assert_eq!((error.code, error.sqlstate), (*code, sqlstate), "{statement}: {message}");
        assert!(says(message, words, names), "{statement}: {message}\nshould say: {words} {names:?}");
        self.met.insert(words);
    }
}

/// Whether a message has the words, with the names in the places of `{}`.
fn says(message: &str, words: &str, names: &[&str]) -> bool {
    let mut filled = words.to_owned();
    for name in names {
        filled = filled.replacen("{}", name, 1);
    }
    assert!(!filled.contains("{}"), "{words} is about more than {names:?}");
    let mut rest = message;
    filled.split('…').all(|part| match rest.split_once(part.trim()) {
        Some((_, behind)) => {
            rest = behind;
            true
        }
        None => false,
    })
}

/// A cluster of two backends with the tables `items` and `sales` (of the partitions `p1` and `p2`) and their snapshot
/// `base`.
pub(crate) struct Scene {
    sql: SqlBench,
    provoked: Provoked,
}

pub(crate) const ITEMS: &str = "CREATE TABLE items (id BIGINT NOT NULL, content STRING) UNIQUE KEY (id)
    DISTRIBUTED BY HASH (id) BUCKETS 2 PROPERTIES ('replication_num' = '2')";
pub(crate) const SALES: &str = "CREATE TABLE sales (day DATE NOT NULL, content STRING) DUPLICATE KEY (day)
    PARTITION BY RANGE (day) (PARTITION p1 VALUES LESS THAN ('2025-02-01'), PARTITION p2 VALUES LESS THAN ('2025-03-01'))
    DISTRIBUTED BY HASH (day) BUCKETS 2 PROPERTIES ('replication_num' = '2')";

impl Scene {
    pub(crate) async fn new() -> Self {
        let mut sql = SqlBench::new(2).await;
        sql.run(&format!("{ITEMS}; {SALES}")).await;
        for (table, seed) in [("sales PARTITION (p1)", 1), ("sales PARTITION (p2)", 2), ("items", 3)] {
            sql.load(table, seed).await;
        }
        sql.finish("BACKUP SNAPSHOT shop.base TO repo").await;
        Self { sql, provoked: Provoked::default() }
    }

    /// The statement is refused with these words about `names`, and begins no job. EXPLAIN of it lists the same.
    pub(crate) async fn refuse(&mut self, words: &'static str, names: &[&str], statement: &str) -> String {
        let jobs = self.jobs().await;
        let error = self.sql.refused(statement).await;
        self.provoked.meet(words, names, &error, statement);
        let explained = statement.starts_with("BACKUP") || statement.starts_with("RESTORE");
        if explained && error.code != 1064 {
            let explain = format!("EXPLAIN {}", self.sql.fill(statement).await);
            let rows = self.sql.client.rows(&explain).await;
            let refusal = |row: &_| cell(row, "Item") == "Refusal" && says(cell(row, "Value"), words, names);
            assert!(rows.iter().any(refusal), "{explain}: {rows:#?}");
            assert_eq!(cell(&rows[0], "Value"), "false", "{explain}");
        }
        assert_eq!(self.jobs().await, jobs, "{statement}: refused, and begun");
        error.failure.message
    }

    async fn jobs(&mut self) -> usize {
        let shown =
            [self.sql.client.rows("SHOW BACKUP FROM shop").await, self.sql.client.rows("SHOW RESTORE FROM shop").await];
        shown.iter().map(Vec::len).sum()
    }

    pub(crate) fn provoked(self) -> Provoked {
        self.provoked
    }
}

impl Deref for Scene {
    type Target = SqlBench;

    fn deref(&self) -> &SqlBench {
        &self.sql
    }
}

impl DerefMut for Scene {
    fn deref_mut(&mut self) -> &mut SqlBench {
        &mut self.sql
    }
}
