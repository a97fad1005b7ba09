//! Locations and properties as users write them, understood or refused before anything is contacted.

use std::path::PathBuf;

use tabvault_common::access::StorageAccess;
use tabvault_common::failure::{Failure, Kind};
use tabvault_common::secret::Secret;

use crate::path::check_object;
use crate::storage::Result;

/// What a location means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// `file:///dir`.
    Local(PathBuf),
    /// `s3://bucket/prefix` with its settings.
    S3(Box<S3Settings>),
    /// `memory://name`: shared by that name within this process.
    Memory(String),
}

/// How to reach a bucket. `None` means: from the environment, or else the default of the SDKs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct S3Settings {
    pub(crate) bucket: String,
    /// Without slashes around it; may be empty.
    pub(crate) prefix: String,
    /// With its scheme and without a slash at the end.
    pub(crate) endpoint: Option<String>,
    pub(crate) region: Option<String>,
    /// Access key and secret key; none: the default chain (environment, profile, instance).
    pub(crate) keys: Option<(Secret, Secret)>,
    pub(crate) token: Option<Secret>,
    pub(crate) role_arn: Option<String>,
    pub(crate) external_id: Option<String>,
    /// `https://bucket.host/` instead of `https://host/bucket/`.
    pub(crate) virtual_host: bool,
}

/// A setting of S3, whatever it is called by whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Setting {
    Endpoint,
    Region,
    AccessKey,
    SecretKey,
    Token,
    PathStyle,
    Ssl,
    InstanceProfile,
    SdkDefault,
    RoleArn,
    ExternalId,
}

/// Every spelling, in the order in which they are told to the user: Doris, Doris of old, StarRocks.
const S3_NAMES: [(&str, Setting); 29] = [
    ("s3.endpoint", Setting::Endpoint),
    ("s3.region", Setting::Region),
    ("s3.access_key", Setting::AccessKey),
    ("s3.secret_key", Setting::SecretKey),
    ("s3.session_token", Setting::Token),
    ("s3.role_arn", Setting::RoleArn),
    ("s3.external_id", Setting::ExternalId),
    ("use_path_style", Setting::PathStyle),
    ("s3.path-style-access", Setting::PathStyle),
    ("s3.use_path_style", Setting::PathStyle),
    ("AWS_ENDPOINT", Setting::Endpoint),
    ("AWS_REGION", Setting::Region),
    ("AWS_ACCESS_KEY", Setting::AccessKey),
    ("AWS_SECRET_KEY", Setting::SecretKey),
    ("AWS_TOKEN", Setting::Token),
    ("AWS_ROLE_ARN", Setting::RoleArn),
    ("AWS_EXTERNAL_ID", Setting::ExternalId),
    ("aws.s3.endpoint", Setting::Endpoint),
    ("aws.s3.region", Setting::Region),
    ("aws.s3.access_key", Setting::AccessKey),
    ("aws.s3.secret_key", Setting::SecretKey),
    ("aws.s3.session_token", Setting::Token),
    ("aws.s3.enable_path_style_access", Setting::PathStyle),
    ("aws.s3.enable_ssl", Setting::Ssl),
    ("aws.s3.use_instance_profile", Setting::InstanceProfile),
    ("aws.s3.use_aws_sdk_default_behavior", Setting::SdkDefault),
    ("aws.s3.iam_role_arn", Setting::RoleArn),
    ("aws.s3.external_id", Setting::ExternalId),
    ("use_instance_profile", Setting::InstanceProfile),
];

/// Hosts that expect the bucket in front of the host name, some of them exclusively. Everybody else (MinIO, Ceph, an
/// address) is asked with the bucket in the path unless the properties say otherwise.
const VIRTUAL_HOSTED: [&str; 7] = [
    "amazonaws.com",
    "amazonaws.com.cn",
    "aliyuncs.com",
    "myqcloud.com",
    "myhuaweicloud.com",
    "volces.com",
    "bcebos.com",
];

