//! The SDK's configuration for a quick cold start. Credentials come from the environment, where Lambda puts them. All clients share
//! one connector, which trusts only the certificate authorities of AWS's endpoints, unless a variable names others.
//!
//! The SDK's defaults would read every certificate of the machine several times, and make clients of services that could provide
//! credentials. That takes most of the time until the function is ready (`docs/performance.md`).

use std::time::Duration;

use aws_config::environment::{EnvironmentVariableCredentialsProvider, EnvironmentVariableRegionProvider};
use aws_config::retry::{RetryConfig, RetryMode};
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_smithy_http_client::Connector;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_runtime_api::client::http::{HttpConnectorSettings, SharedHttpConnector, http_client_fn};
use aws_types::service_config::{LoadServiceConfig, ServiceConfigKey};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::aws::call::BoxError;
use crate::aws::preconnect::Preconnect;
use crate::config::sdk::{Retries, SdkSettings, Trust};

/// The root certificates of Amazon Trust Services, which certifies the endpoints of the partitions `aws` and `aws-us-gov`:
/// <https://www.amazontrust.com/repository/>. They expire from 2037 on.
const AMAZON_ROOTS: &[u8] = include_bytes!("amazon-roots.pem");

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// The time limits of a call: 2 seconds to connect, 5 seconds an attempt, 20 seconds with retries. So a call that hangs cannot use
/// up the invocation.
#[must_use]
pub fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .operation_attempt_timeout(Duration::from_secs(5))
        .operation_timeout(Duration::from_secs(20))
        .build()
}

/// The clients cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The certificates that `AWS_CA_BUNDLE` names cannot be used.
    #[error("AWS_CA_BUNDLE names {path}, which cannot be used: give a file of certificates in PEM format, or unset it")]
    Bundle {
        /// The file.
        path: String,
        /// What is wrong with it.
        #[source]
        source: BoxError,
    },
    /// TLS cannot be set up.
    #[error("TLS cannot be set up")]
    Tls(#[source] BoxError),
}

/// The configuration of the clients, and the interceptor that opens their shared connections. Region and endpoints come from the
/// SDK's variables (<https://docs.aws.amazon.com/sdkref/latest/guide/settings-reference.html>).
///
/// # Errors
/// [`ClientError`] if the file that `AWS_CA_BUNDLE` names cannot be used, or if TLS cannot be set up.
pub async fn sdk_config(settings: &SdkSettings) -> Result<(SdkConfig, Preconnect), ClientError> {
    let connector = Connector::builder()
        .connector_settings(HttpConnectorSettings::builder().connect_timeout(CONNECT_TIMEOUT).build())
        // As in the SDK's own connector: HTTPS_PROXY and NO_PROXY name a company's proxy.
        .proxy_config(ProxyConfig::from_env())
        .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
        .tls_context(tls_context(&settings.trust)?)
        .build();
    // One connector, and so one TLS configuration and one pool for all clients.
    let connector = SharedHttpConnector::new(connector);
    let preconnect = Preconnect::new(connector.clone());
    let Retries { max_attempts, is_adaptive } = settings.retries;
    let mode = if is_adaptive { RetryMode::Adaptive } else { RetryMode::Standard };
    // Set here, as the SDK panics on values that it cannot read.
    let mut retries = RetryConfig::standard().with_retry_mode(mode);
    if let Some(max_attempts) = max_attempts {
        retries = retries.with_max_attempts(max_attempts.get());
    }
    let sdk = aws_config::defaults(BehaviorVersion::v2026_01_12())
        .region(EnvironmentVariableRegionProvider::new())
        .credentials_provider(EnvironmentVariableCredentialsProvider::new())
        .http_client(http_client_fn(move |_, _| connector.clone()))
        .retry_config(retries)
        .timeout_config(timeouts())
        .load()
        .await;
    let endpoints = NonEmpty(sdk.clone());
    Ok((sdk.into_builder().service_config(endpoints).build(), preconnect))
}

/// The services' own settings. The SDK takes an empty variable, such as `AWS_ENDPOINT_URL_SAGEMAKER=`, for an endpoint. Here an
/// empty variable counts as unset.
#[derive(Debug)]
struct NonEmpty(SdkConfig);

impl LoadServiceConfig for NonEmpty {
    fn load_config(&self, key: ServiceConfigKey<'_>) -> Option<String> {
        self.0.service_config()?.load_config(key).filter(|value| !value.is_empty())
    }
}

fn tls_context(trust: &Trust) -> Result<TlsContext, ClientError> {
    let store = match trust {
        Trust::Amazon => TrustStore::empty().with_pem_certificate(AMAZON_ROOTS),
        Trust::Machine => TrustStore::default(),
        Trust::Bundle(path) => {
            let bundle = |source: BoxError| ClientError::Bundle { path: path.display().to_string(), source };
            let pem = std::fs::read(path).map_err(|error| bundle(error.into()))?;
            verify_certificates(&pem).map_err(bundle)?;
            TrustStore::empty().with_pem_certificate(pem)
        }
    };
    TlsContext::builder().with_trust_store(store).build().map_err(|error| ClientError::Tls(error.into()))
}

/// An error if a certificate cannot be used, as the connector panics on bad ones.
fn verify_certificates(pem: &[u8]) -> Result<(), BoxError> {
    let mut store = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        store.add(certificate?)?;
    }
    if store.is_empty() { Err("it holds no certificate".into()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amazons_roots_are_those_that_mozilla_trusts() {
        let ours: Vec<_> = CertificateDer::pem_slice_iter(AMAZON_ROOTS).collect::<Result<_, _>>().unwrap();
        assert_eq!(ours.len(), 5);
        for root in ours {
            assert!(webpki_root_certs::TLS_SERVER_ROOT_CERTS.contains(&root));
        }
        verify_certificates(AMAZON_ROOTS).unwrap();
    }

    #[test]
    fn a_bundle_that_cannot_be_used_is_an_error_that_says_so() {
        let error = tls_context(&Trust::Bundle("/no/such/bundle.pem".into())).unwrap_err();
        assert!(error.to_string().starts_with("AWS_CA_BUNDLE names /no/such/bundle.pem"), "{error}");
        let truncated = &AMAZON_ROOTS[..1000];
        let no_certificate = b"-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
        for bad in [&b"not PEM"[..], b"", truncated, no_certificate] {
            assert!(verify_certificates(bad).is_err(), "{}", String::from_utf8_lossy(bad));
        }
    }
}
