//! What an HTTP request asks for, and which requests are refused. It uses no socket.

use hyper::header::{CONTENT_TYPE, HOST, HeaderMap, HeaderName, ORIGIN};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};
use serde::de::DeserializeOwned;

use crate::clock::Ask;
use crate::control::{CONTROLS, Details, named};
use crate::world::Call;

/// The longest body of a request, in bytes.
pub(crate) const LONGEST_BODY: usize = 64 * 1024;

/// A file that the console serves, with its media type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct File {
    pub(crate) media_type: &'static str,
    pub(crate) text: &'static str,
}

const FILES: [(&str, File); 3] = [
    ("/", File { media_type: "text/html; charset=utf-8", text: include_str!("console.html") }),
    ("/console.css", File { media_type: "text/css; charset=utf-8", text: include_str!("console.css") }),
    ("/console.js", File { media_type: "text/javascript; charset=utf-8", text: include_str!("console.js") }),
];

/// What a request asks for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Asked {
    File(File),
    World(Ask),
}

/// Why a request is refused: the status, and a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) status: StatusCode,
    pub(crate) sentence: String,
    /// The only method that the path has, if the method was wrong.
    pub(crate) allow: Option<&'static str>,
}

fn refuse<T>(status: StatusCode, sentence: impl Into<String>) -> Result<T, Refused> {
    Err(Refused { status, sentence: sentence.into(), allow: None })
}

/// Refuses a request that a web page elsewhere may have caused. A browser states the page's origin, and the host that it connects to. So
/// neither a page of another site nor a name that leads to this machine can press the controls.
pub(crate) fn is_from_here(head: &Parts, port: u16) -> Result<(), Refused> {
    let ours = [format!("127.0.0.1:{port}"), format!("localhost:{port}")];
    let hosts = texts(&head.headers, HOST);
    let named = head.uri.authority().map(|authority| authority.as_str());
    if hosts.len() != 1 || !hosts.iter().copied().chain(named).all(|host| ours.iter().any(|our| our == host)) {
        return refuse(StatusCode::FORBIDDEN, format!("Open the console as http://127.0.0.1:{port}."));
    }
    let is_ours = |origin: &&str| ours.iter().any(|our| origin.strip_prefix("http://") == Some(our));
    if !texts(&head.headers, ORIGIN).iter().all(is_ours) {
        return refuse(StatusCode::FORBIDDEN, "A page of another origin must not use the console.");
    }
    Ok(())
}

/// The values of a header field. One that is no text is empty.
fn texts(headers: &HeaderMap, name: HeaderName) -> Vec<&str> {
    headers.get_all(name).iter().map(|value| value.to_str().unwrap_or_default()).collect()
}

/// Reads a request that [`is_from_here`] has let in.
pub(crate) fn read(head: &Parts, body: &[u8]) -> Result<Asked, Refused> {
    let path = head.uri.path();
    if let Some((_, file)) = FILES.iter().find(|(known, _)| *known == path) {
        return require(head, &Method::GET, "GET").map(|()| Asked::File(*file));
    }
    if path == "/state.json" {
        return require(head, &Method::GET, "GET").map(|()| Asked::World(Ask::State));
    }
    if path == "/widget" {
        require(head, &Method::POST, "POST")?;
        let call: Call = json(head, body)?;
        if !call.widget_context.is_object() {
            return refuse(StatusCode::BAD_REQUEST, "widgetContext is not an object.");
        }
        return Ok(Asked::World(Ask::Call(call)));
    }
    if let Some(name) = path.strip_prefix("/controls/") {
        let Some(control) = named(name) else {
            let names: Vec<&str> = CONTROLS.iter().map(|(name, _)| *name).collect();
            let sentence = format!("There is no such control. The controls are: {}.", names.join(", "));
            return refuse(StatusCode::NOT_FOUND, sentence);
        };
        require(head, &Method::POST, "POST")?;
        let details: Details = json(head, body)?;
        return Ok(Asked::World(Ask::Control(control, details)));
    }
    let sentence = "There is nothing here. The paths are /, /state.json, /widget and /controls/NAME.";
    refuse(StatusCode::NOT_FOUND, sentence)
}

fn require(head: &Parts, method: &Method, name: &'static str) -> Result<(), Refused> {
    if head.method == method {
        return Ok(());
    }
    let sentence = format!("This path has only the method {name}.");
    Err(Refused { status: StatusCode::METHOD_NOT_ALLOWED, sentence, allow: Some(name) })
}

/// The body as JSON. A page of another origin cannot send this media type without asking first, and nothing here answers that it may.
fn json<T: DeserializeOwned>(head: &Parts, body: &[u8]) -> Result<T, Refused> {
    let media_types = texts(&head.headers, CONTENT_TYPE);
    let is_json =
        |text: &str| text.split(';').next().is_some_and(|it| it.trim().eq_ignore_ascii_case("application/json"));
    if media_types.len() != 1 || !media_types.iter().all(|text| is_json(text)) {
        return refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, "The Content-Type must be application/json.");
    }
    serde_json::from_slice(body).or_else(|error| {
        let error = if error.is_data() { format!("{error}.") } else { format!("The body is not JSON: {error}.") };
        refuse(StatusCode::BAD_REQUEST, error)
    })
}
