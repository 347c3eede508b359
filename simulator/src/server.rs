//! A [`Simulator`] on a port, for `AWS_ENDPOINT_URL`.
//!
//! Besides the services' protocols, it serves two paths of its own. `GET /simulator/state` shows guards, executions and alarms.
//! `POST /simulator/event` sets the state that an event reports, for example the end of an execution. Nothing else here does so.

use std::io;

use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::rt::{Read, Write};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::protocol;
use crate::simulator::Simulator;

/// Serves until the task is dropped.
///
/// # Errors
/// The I/O error if a connection cannot be accepted.
pub async fn serve(simulator: Simulator, listener: TcpListener) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        let simulator = simulator.clone();
        tokio::spawn(async move { serve_connection(&simulator, TokioIo::new(stream)).await });
    }
}

/// Serves one connection until it ends.
pub async fn serve_connection<I: Read + Write + Unpin>(simulator: &Simulator, connection: I) {
    let service = service_fn(|request| answer(simulator, request));
    // The error is ignored: the client has to handle a broken connection, and a simulated reset ends here too.
    let _ = http1::Builder::new().serve_connection(connection, service).await;
}

/// Answers one request.
///
/// # Errors
/// The error that makes hyper drop the connection: the request's body cannot be read, or a reset is simulated.
pub async fn answer(simulator: &Simulator, request: Request<Incoming>) -> io::Result<Response<Full<Bytes>>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    match (&head.method, head.uri.path()) {
        (&Method::GET, "/simulator/state") => Ok(respond(200, &simulator.world().state())),
        (&Method::POST, "/simulator/event") => Ok(match serde_json::from_slice(&body) {
            Ok(event) => {
                let mut world = simulator.world();
                world.force_state(&event);
                respond(200, &world.state())
            }
            Err(error) => respond(400, &json!({ "message": format!("not a JSON event: {error}") })),
        }),
        (&Method::POST, _) => {
            let header = |name| head.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default();
            let called = protocol::Request::read(header, head.uri.path(), &body);
            let answer = simulator.exchange(&called.target, &called.authorization, &called.body).await;
            let (status, headers, body) =
                called.answer(answer).map_err(|_| io::Error::new(io::ErrorKind::ConnectionReset, "simulated"))?;
            let mut response = Response::new(Full::new(Bytes::from(body)));
            *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            for (name, value) in headers {
                response.headers_mut().insert(name, HeaderValue::from_static(value));
            }
            Ok(response)
        }
        _ => Ok(respond(404, &json!({ "message": "AWS's calls are POST requests" }))),
    }
}

fn respond(status: u16, body: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response
}
