//! The two protocols on the wire. SageMaker, CodePipeline and EventBridge use AWS JSON; CloudWatch uses Smithy RPC v2 CBOR.
//!
//! <https://smithy.io/2.0/additional-specs/protocols/smithy-rpc-v2.html>. Inside the simulator, everything is JSON.

use ciborium::Value as Cbor;
use serde_json::{Value, json};

use crate::fault::Symptom;

/// One answer: the HTTP status, the header fields, the body.
pub type Answer = (u16, Vec<(&'static str, &'static str)>, Vec<u8>);

/// One request, in either protocol.
#[derive(Clone, Debug)]
pub struct Request {
    /// `Service.Operation`, as the header `X-Amz-Target` names them.
    pub target: String,
    /// The header `Authorization`.
    pub authorization: String,
    /// The input as JSON.
    pub body: Vec<u8>,
    is_cbor: bool,
}

impl Request {
    /// Reads a request. `header` returns the value of a header field.
    pub fn read<'h>(header: impl Fn(&'static str) -> &'h str, path: &str, body: &[u8]) -> Self {
        let authorization = header("authorization").to_owned();
        let is_cbor = header("smithy-protocol") == "rpc-v2-cbor";
        let (target, body) =
            if is_cbor { (target(path), decode(body)) } else { (header("x-amz-target").to_owned(), body.to_vec()) };
        Self { target, authorization, body, is_cbor }
    }

    /// The answer in the request's protocol.
    ///
    /// # Errors
    /// The [`Symptom`] if the connection ends without an answer.
    pub fn answer(&self, answer: Result<Value, Symptom>) -> Result<Answer, Symptom> {
        let (status, answer) = match answer {
            Ok(answer) => (200, answer),
            Err(Symptom::Answer(error)) => (error.status, error.body()),
            Err(no_answer) => return Err(no_answer),
        };
        if self.is_cbor {
            let headers = vec![("smithy-protocol", "rpc-v2-cbor"), ("content-type", "application/cbor")];
            Ok((status, headers, encode(&answer)))
        } else {
            Ok((status, vec![("content-type", "application/x-amz-json-1.1")], answer.to_string().into_bytes()))
        }
    }
}

/// `Service.Operation` of the path `/service/Service/operation/Operation`.
fn target(path: &str) -> String {
    let mut words = path.trim_start_matches('/').split('/');
    match (words.next(), words.next(), words.next(), words.next()) {
        (Some("service"), Some(service), Some("operation"), Some(operation)) => format!("{service}.{operation}"),
        _ => String::new(),
    }
}

/// The JSON of a request. For a body that cannot be read, it is empty, and the service refuses the request.
fn decode(body: &[u8]) -> Vec<u8> {
    if body.is_empty() {
        return json!({}).to_string().into_bytes();
    }
    let input: Result<Value, _> = ciborium::from_reader(body);
    input.map(|input| input.to_string().into_bytes()).unwrap_or_default()
}

fn encode(answer: &Value) -> Vec<u8> {
    let mut body = Vec::new();
    // Writing to memory does not fail.
    let _ = ciborium::into_writer(&cbor("", answer), &mut body);
    body
}

/// The CBOR of a member. A floating-point number in a member called `…Timestamp` is a time. Absent members are left out.
fn cbor(name: &str, value: &Value) -> Cbor {
    match value {
        Value::Null => Cbor::Null,
        Value::Bool(value) => Cbor::Bool(*value),
        Value::Number(number) => match number.as_i64() {
            Some(integer) => Cbor::Integer(integer.into()),
            None => {
                let number = Cbor::Float(number.as_f64().unwrap_or_default());
                if name.ends_with("Timestamp") { Cbor::Tag(1, Box::new(number)) } else { number }
            }
        },
        Value::String(text) => Cbor::Text(text.clone()),
        Value::Array(items) => Cbor::Array(items.iter().map(|item| cbor("", item)).collect()),
        Value::Object(members) => {
            let members = members.iter().filter(|(_, value)| !value.is_null());
            Cbor::Map(members.map(|(name, value)| (Cbor::Text(name.clone()), cbor(name, value))).collect())
        }
    }
}
