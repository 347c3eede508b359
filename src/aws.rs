//! The SDK's configuration, as a Lambda needs it at its cold start: credentials from the environment, where Lambda puts them, and one
//! connector for all three clients, which trusts the few certification authorities that AWS's endpoints are certified by.
//!
//! The SDK's defaults would read every certificate of the machine, several times, and make clients of services that could give
//! credentials: most of the time before the function is ready (`docs/performance.md`).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aws_config::environment::EnvironmentVariableCredentialsProvider;
use aws_config::environment::EnvironmentVariableRegionProvider;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_smithy_http_client::Connector;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_runtime_api::client::connection::CaptureSmithyConnection;
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::result::ConnectorError;
use http_body_util::BodyExt;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::BoxError;
use crate::config::Trust;

/// The roots of Amazon Trust Services, which the endpoints of the partitions `aws` and `aws-us-gov` are certified by:
/// <https://www.amazontrust.com/repository/>. They expire from 2037 on.
const AMAZON_ROOTS: &[u8] = include_bytes!("amazon-roots.pem");

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// How long the first event may be kept waiting for connections that are slow to open.
const OPENING: Duration = Duration::from_secs(1);

/// How long a call may take, so that one that hangs cannot eat the invocation: 2 seconds to connect, 5 an attempt, 20 with
/// retries.
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
pub enum AwsError {
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

/// The configuration of the three clients, with region, endpoints and retries from the SDK's variables, and the connections that they
/// share.
///
/// # Errors
/// [`AwsError`].
pub async fn config(trust: &Trust) -> Result<(SdkConfig, Connections), AwsError> {
    let connector = Connector::builder()
        .connector_settings(HttpConnectorSettings::builder().connect_timeout(CONNECT_TIMEOUT).build())
        .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
        .tls_context(tls_context(trust)?)
        .build();
    let connections = Connections { connector: SharedHttpConnector::new(connector), opening: Arc::default() };
    // One connector, and so one TLS configuration and one pool, whichever client asks.
    let connector = SharedHttpConnector::new(connections.clone());
    let sdk = aws_config::defaults(BehaviorVersion::v2026_01_12())
        .region(EnvironmentVariableRegionProvider::new())
        .credentials_provider(EnvironmentVariableCredentialsProvider::new())
        .http_client(http_client_fn(move |_, _| connector.clone()))
        .timeout_config(timeouts())
        .load()
        .await;
    Ok((sdk, connections))
}

/// The connections to AWS, which can be opened before the first call needs them.
#[derive(Clone, Debug)]
pub struct Connections {
    connector: SharedHttpConnector,
    opening: Arc<AtomicBool>,
}

impl Connections {
    /// Opens a connection for every call that `calls` makes, and makes none of them: each fails as soon as its connection is open. Lambda
    /// gives the init phase a whole processor, so TLS handshakes are made there, and the first event finds them made. A
    /// connection that cannot be opened is left to the call that needs it.
    pub async fn open<T>(&self, calls: impl Future<Output = T>) {
        self.opening.store(true, Ordering::Relaxed);
        let _ = tokio::time::timeout(OPENING, calls).await;
        self.opening.store(false, Ordering::Relaxed);
    }
}

impl HttpConnector for Connections {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        if !self.opening.load(Ordering::Relaxed) {
            return self.connector.call(request);
        }
        // The three services have one path, so this is the endpoint; without a signature and an operation it is no call.
        let mut greeting = match HttpRequest::get(request.uri()) {
            Ok(greeting) => greeting,
            Err(error) => return HttpConnectorFuture::ready(Err(ConnectorError::user(error.into()))),
        };
        let connection = CaptureSmithyConnection::new();
        greeting.add_extension(connection.clone());
        let answer = self.connector.call(greeting);
        HttpConnectorFuture::new(async move {
            // The answer says nothing, but has to be read to its end before the connection can be used again.
            let reading = tokio::spawn(async {
                if let Ok(answer) = answer.await {
                    let _ = answer.into_body().collect().await;
                }
            });
            while connection.get().is_none() && !reading.is_finished() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            Err(ConnectorError::user("only a connection was to be opened".into()))
        })
    }
}

fn tls_context(trust: &Trust) -> Result<TlsContext, AwsError> {
    let store = match trust {
        Trust::Amazon => TrustStore::empty().with_pem_certificate(AMAZON_ROOTS),
        Trust::Machine => TrustStore::default(),
        Trust::Bundle(path) => {
            let bundle = |source: BoxError| AwsError::Bundle { path: path.display().to_string(), source };
            let pem = std::fs::read(path).map_err(|error| bundle(error.into()))?;
            check(&pem).map_err(bundle)?;
            TrustStore::empty().with_pem_certificate(pem)
        }
    };
    TlsContext::builder().with_trust_store(store).build().map_err(|error| AwsError::Tls(error.into()))
}

/// The connector takes only certificates that are good, and panics otherwise.
fn check(pem: &[u8]) -> Result<(), BoxError> {
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
        check(AMAZON_ROOTS).unwrap();
    }

    #[test]
    fn a_bundle_that_cannot_be_used_is_an_error_that_says_so() {
        let error = tls_context(&Trust::Bundle("/no/such/bundle.pem".into())).unwrap_err();
        assert!(error.to_string().starts_with("AWS_CA_BUNDLE names /no/such/bundle.pem"), "{error}");
        let truncated = &AMAZON_ROOTS[..1000];
        let no_certificate = b"-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
        for bad in [&b"not PEM"[..], b"", truncated, no_certificate] {
            assert!(check(bad).is_err(), "{}", String::from_utf8_lossy(bad));
        }
    }
}
