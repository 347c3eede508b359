//! The SDK's configuration, as a Lambda needs it at its cold start: credentials from the environment, where Lambda puts them, and one
//! connector for all three clients, which trusts the few certification authorities that AWS's endpoints are certified by.
//!
//! The SDK's defaults would read every certificate of the machine, several times, and make clients of services that could give
//! credentials: most of the time before the function is ready (`docs/performance.md`).

use std::future::poll_fn;
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use aws_config::environment::{EnvironmentVariableCredentialsProvider, EnvironmentVariableRegionProvider};
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_sagemaker::config::ConfigBag;
use aws_smithy_http_client::Connector;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_runtime_api::client::connection::CaptureSmithyConnection;
use aws_smithy_runtime_api::client::http::{
    HttpConnector as _, HttpConnectorSettings, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::interceptors::context::BeforeTransmitInterceptorContextRef;
use aws_smithy_runtime_api::client::interceptors::{Intercept, dyn_dispatch_hint};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use http_body_util::BodyExt;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::task::JoinSet;

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

/// The configuration of the three clients, with region, endpoints and retries from the SDK's variables, and what opens the connections
/// that they share.
///
/// # Errors
/// [`AwsError`].
pub async fn config(trust: &Trust) -> Result<(SdkConfig, Opener), AwsError> {
    let connector = Connector::builder()
        .connector_settings(HttpConnectorSettings::builder().connect_timeout(CONNECT_TIMEOUT).build())
        // As the SDK's own: a company's proxy is named by HTTPS_PROXY and NO_PROXY.
        .proxy_config(ProxyConfig::from_env())
        .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
        .tls_context(tls_context(trust)?)
        .build();
    // One connector, and so one TLS configuration and one pool, whichever client asks.
    let connector = SharedHttpConnector::new(connector);
    let opener = Opener { connector: connector.clone(), opening: Arc::default() };
    let sdk = aws_config::defaults(BehaviorVersion::v2026_01_12())
        .region(EnvironmentVariableRegionProvider::new())
        .credentials_provider(EnvironmentVariableCredentialsProvider::new())
        .http_client(http_client_fn(move |_, _| connector.clone()))
        .timeout_config(timeouts())
        .load()
        .await;
    Ok((sdk, opener))
}

/// Opens the connections that calls are going to need. As an interceptor of a call, it stops the call before it is signed, and opens a
/// connection to where it would have gone: only the client knows its endpoint.
#[derive(Clone, Debug)]
pub struct Opener {
    connector: SharedHttpConnector,
    opening: Arc<Mutex<JoinSet<()>>>,
}

impl Opener {
    /// Waits until the connections are open, at most a second. One that cannot be opened is left to the call that needs it.
    pub async fn opened(&self) {
        let opening = mem::take(&mut *self.opening.lock().unwrap_or_else(PoisonError::into_inner));
        let _ = tokio::time::timeout(OPENING, opening.join_all()).await;
    }
}

#[dyn_dispatch_hint]
impl Intercept for Opener {
    fn name(&self) -> &'static str {
        "Opener"
    }

    fn read_before_signing(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        // Without an operation and a signature it is no call. The three services have one path, so it is the endpoint's.
        let greeting = HttpRequest::get(context.request().uri())?;
        let opening = open(self.connector.clone(), greeting);
        self.opening.lock().unwrap_or_else(PoisonError::into_inner).spawn(opening);
        Err("only a connection was to be opened".into())
    }
}

/// Returns as soon as the greeting's connection is open, or cannot be opened.
async fn open(connector: SharedHttpConnector, mut greeting: HttpRequest) {
    let connection = CaptureSmithyConnection::new();
    greeting.add_extension(connection.clone());
    let mut answer = connector.call(greeting);
    // The client notes the connection in the very poll that writes the greeting to it.
    let answered = poll_fn(|context| match Pin::new(&mut answer).poll(context) {
        Poll::Pending if connection.get().is_none() => Poll::Pending,
        Poll::Pending => Poll::Ready(None),
        Poll::Ready(answered) => Poll::Ready(Some(answered)),
    });
    let answered = answered.await;
    // The answer says nothing, but has to be read to its end before the connection can be used again.
    tokio::spawn(async move {
        let answer = match answered {
            Some(answered) => answered,
            None => answer.await,
        };
        if let Ok(answer) = answer {
            let _ = answer.into_body().collect().await;
        }
    });
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
