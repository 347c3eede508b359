//! Opens the connections to AWS during Lambda's init phase, so that the first event finds them open (`docs/performance.md`).

use std::future::poll_fn;
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use aws_sdk_sagemaker::config::ConfigBag;
use aws_smithy_runtime_api::client::connection::CaptureSmithyConnection;
use aws_smithy_runtime_api::client::http::{HttpConnector as _, SharedHttpConnector};
use aws_smithy_runtime_api::client::interceptors::context::BeforeTransmitInterceptorContextRef;
use aws_smithy_runtime_api::client::interceptors::{Intercept, dyn_dispatch_hint};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use http_body_util::BodyExt;
use tokio::task::JoinSet;

use crate::aws::call::BoxError;

/// The longest that the first event waits for connections that are slow to open.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// Opens connections before the first call needs them. It is an interceptor: it stops a call before the call is signed, and opens a
/// connection to the call's endpoint. Only the client can resolve that endpoint.
#[derive(Clone, Debug)]
pub struct Preconnect {
    connector: SharedHttpConnector,
    opening: Arc<Mutex<JoinSet<()>>>,
}

impl Preconnect {
    pub(super) fn new(connector: SharedHttpConnector) -> Self {
        Self { connector, opening: Arc::default() }
    }

    /// Waits until the connections are open, at most a second. If one cannot be opened, the call that needs it reports that.
    pub(super) async fn opened(&self) {
        let opening = mem::take(&mut *self.opening.lock().unwrap_or_else(PoisonError::into_inner));
        let _ = tokio::time::timeout(LONGEST_WAIT, opening.join_all()).await;
    }
}

#[dyn_dispatch_hint]
impl Intercept for Preconnect {
    fn name(&self) -> &'static str {
        "Preconnect"
    }

    fn read_before_signing(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        // A request without an operation and a signature calls nothing.
        let probe = HttpRequest::get(context.request().uri())?;
        let opening = open(self.connector.clone(), probe);
        self.opening.lock().unwrap_or_else(PoisonError::into_inner).spawn(opening);
        Err("only the connection is opened".into())
    }
}

/// Returns as soon as the probe's connection is open, or cannot be opened.
async fn open(connector: SharedHttpConnector, mut probe: HttpRequest) {
    let connection = CaptureSmithyConnection::new();
    probe.add_extension(connection.clone());
    let mut answer = connector.call(probe);
    // The client records the connection in the poll that writes the probe to it.
    let answered = poll_fn(|context| match Pin::new(&mut answer).poll(context) {
        Poll::Pending if connection.get().is_none() => Poll::Pending,
        Poll::Pending => Poll::Ready(None),
        Poll::Ready(answered) => Poll::Ready(Some(answered)),
    });
    let answered = answered.await;
    // The answer must be read to its end before the connection can be used again.
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
