#![allow(clippy::unwrap_used, clippy::panic)]
use super::*;

fn access(location: &str, properties: &[(&str, &str)]) -> StorageAccess {
    let mut access = StorageAccess::direct(location);
    access.properties = properties.iter().map(|(k, v)| ((*k).to_owned(), Secret::new(*v))).collect();
    access
}

fn settings(location: &str, properties: &[(&str, &str)]) -> S3Settings {
    match parse(&access(location, properties)).unwrap() {
        Target::S3(settings) => *settings,
        other => panic!("{other:?}"),
    }
}

fn refusal(location: &str, properties: &[(&str, &str)]) -> String {
    let failure = parse(&access(location, properties)).unwrap_err();
    assert_eq!(failure.kind, Kind::InvalidArgument);
    failure.message
}

#[test]
fn the_three_dialects_mean_the_same() {
    let doris = settings(
        "s3://b/p/",
        &[
            ("s3.endpoint", "http://h:9000/"),
            ("s3.region", "r"),
            ("s3.access_key", "a"),
            ("s3.secret_key", "s"),
            ("s3.session_token", "t"),
            ("use_path_style", "true"),
        ],
    );
    let legacy = settings(
        "s3a://b/p",
        &[
            ("AWS_ENDPOINT", "http://h:9000"),
            ("AWS_REGION", "r"),
            ("AWS_ACCESS_KEY", "a"),
            ("AWS_SECRET_KEY", "s"),
            ("AWS_TOKEN", "t"),
            ("use_path_style", "TRUE"),
        ],
    );
    let starrocks = settings(
        "s3://b/p",
        &[
            ("aws.s3.endpoint", "h:9000"),
            ("aws.s3.enable_ssl", "false"),
            ("aws.s3.region", "r"),
            ("aws.s3.access_key", "a"),
            ("aws.s3.secret_key", "s"),
            ("aws.s3.session_token", "t"),
            ("aws.s3.enable_path_style_access", "true"),
        ],
    );
    assert_eq!(doris, legacy);
    assert_eq!(doris, starrocks);
    assert_eq!(doris.endpoint.as_deref(), Some("http://h:9000"));
    assert!(!doris.virtual_host);
}

#[test]
fn an_endpoint_without_scheme_gets_https() {
    assert_eq!(settings("s3://b", &[("s3.endpoint", "host:1")]).endpoint.as_deref(), Some("https://host:1"));
}

#[test]
fn clouds_are_asked_by_virtual_host_and_everybody_else_by_path() {
    assert!(settings("s3://b", &[]).virtual_host);
    assert!(settings("s3://b", &[("s3.endpoint", "https://oss-cn-beijing.aliyuncs.com")]).virtual_host);
    assert!(!settings("s3://b", &[("s3.endpoint", "http://minio:9000")]).virtual_host);
    assert!(!settings("s3://b.c", &[]).virtual_host);
    assert!(settings("s3://b", &[("s3.endpoint", "http://m:1"), ("use_path_style", "false")]).virtual_host);
}

#[test]
fn an_endpoint_of_aws_names_the_region() {
    let of = |endpoint| settings("s3://b", &[("s3.endpoint", endpoint)]).region;
    assert_eq!(of("https://s3.eu-west-1.amazonaws.com").as_deref(), Some("eu-west-1"));
    assert_eq!(of("https://s3.amazonaws.com"), None);
    assert_eq!(of("http://127.0.0.1:9000"), None);
}

#[test]
fn unknown_properties_are_refused_all_at_once() {
    let said = refusal("s3://b", &[("s3.endpont", "x"), ("colour", "red"), ("s3.region", "r")]);
    assert!(said.starts_with("Unknown properties 'colour', 's3.endpont' for s3://: known are s3.endpoint, "), "{said}");
    let said = refusal("file:///d", &[("s3.region", "r")]);
    assert_eq!(said, "Unknown property 's3.region' for file://: it takes none");
}

#[test]
fn wrong_booleans_are_refused_by_name() {
    assert_eq!(refusal("s3://b", &[("use_path_style", "yes")]), "Invalid boolean property 'use_path_style': yes");
}

#[test]
fn contradictions_are_refused_without_showing_values() {
    for (properties, want) in [
        (vec![("s3.access_key", "SEEN1"), ("AWS_ACCESS_KEY", "SEEN2"), ("s3.secret_key", "SEEN3")], "contradict"),
        (vec![("s3.access_key", "SEEN1")], "without a secret key"),
        (vec![("s3.secret_key", "SEEN1")], "without an access key"),
        (vec![("s3.endpoint", "http://u:SEEN@h")], "endpoint"),
    ] {
        let said = refusal("s3://b", &properties);
        assert!(said.contains(want) && !said.contains("SEEN"), "{said}");
    }
}

#[test]
fn locations_that_mean_nothing_are_refused() {
    for (location, want) in [
        ("/backup", "no storage location"),
        ("file://backup", "not an absolute path"),
        ("file:///a/../b", "climbs up"),
        ("hdfs://nn/x", "not supported"),
        ("s3:///x", "names no bucket"),
        ("s3://b/a//c", "empty part"),
    ] {
        let said = refusal(location, &[]);
        assert!(said.contains(want), "{said}");
    }
}

#[test]
fn a_directory_loses_its_last_slash() {
    assert_eq!(parse(&access("file:///d/e/", &[])).unwrap(), Target::Local("/d/e".into()));
}
