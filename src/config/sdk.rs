//! The variables of the AWS SDK and of Lambda that the function reads itself.
//!
//! `AWS_REGION` and `AWS_CA_BUNDLE` decide whose certificates are trusted. Others are read because the SDK panics if they are wrong.
//! The SDK itself reads Region, credentials and endpoints (<https://docs.aws.amazon.com/sdkref/latest/guide/settings-reference.html>).

use std::num::NonZeroU32;
use std::path::PathBuf;

use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use tracing_subscriber::filter::LevelFilter;

use crate::config::reader::Reader;

/// How the function logs, from Lambda's advanced logging controls
/// (<https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-advanced.html>).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Logging {
    /// The level of the router's own lines.
    pub level: LevelFilter,
    /// One JSON object a line, instead of text.
    pub json: bool,
}

impl Logging {
    /// Reads `AWS_LAMBDA_LOG_LEVEL` (`INFO` where unset or unknown: a log level must not keep the function from starting) and
    /// `AWS_LAMBDA_LOG_FORMAT` (`JSON` or text).
    #[must_use]
    pub fn from_env() -> Self {
        Self::from_lookup(|name| std::env::var(name).ok())
    }

    /// As [`Logging::from_env`], through `lookup`.
    #[must_use]
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Self {
        let level = match lookup("AWS_LAMBDA_LOG_LEVEL") {
            // Lambda has a level above ERROR; tracing has none.
            Some(level) if level.eq_ignore_ascii_case("FATAL") => LevelFilter::ERROR,
            Some(level) => level.parse().unwrap_or(LevelFilter::INFO),
            None => LevelFilter::INFO,
        };
        let json = lookup("AWS_LAMBDA_LOG_FORMAT").is_some_and(|f| f.eq_ignore_ascii_case("JSON"));
        Self { level, json }
    }
}

/// Settings of the AWS SDK.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SdkSettings {
    pub(crate) trust: Trust,
    pub(crate) retries: Retries,
}

/// How the SDK repeats calls, from `AWS_MAX_ATTEMPTS` and `AWS_RETRY_MODE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Retries {
    /// How many times a call is tried, including the first attempt. `None` is the SDK's default.
    pub(crate) max_attempts: Option<NonZeroU32>,
    /// The mode `adaptive`; else `standard`.
    pub(crate) is_adaptive: bool,
}

/// Which certificate authorities the connections to AWS trust.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trust {
    /// Amazon Trust Services, which certifies the endpoints of the partitions `aws` and `aws-us-gov`.
    Amazon,
    /// Those that the machine trusts.
    Machine,
    /// Those in a file in PEM format, which `AWS_CA_BUNDLE` names, as for the AWS CLI.
    Bundle(PathBuf),
}

/// The first words of the Regions of the partition `aws`: `us-east-1`, `eu-central-2`, …
/// (<https://github.com/boto/botocore/blob/develop/botocore/data/partitions.json>).
const AWS_REGIONS: [&str; 9] = ["us", "eu", "ap", "sa", "ca", "me", "af", "il", "mx"];

impl Trust {
    /// A partition that is not known to use Amazon's certificates takes the machine's, which work everywhere.
    fn of(bundle: Option<String>, region: &str) -> Self {
        if let Some(path) = bundle {
            return Self::Bundle(path.into());
        }
        match region.split('-').collect::<Vec<_>>()[..] {
            [area, _, _] if AWS_REGIONS.contains(&area) => Self::Amazon,
            ["us", "gov", _, _] => Self::Amazon,
            _ => Self::Machine,
        }
    }
}

