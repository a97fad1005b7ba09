//! What is printed on stdout is read by scripts: it stays as it is.

use tabvault::output::{json, table};
use tabvault_common::clock::Time;
use tabvault_common::view::cells;
use tabvault_common::view::{BrokerView, TableView};

fn tables() -> cells::ResultSet {
    let table = |name: &str, files| TableView {
        name: name.to_owned(),
        state: "NORMAL".to_owned(),
        partitions: 1,
        tablets: 4,
        data_size: 4_676_775,
        file_count: files,
    };
    cells::tables(&[table("t", 763), table("a_longer_name", 0)])
}

#[test]
fn a_table_is_framed_and_aligned_as_mysql_clients_print_it() {
    let wanted = "\
+---------------+--------+------------+---------+----------+-----------+
| Table         | State  | Partitions | Tablets | DataSize | FileCount |
+---------------+--------+------------+---------+----------+-----------+
| t             | NORMAL | 1          | 4       | 4676775  | 763       |
| a_longer_name | NORMAL | 1          | 4       | 4676775  | 0         |
+---------------+--------+------------+---------+----------+-----------+
2 rows in set";
    assert_eq!(table(&tables()), wanted);
}

#[test]
fn nothing_is_an_empty_set_or_an_empty_array() {
    let none = cells::tables(&[]);
    assert_eq!(table(&none), "Empty set");
    assert_eq!(json(&none), "[]");
}

#[test]
fn json_is_an_array_of_objects_with_the_columns_in_their_order() {
    let wanted = r#"[{"Table":"t","State":"NORMAL","Partitions":"1","Tablets":"4","DataSize":"4676775","FileCount":"763"},{"Table":"a_longer_name","State":"NORMAL","Partitions":"1","Tablets":"4","DataSize":"4676775","FileCount":"0"}]"#;
    assert_eq!(json(&tables()), wanted);
}

#[test]
fn null_and_quotes_keep_their_meaning() {
    let broker = BrokerView {
        name: "b".to_owned(),
        host: "h".to_owned(),
        port: 8000,
        alive: false,
        last_start_time: None,
        last_update_time: Some(Time(1_753_970_521_042)),
        error: Some("it says \"no\"\nand hangs up".to_owned()),
    };
    let set = cells::brokers(&[broker]);
    let wanted = r#"[{"Name":"b","Host":"h","Port":"8000","Alive":"false","LastStartTime":null,"LastUpdateTime":"2025-07-31 14:02:01","ErrMsg":"it says \"no\"\nand hangs up"}]"#;
    assert_eq!(json(&set), wanted);
    let row = r#"| b    | h    | 8000 | false | NULL          | 2025-07-31 14:02:01 | it says "no"\nand hangs up |"#;
    assert_eq!(table(&set).lines().nth(3), Some(row));
}
