//! The requests on the socket.

use std::convert::Infallible;
use std::io;
use std::time::Duration;

use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::clock::{Ask, Asks};
use crate::request::{self, Asked, LONGEST_BODY, Refused};
use crate::world::Refusal;

/// The header fields of every answer. The router's page has its style in it, so inline styles are allowed; scripts are not.
const SECURITY: [(&str, &str); 5] = [
    (
        "content-security-policy",
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src data:; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-resource-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
];

const JSON: &str = "application/json";

/// Serves until the task is dropped.
///
/// # Errors
/// The I/O error if the listener has no address.
pub(crate) async fn serve(listener: TcpListener, world: Asks) -> io::Result<()> {
    let port = listener.local_addr()?.port();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // The process has too many open files, for example. The connections that wait are accepted later.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let world = world.clone();
        tokio::spawn(async move {
            let service = service_fn(|request| answer(request, port, &world));
            // The error is ignored: the browser has gone, or sent no HTTP.
            let mut builder = http1::Builder::new();
            builder.timer(TokioTimer::new()).header_read_timeout(Duration::from_secs(10));
            let _ = builder.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(request: Request<Incoming>, port: u16, world: &Asks) -> Result<Response<Full<Bytes>>, Infallible> {
    let asked = ask(request, port).await;
    let mut response = match asked {
        Ok(Asked::File(file)) => respond(StatusCode::OK, file.media_type, file.text.to_owned()),
        Ok(Asked::World(ask)) => answer_of_world(ask, world).await,
        Err(Refused { status, sentence, allow }) => {
            let mut response = respond(status, JSON, said(&sentence));
            if let Some(method) = allow {
                response.headers_mut().insert(ALLOW, HeaderValue::from_static(method));
            }
            response
        }
    };
    for (name, value) in SECURITY {
        response.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// Reads a request. The body is read only if the request is from here.
async fn ask(request: Request<Incoming>, port: u16) -> Result<Asked, Refused> {
    let (head, body) = request.into_parts();
    request::is_from_here(&head, port)?;
    let body = Limited::new(body, LONGEST_BODY).collect().await.map_err(|error| {
        let (status, sentence) = match error.is::<LengthLimitError>() {
            true => (StatusCode::PAYLOAD_TOO_LARGE, "The body has more than 64 KB."),
            false => (StatusCode::BAD_REQUEST, "The body cannot be read."),
        };
        Refused { status, sentence: sentence.to_owned(), allow: None }
    })?;
    request::read(&head, &body.to_bytes())
}

async fn answer_of_world(ask: Ask, world: &Asks) -> Response<Full<Bytes>> {
    let is_control = matches!(ask, Ask::Control(..));
    match world.answer(ask).await {
        Ok(Value::String(text)) if is_control => respond(StatusCode::OK, JSON, said(&text)),
        Ok(Value::String(html)) => respond(StatusCode::OK, "text/html; charset=utf-8", html),
        Ok(answer) => respond(StatusCode::OK, JSON, answer.to_string()),
        Err(Refusal::Wrong(sentence)) => respond(StatusCode::BAD_REQUEST, JSON, said(&sentence)),
        Err(Refusal::NotNow(sentence)) => respond(StatusCode::CONFLICT, JSON, said(&sentence)),
        Err(Refusal::Broken(sentence)) => respond(StatusCode::INTERNAL_SERVER_ERROR, JSON, said(&sentence)),
    }
}

fn said(sentence: &str) -> String {
    json!({ "said": sentence }).to_string()
}

fn respond(status: StatusCode, media_type: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}
