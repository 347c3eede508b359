//! A Lambda Runtime API over HTTP: what a function asks for its events and gives its answers to.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::{Mutex, mpsc};

/// What the function answered: the last word of the path it answered on (`response` or `error`), and the body.
pub type Answer = (String, Value);

/// What the function does.
enum Step {
    /// It asks for an event.
    Asks(Instant),
    /// It answers one.
    Answers(Instant, Answer),
}

/// One function's Runtime API.
pub struct RuntimeApi {
    pub address: String,
    events: mpsc::UnboundedSender<Bytes>,
    steps: mpsc::UnboundedReceiver<Step>,
}

impl RuntimeApi {
    pub async fn start(function_arn: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (events, next) = mpsc::unbounded_channel();
        let (step, steps) = mpsc::unbounded_channel();
        tokio::spawn(serve(listener, Arc::new(Mutex::new(next)), step, function_arn));
        Self { address, events, steps }
    }

    /// Gives the function an event, which waits until it is asked for.
    pub fn send(&self, payload: impl Into<Bytes>) {
        self.events.send(payload.into()).unwrap();
    }

    /// Gives the function an event, and waits for its answer.
    pub async fn invoke(&mut self, payload: impl Into<Bytes>) -> Answer {
        self.send(payload);
        self.answered().await.1
    }

    /// When the function next asks for an event.
    pub async fn asked(&mut self) -> Instant {
        loop {
            if let Step::Asks(at) = self.step().await {
                return at;
            }
        }
    }

    /// When the function next answers, and what.
    pub async fn answered(&mut self) -> (Instant, Answer) {
        loop {
            if let Step::Answers(at, answer) = self.step().await {
                return (at, answer);
            }
        }
    }

    async fn step(&mut self) -> Step {
        let step = tokio::time::timeout(Duration::from_mins(1), self.steps.recv()).await;
        step.expect("the function does something within a minute").unwrap()
    }
}

async fn serve(
    listener: TcpListener,
    events: Arc<Mutex<mpsc::UnboundedReceiver<Bytes>>>,
    step: mpsc::UnboundedSender<Step>,
    function_arn: String,
) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let (events, step, function_arn) = (events.clone(), step.clone(), function_arn.clone());
        tokio::spawn(async move {
            let service = service_fn(|request| answer(request, &events, &step, &function_arn));
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    events: &Mutex<mpsc::UnboundedReceiver<Bytes>>,
    step: &mpsc::UnboundedSender<Step>,
    function_arn: &str,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path().to_owned();
    if request.method() == Method::GET {
        assert_eq!(path, "/2018-06-01/runtime/invocation/next");
        let _ = step.send(Step::Asks(Instant::now()));
        // Without an event, Lambda keeps the function waiting.
        let Some(event) = events.lock().await.recv().await else { std::future::pending().await };
        let response = Response::builder()
            .header("lambda-runtime-aws-request-id", "8476a536-e9f4-11e8-9739-2dfe598c3fcd")
            .header("lambda-runtime-deadline-ms", "4102444800000")
            .header("lambda-runtime-invoked-function-arn", function_arn)
            .body(Full::new(event));
        return Ok(response.unwrap());
    }
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let kind = path.rsplit('/').next().unwrap().to_owned();
    let _ = step.send(Step::Answers(Instant::now(), (kind, serde_json::from_slice(&body).unwrap())));
    let accepted = Response::builder().status(202).body(Full::new(Bytes::from("{\"status\":\"OK\"}")));
    Ok(accepted.unwrap())
}