/// Understands `access`, without contacting anything.
///
/// # Errors
/// `Kind::InvalidArgument` naming what is wrong: every unknown property at once, or the first contradiction.
pub(crate) fn parse(access: &StorageAccess) -> Result<Target> {
    let location = access.location.trim();
    let Some((scheme, rest)) = location.split_once("://") else {
        return Err(invalid(format!("'{location}' is no storage location: write file:///dir or s3://bucket/prefix")));
    };
    match scheme.to_ascii_lowercase().as_str() {
        "file" => local(access, rest),
        "s3" | "s3a" | "s3n" => s3(access, rest),
        "memory" => {
            known(access, "memory://", |_| false)?;
            Ok(Target::Memory(rest.to_owned()))
        }
        _ => Err(invalid(format!("storage '{scheme}://' is not supported: write file:///dir or s3://bucket/prefix"))),
    }
}

fn local(access: &StorageAccess, rest: &str) -> Result<Target> {
    known(access, "file://", |_| false)?;
    if !rest.starts_with('/') {
        return Err(invalid(format!("'file://{rest}' is not an absolute path: write file:///dir")));
    }
    if rest.split('/').any(|part| part == "..") {
        return Err(invalid(format!("'file://{rest}' climbs up with '..': write the path without it")));
    }
    let trimmed = rest.trim_end_matches('/');
    Ok(Target::Local(PathBuf::from(if trimmed.is_empty() { "/" } else { trimmed })))
}

fn s3(access: &StorageAccess, rest: &str) -> Result<Target> {
    known(access, "s3://", |name| setting(name).is_some())?;
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let prefix = prefix.trim_end_matches('/');
    if bucket.is_empty() || bucket.contains(['@', ':', '?', '#']) {
        return Err(invalid(format!("'s3://{bucket}' names no bucket: write s3://bucket/prefix")));
    }
    if !prefix.is_empty() {
        check_object(prefix).map_err(|failure| failure.context(format!("location 's3://{rest}'")))?;
    }

    let ssl = boolean(access, Setting::Ssl)?.unwrap_or(true);
    let endpoint = text(access, Setting::Endpoint)?.map(|given| endpoint(&given, ssl)).transpose()?;
    let instance = boolean(access, Setting::InstanceProfile)?.unwrap_or(false)
        || boolean(access, Setting::SdkDefault)?.unwrap_or(false);
    let keys = match (value(access, Setting::AccessKey)?, value(access, Setting::SecretKey)?) {
        (Some(_), Some(_)) if instance => {
            return Err(invalid("the properties give an access key and ask for the instance's own: leave one out"));
        }
        (Some(access_key), Some(secret_key)) => Some((access_key.clone(), secret_key.clone())),
        (None, None) => None,
        (Some(_), None) => return Err(invalid("the properties give an access key without a secret key")),
        (None, Some(_)) => return Err(invalid("the properties give a secret key without an access key")),
    };
    let virtual_host = match boolean(access, Setting::PathStyle)? {
        Some(path_style) => !path_style,
        None => !bucket.contains('.') && endpoint.as_deref().is_none_or(prefers_virtual_host),
    };
    if virtual_host && bucket.contains('.') {
        return Err(invalid(format!(
            "bucket '{bucket}' has a dot, so it cannot be part of a host name: set \"use_path_style\" = \"true\""
        )));
    }
    let region = match text(access, Setting::Region)? {
        Some(region) => Some(region),
        None => endpoint.as_deref().and_then(region_of).map(str::to_owned),
    };
    Ok(Target::S3(Box::new(S3Settings {
        bucket: bucket.to_owned(),
        prefix: prefix.to_owned(),
        endpoint,
        region,
        keys,
        token: value(access, Setting::Token)?.cloned(),
        role_arn: text(access, Setting::RoleArn)?,
        external_id: text(access, Setting::ExternalId)?,
        virtual_host,
    })))
}