impl SdkSettings {
    /// Reads the settings, and notes what is wrong with them.
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let max_attempts = reader.value("AWS_MAX_ATTEMPTS").and_then(|value| {
            let attempts = value.parse().ok();
            if attempts.is_none() {
                reader.fault(format!("AWS_MAX_ATTEMPTS is {value:?}: give a number from 1"));
            }
            attempts
        });
        let is_adaptive = match reader.value("AWS_RETRY_MODE") {
            Some(mode) if mode.eq_ignore_ascii_case("adaptive") => true,
            Some(mode) if !mode.eq_ignore_ascii_case("standard") => {
                reader.fault(format!("AWS_RETRY_MODE is {mode:?}: give standard or adaptive"));
                false
            }
            _ => false,
        };
        for name in [
            "AWS_ENDPOINT_URL",
            "AWS_ENDPOINT_URL_SAGEMAKER",
            "AWS_ENDPOINT_URL_CODEPIPELINE",
            "AWS_ENDPOINT_URL_EVENTBRIDGE",
            "AWS_ENDPOINT_URL_CLOUDWATCH",
        ] {
            if let Some(url) = reader.value(name).filter(|url| !is_endpoint(url)) {
                reader.fault(format!("{name} is {url:?}: give a URL such as http://127.0.0.1:4566"));
            }
        }
        let region = reader.value("AWS_REGION").unwrap_or_default();
        let trust = Trust::of(reader.value("AWS_CA_BUNDLE"), &region);
        Self { trust, retries: Retries { max_attempts, is_adaptive } }
    }
}

/// Whether the SDK can use the text as an endpoint.
fn is_endpoint(url: &str) -> bool {
    let host = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
    host.is_some_and(|host| !host.is_empty() && !host.starts_with(['/', ':', '?', '#']))
        && HttpRequest::get(url).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_partitions_that_are_known_to_use_amazons_certificates_trust_them() {
        for region in ["us-east-1", "eu-central-2", "ap-southeast-7", "mx-central-1", "us-gov-west-1"] {
            assert_eq!(Trust::of(None, region), Trust::Amazon, "{region}");
        }
        let others = [
            "cn-north-1",
            "us-iso-east-1",
            "us-isob-east-1",
            "eu-isoe-west-1",
            "us-isof-south-1",
            "eusc-de-east-1",
            "moon-base-1",
            "",
        ];
        for region in others {
            assert_eq!(Trust::of(None, region), Trust::Machine, "{region}");
        }
        let bundle = Some("/opt/bundle.pem".to_owned());
        assert_eq!(Trust::of(bundle, "us-east-1"), Trust::Bundle("/opt/bundle.pem".into()));
    }

    #[test]
    fn the_sdks_variables_on_which_it_would_panic_are_faults_and_empty_ones_are_unset() {
        let sdk = |variables: &[(&str, &str)]| {
            let lookup = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
            let mut reader = Reader::new(&lookup);
            let retries = SdkSettings::read(&mut reader).retries;
            if reader.faults.is_empty() { Ok(retries) } else { Err(reader.faults.join("; ")) }
        };
        let default = Retries { max_attempts: None, is_adaptive: false };
        assert_eq!(sdk(&[("AWS_MAX_ATTEMPTS", ""), ("AWS_RETRY_MODE", ""), ("AWS_ENDPOINT_URL", "")]), Ok(default));
        let set = Retries { max_attempts: NonZeroU32::new(5), is_adaptive: true };
        assert_eq!(sdk(&[("AWS_MAX_ATTEMPTS", "5"), ("AWS_RETRY_MODE", "Adaptive")]), Ok(set));
        assert_eq!(sdk(&[("AWS_ENDPOINT_URL_SAGEMAKER", "https://localhost:4566/path")]), Ok(default));
        for (name, value) in [
            ("AWS_MAX_ATTEMPTS", "0"),
            ("AWS_MAX_ATTEMPTS", "three"),
            ("AWS_RETRY_MODE", "legacy"),
            ("AWS_ENDPOINT_URL", "localhost:4566"),
            ("AWS_ENDPOINT_URL_EVENTBRIDGE", "http://"),
        ] {
            let message = sdk(&[(name, value)]).unwrap_err();
            assert!(message.contains(&format!("{name} is {value:?}")), "{message}");
        }
    }

    #[test]
    fn logging_follows_lambdas_variables() {
        let logging = |level: Option<&str>, format: Option<&str>| {
            Logging::from_lookup(|name| {
                let value = if name == "AWS_LAMBDA_LOG_LEVEL" { level } else { format };
                value.map(str::to_owned)
            })
        };
        let info = Logging { level: LevelFilter::INFO, json: false };
        assert_eq!(logging(None, None), info);
        assert_eq!(logging(Some("nonsense"), Some("Text")), info);
        assert_eq!(logging(Some("DEBUG"), Some("JSON")), Logging { level: LevelFilter::DEBUG, json: true });
        assert_eq!(logging(Some("FATAL"), None).level, LevelFilter::ERROR);
    }
}
