//! An HTTP client for the AWS SDK that calls a [`Simulator`]. It uses no socket. It works with any clock, such as
//! tokio's paused clock.

use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_async::time::TimeSource;
use aws_smithy_runtime_api::client::behavior_version::BehaviorVersion;
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use aws_types::SdkConfig;
use aws_types::region::Region;
use serde_json::Value;

use crate::fault::Symptom;
use crate::protocol::Request;
use crate::simulator::Simulator;

impl Simulator {
    /// An HTTP client for the AWS SDK. It calls only this simulator, for any endpoint.
    #[must_use]
    pub fn http_client(&self) -> SharedHttpClient {
        let connector = SharedHttpConnector::new(self.clone());
        http_client_fn(move |_, _| connector.clone())
    }

    /// An SDK configuration for clients of this simulator: its Region and clock, credentials that it accepts, and its HTTP
    /// client.
    #[must_use]
    pub fn sdk_config(&self) -> aws_types::sdk_config::Builder {
        let credentials = Credentials::new("simulator", "simulator", None, None, "simulator");
        SdkConfig::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new(self.world().region().to_owned()))
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .http_client(self.http_client())
            .time_source(self.clone())
    }

    /// Serves one request as [`World::serve`](crate::world::World::serve) does. Half of the latency passes before the request is
    /// applied, and half after. If there is no answer, this never returns.
    ///
    /// # Errors
    /// The [`Symptom`] that the caller sees if the service refuses the call or a fault is simulated; never [`Symptom::Silence`].
    pub async fn exchange(&self, target: &str, authorization: &str, body: &[u8]) -> Result<Value, Symptom> {
        self.pass_time().await;
        let answer = {
            let mut world = self.world();
            let answer = world.serve(target, authorization, body);
            world.record_permission();
            answer
        };
        self.pass_time().await;
        if answer == Err(Symptom::Silence) {
            std::future::pending::<()>().await;
        }
        answer
    }

    async fn pass_time(&self) {
        let latency = self.world().latency;
        if !latency.is_zero() {
            tokio::time::sleep(latency / 2).await;
        }
    }
}

impl TimeSource for Simulator {
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + self.world().client_time()
    }
}

impl HttpConnector for Simulator {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let simulator = self.clone();
        HttpConnectorFuture::new(async move {
            let request = read(&request);
            let answer = simulator.exchange(&request.target, &request.authorization, &request.body).await;
            respond(&request, answer)
        })
    }
}

/// A request of the AWS SDK's HTTP client.
#[must_use]
pub fn read(request: &HttpRequest) -> Request {
    let path =
        request.uri().split_once("://").map_or("", |(_, rest)| rest).split_once('/').map_or("", |(_, path)| path);
    let header = |name| request.headers().get(name).unwrap_or_default();
    Request::read(header, path, request.body().bytes().unwrap_or_default())
}

/// An answer in the form that the AWS SDK's HTTP client returns.
///
/// # Errors
/// [`ConnectorError`] if the connection was reset.
pub fn respond(request: &Request, answer: Result<Value, Symptom>) -> Result<HttpResponse, ConnectorError> {
    let (status, headers, body) =
        request.answer(answer).map_err(|_| ConnectorError::io("connection reset by peer".into()))?;
    let status = StatusCode::try_from(status).map_err(|error| ConnectorError::other(error.into(), None))?;
    let mut response = HttpResponse::new(status, SdkBody::from(body));
    for (name, value) in headers {
        response.headers_mut().insert(name, value);
    }
    Ok(response)
}
