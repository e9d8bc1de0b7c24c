//! JSON as bytes: the normalized form that is signed, and the pretty form that is stored.

use serde_json::Value;

/// One line, no white space, members as serde_json orders them (bytewise).
pub fn compact(value: &Value) -> String {
    value.to_string()
}

/// One tab per level, `"key" : value`.
pub fn pretty(value: &Value) -> String {
    value.to_string()
}
