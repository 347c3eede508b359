//! What a service gives to EventBridge, before EventBridge makes an event of it.

use serde_json::Value;

/// An event that a service sends to EventBridge.
#[derive(Clone, Debug)]
pub(crate) struct Emitted {
    pub(crate) source: &'static str,
    pub(crate) detail_type: &'static str,
    pub(crate) resources: Vec<String>,
    pub(crate) detail: Value,
}
