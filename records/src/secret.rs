//! The one type that holds secrets: wiped on drop, no `Debug`, no `Clone`.

use zeroize::{Zeroize, Zeroizing};

/// Bytes nobody else may see: a password, a key, JSON with one of them in it.
///
/// Has neither `Debug` nor `Display` nor `Clone`: a copy is made with [`Secret::duplicate`], where a
/// reader sees it.
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes the bytes over; the caller's buffer becomes the secret, nothing is copied.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Takes a text over.
    pub fn from_text(text: String) -> Self {
        Self::new(text.into_bytes())
    }

    /// The bytes, for as short as possible.
    pub fn open(&self) -> &[u8] {
        &self.0
    }

    /// The bytes as text, where they are UTF-8.
    pub fn open_text(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }

    /// A second copy, on purpose.
    pub fn duplicate(&self) -> Self {
        Self::new(self.0.to_vec())
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Compares in a time that depends on the lengths alone.
    pub fn matches(&self, other: &[u8]) -> bool {
        self.0.len() == other.len() && self.0.iter().zip(other).fold(0, |all, (a, b)| all | (a ^ b)) == 0
    }
}

/// Wipes a JSON tree in place: every string in it is overwritten before it is freed.
///
/// For values that were parsed from something with secrets in it (serializers copy).
pub fn wipe_json(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::String(text) => text.zeroize(),
        serde_json::Value::Array(items) => items.iter_mut().for_each(wipe_json),
        serde_json::Value::Object(members) => members.values_mut().for_each(wipe_json),
        serde_json::Value::Null | serde_json::Value::Bool(_) | serde_json::Value::Number(_) => {}
    }
}
