#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;

fn given(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
}

const STAMP: (&str, &str) = ("backup_timestamp", "2025-07-31-14-02-01");

#[test]
fn a_backup_without_properties_takes_the_defaults() {
    let properties = BackupProperties::parse(&given(&[])).unwrap();
    assert_eq!(properties, BackupProperties::default());
    assert_eq!((properties.timeout.as_secs(), properties.max_file_size), (86_400, 67_108_864));
    assert_eq!(properties.compression, Compression::Balanced);
}

#[test]
fn a_backup_takes_what_is_given() {
    let properties = BackupProperties::parse(&given(&[
        ("type", "FULL"),
        ("timeout", "600"),
        ("content", "METADATA_ONLY"),
        ("compression", "best"),
        ("max_file_size", "128M"),
    ]));
    let expected = BackupProperties {
        backup_type: BackupType::Full,
        timeout: Duration::from_secs(600),
        content: Content::MetadataOnly,
        compression: Compression::Best,
        max_file_size: 128 << 20,
    };
    assert_eq!(properties, Ok(expected));
}

#[test]
fn a_file_size_is_bytes_or_has_a_suffix() {
    for (text, size) in [
        ("1048576", Some(1 << 20)),
        ("1024K", Some(1 << 20)),
        ("1 m", Some(1 << 20)),
        ("5G", Some(5 << 30)),
        ("1048575", None),
        ("6G", None),
        ("0", None),
        ("-1M", None),
        ("M", None),
        ("", None),
        ("64MB", None),
        ("99999999999999999999G", None),
        ("18014398509481984K", None),
    ] {
        let answer = BackupProperties::parse(&given(&[("max_file_size", text)]));
        match size {
            Some(size) => assert_eq!(answer.unwrap().max_file_size, size, "{text}"),
            None => assert_eq!(
                answer.unwrap_err().message,
                format!(
                    "Invalid property 'max_file_size': {text}; write bytes, or a number with K, M or G, from 1M to 5G"
                )
            ),
        }
    }
}

#[test]
fn a_backup_property_that_cannot_be_is_refused() {
    for (pairs, kind, message) in [
        (
            &[("zeta", "1"), ("timeout", "600"), ("alpha", "2")][..],
            Kind::InvalidArgument,
            "Unknown backup job properties: [alpha, zeta]; those that exist are type, timeout, content, compression, \
             max_file_size",
        ),
        (
            &[("type", "differential")],
            Kind::InvalidArgument,
            "Invalid property 'type': differential; write full or incremental",
        ),
        (
            &[("timeout", "599")],
            Kind::InvalidArgument,
            "timeout must be at least 10 min; 599 seconds were given, write 600 or more",
        ),
        (&[("timeout", "1h")], Kind::InvalidArgument, "Invalid property 'timeout': 1h; write a number of seconds"),
        (&[("content", "data")], Kind::InvalidArgument, "Invalid property 'content': data; write all or metadata_only"),
        (
            &[("compression", "9")],
            Kind::InvalidArgument,
            "Invalid property 'compression': 9; write fastest, balanced, best or none",
        ),
    ] {
        assert_eq!(BackupProperties::parse(&given(pairs)), Err(Failure::fatal(kind, message)));
    }
}

#[test]
fn a_restore_takes_what_is_given() {
    let least = RestoreProperties::parse(&given(&[STAMP])).unwrap();
    let expected = RestoreProperties {
        backup_timestamp: "2025-07-31-14-02-01".into(),
        replication_num: None,
        reserve_replica: false,
        reserve_dynamic_partition_enable: false,
        allow_load: false,
        timeout: Duration::from_secs(86_400),
        meta_version: None,
        clean_tables: false,
        clean_partitions: false,
        atomic_restore: false,
        force_replace: false,
    };
    assert_eq!(least, expected);
    let most = RestoreProperties::parse(&given(&[
        ("backup_timestamp", "2025-07-31-14-02-01-042"),
        ("replication_num", "2"),
        ("reserve_replica", "true"),
        ("reserve_dynamic_partition_enable", "TRUE"),
        ("allow_load", "true"),
        ("timeout", "3600"),
        ("meta_version", "1"),
        ("clean_tables", "true"),
        ("clean_partitions", "true"),
        ("atomic_restore", "true"),
        ("force_replace", "True"),
    ]));
    let expected = RestoreProperties {
        backup_timestamp: "2025-07-31-14-02-01-042".into(),
        replication_num: Some(2),
        reserve_replica: true,
        reserve_dynamic_partition_enable: true,
        allow_load: true,
        timeout: Duration::from_secs(3600),
        meta_version: Some(1),
        clean_tables: true,
        clean_partitions: true,
        atomic_restore: true,
        force_replace: true,
    };
    assert_eq!(most, Ok(expected));
}

#[test]
fn a_restore_property_that_cannot_be_is_refused() {
    let missing = "Missing backup_timestamp property; SHOW SNAPSHOT ON the repository lists the timestamps";
    for (pairs, message) in [
        (&[][..], missing),
        (&[("backup_timestamp", " ")], missing),
        (
            &[("backup_timestamp", "2025-07-31")],
            "Invalid property 'backup_timestamp': 2025-07-31; write yyyy-MM-dd-HH-mm-ss or yyyy-MM-dd-HH-mm-ss-SSS",
        ),
        (
            &[STAMP, ("replica_num", "1")],
            "Unknown restore job properties: [replica_num]; those that exist are backup_timestamp, replication_num, \
             reserve_replica, reserve_dynamic_partition_enable, allow_load, timeout, meta_version, clean_tables, \
             clean_partitions, atomic_restore, force_replace",
        ),
        (&[STAMP, ("allow_load", "yes")], "Invalid boolean property 'allow_load': yes; write true or false"),
        (
            &[STAMP, ("replication_num", "0")],
            "Invalid property 'replication_num': 0; write a number that is at least 1",
        ),
        (&[STAMP, ("timeout", "10")], "timeout must be at least 10 min; 10 seconds were given, write 600 or more"),
        (
            &[STAMP, ("force_replace", "true")],
            "force_replace replaces a whole table: set \"atomic_restore\" = \"true\" as well, or leave it out",
        ),
    ] {
        assert_eq!(RestoreProperties::parse(&given(pairs)), Err(invalid(message)));
    }
}

#[test]
fn a_format_that_this_program_cannot_read_is_refused() {
    let newer = FORMAT_VERSION + 1;
    let refused = RestoreProperties::parse(&given(&[STAMP, ("meta_version", &newer.to_string())])).unwrap_err();
    let message = format!("meta_version is {newer}, this program reads up to {FORMAT_VERSION}: use a newer one");
    assert_eq!(refused, Failure::fatal(Kind::Unsupported, message));
    for bad in ["0", "-1", "v1"] {
        let refused = RestoreProperties::parse(&given(&[STAMP, ("meta_version", bad)])).unwrap_err();
        assert_eq!(refused.kind, Kind::InvalidArgument, "{refused}");
    }
}