/// Refuses all unknown properties in one sentence.
fn known(access: &StorageAccess, scheme: &str, knows: impl Fn(&str) -> bool) -> Result<()> {
    let unknown: Vec<_> =
        access.properties.keys().filter(|name| !knows(name)).map(|name| format!("'{name}'")).collect();
    if unknown.is_empty() {
        return Ok(());
    }
    let known = if scheme == "s3://" {
        format!("known are {}", S3_NAMES.map(|(name, _)| name).join(", "))
    } else {
        "it takes none".to_owned()
    };
    let noun = if unknown.len() == 1 { "property" } else { "properties" };
    Err(invalid(format!("Unknown {noun} {} for {scheme}: {known}", unknown.join(", "))))
}

fn setting(name: &str) -> Option<Setting> {
    S3_NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, setting)| *setting)
}

/// The value of `wanted`, refusing two spellings that contradict each other. An empty value counts as not given.
fn value(access: &StorageAccess, wanted: Setting) -> Result<Option<&Secret>> {
    let mut found: Option<(&str, &Secret)> = None;
    for (name, value) in &access.properties {
        if setting(name) != Some(wanted) || value.expose().trim().is_empty() {
            continue;
        }
        match found {
            Some((other, before)) if before != value => {
                return Err(invalid(format!("properties '{other}' and '{name}' contradict each other")));
            }
            Some(_) | None => found = Some((name, value)),
        }
    }
    Ok(found.map(|(_, value)| value))
}

fn text(access: &StorageAccess, wanted: Setting) -> Result<Option<String>> {
    Ok(value(access, wanted)?.map(|value| value.expose().trim().to_owned()))
}

fn boolean(access: &StorageAccess, wanted: Setting) -> Result<Option<bool>> {
    for (name, value) in &access.properties {
        let said = value.expose().trim();
        if setting(name) == Some(wanted) && !["true", "false"].iter().any(|known| known.eq_ignore_ascii_case(said)) {
            return Err(invalid(format!("Invalid boolean property '{name}': {said}")));
        }
    }
    Ok(value(access, wanted)?.map(|value| value.expose().trim().eq_ignore_ascii_case("true")))
}

fn endpoint(given: &str, ssl: bool) -> Result<String> {
    let whole = if given.contains("://") {
        given.to_owned()
    } else {
        format!("{}://{given}", if ssl { "https" } else { "http" })
    };
    let whole = whole.trim_end_matches('/');
    let Some((scheme, host)) = whole.split_once("://") else { return Err(invalid("the endpoint is empty")) };
    // Keys belong into properties, where they are kept secret; an endpoint is shown.
    if !matches!(scheme, "http" | "https")
        || host.is_empty()
        || host.contains('@')
        || host.contains(char::is_whitespace)
    {
        return Err(invalid("the endpoint is no http:// or https:// address such as https://host:port"));
    }
    Ok(whole.to_owned())
}

fn host(endpoint: &str) -> &str {
    let rest = endpoint.split_once("://").map_or(endpoint, |(_, rest)| rest);
    rest.split(['/', ':']).next().unwrap_or(rest)
}

fn prefers_virtual_host(endpoint: &str) -> bool {
    let host = host(endpoint);
    VIRTUAL_HOSTED.iter().any(|suffix| host == *suffix || host.strip_suffix(suffix).is_some_and(|h| h.ends_with('.')))
}

/// The region that an endpoint of AWS names.
fn region_of(endpoint: &str) -> Option<&str> {
    let host = host(endpoint);
    let host = host.strip_suffix(".amazonaws.com.cn").or_else(|| host.strip_suffix(".amazonaws.com"))?;
    let region = host.rsplit('.').next()?;
    (region.contains('-') && !region.starts_with("s3-")).then_some(region)
}

fn invalid(message: impl Into<String>) -> Failure {
    Failure::fatal(Kind::InvalidArgument, message)
}

#[cfg(test)]
mod tests;
