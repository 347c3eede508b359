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

#[cfg(test)]
mod tests {
    use hyper::Request;
    use serde_json::json;

    use super::*;
    use crate::control::{Control, End};

    const JSON: (&str, &str) = ("content-type", "application/json");

    /// Reads a request as the server does: `Host` is as a browser sends it, unless `headers` says otherwise.
    fn ask(method: &str, uri: &str, headers: &[(&str, &str)], body: &str) -> Result<Asked, Refused> {
        let mut request = Request::builder().method(method).uri(uri);
        if headers.iter().all(|(name, _)| *name != "host") {
            request = request.header("host", "127.0.0.1:8080");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (head, ()) = request.body(()).unwrap().into_parts();
        is_from_here(&head, 8080)?;
        read(&head, body.as_bytes())
    }

    fn status(method: &str, uri: &str, headers: &[(&str, &str)], body: &str) -> u16 {
        match ask(method, uri, headers, body) {
            Ok(_) => 200,
            Err(refused) => {
                assert!(refused.sentence.ends_with('.'), "{refused:?}");
                refused.status.as_u16()
            }
        }
    }

    #[test]
    fn the_paths_are_read() {
        let control = |name, details| Ok(Asked::World(Ask::Control(named(name).unwrap(), details)));
        assert_eq!(ask("POST", "/controls/deploy", &[JSON], "{}"), control("deploy", Details::default()));
        let (body, json) =
            (r#"{"step": "Train", "reason": "why"}"#, ("content-type", "Application/JSON; charset=utf-8"));
        let details = Details { step: Some("Train".to_owned()), reason: Some("why".to_owned()), ..Details::default() };
        assert_eq!(ask("POST", "/controls/fail", &[json], body), control("fail", details));
        assert_eq!(named("fail"), Some(Control::End(End::Failed)));
        assert_eq!(ask("GET", "/state.json?x=1", &[], ""), Ok(Asked::World(Ask::State)));
        let view = Call { endpoint: None, payload: serde_json::Map::new(), widget_context: json!({}) };
        assert_eq!(ask("POST", "/widget", &[JSON], r#"{"widgetContext": {}}"#), Ok(Asked::World(Ask::Call(view))));
        for (path, file) in FILES {
            assert_eq!(ask("GET", path, &[], ""), Ok(Asked::File(file)));
        }
    }

    #[test]
    fn only_a_page_of_this_console_may_ask() {
        let host = |host| status("GET", "/", &[("host", host)], "");
        assert_eq!(host("localhost:8080"), 200);
        for other in ["127.0.0.1", "127.0.0.1:8081", "localhost", "example.com:8080", "127.0.0.1:8080.example.com", ""]
        {
            assert_eq!(host(other), 403, "{other}");
        }
        let twice = [("host", "127.0.0.1:8080"), ("host", "example.com")];
        assert_eq!(status("GET", "/", &twice, ""), 403);
        assert_eq!(status("GET", "http://example.com/", &[], ""), 403);
        let (head, ()) = Request::builder().uri("/").body(()).unwrap().into_parts();
        assert!(is_from_here(&head, 8080).is_err(), "no Host");

        let origin = |origin| status("POST", "/controls/deploy", &[JSON, ("origin", origin)], "{}");
        assert_eq!((origin("http://127.0.0.1:8080"), origin("http://localhost:8080")), (200, 200));
        for other in
            ["null", "http://example.com", "http://localhost:3000", "https://localhost:8080", "http://127.0.0.1", ""]
        {
            assert_eq!(origin(other), 403, "{other}");
        }
    }

    #[test]
    fn a_wrong_request_is_answered_with_a_sentence() {
        assert_eq!(status("GET", "/nothing", &[], ""), 404);
        assert_eq!(status("GET", "/../Cargo.toml", &[], ""), 404);
        assert_eq!(status("POST", "/controls/explode", &[JSON], "{}"), 404);
        assert_eq!(status("POST", "/controls/", &[JSON], "{}"), 404);
        assert_eq!(status("GET", "/controls/deploy", &[], ""), 405);
        assert_eq!(status("POST", "/", &[JSON], "{}"), 405);
        assert_eq!(status("PUT", "/widget", &[JSON], "{}"), 405);
        assert_eq!(ask("DELETE", "/state.json", &[], "").unwrap_err().allow, Some("GET"));
        for headers in [&[][..], &[("content-type", "text/plain")], &[JSON, JSON]] {
            assert_eq!(status("POST", "/controls/deploy", headers, "{}"), 415, "{headers:?}");
        }
        for body in ["", "{", "[1", "null", "7", r#"{"step": 7}"#, r#"{"unknown": true}"#, "\u{0}"] {
            assert_eq!(status("POST", "/controls/fail", &[JSON], body), 400, "{body:?}");
        }
        for body in [r#"{}"#, r#"{"widgetContext": 7}"#, r#"{"widgetContext": {}, "payload": []}"#] {
            assert_eq!(status("POST", "/widget", &[JSON], body), 400, "{body}");
        }
    }
}
