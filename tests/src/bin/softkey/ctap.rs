//! CBOR as CTAP 2 has it, and its error numbers.

use anyhow::{Context, Result};
use ciborium::Value;

/// Why a command is refused (CTAP 2.1, 8.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Status {
    InvalidCommand = 0x01,
    InvalidCbor = 0x12,
    UnsupportedAlgorithm = 0x26,
    UnsupportedOption = 0x2b,
    NoCredentials = 0x2e,
    UserActionTimeout = 0x2f,
    PinInvalid = 0x31,
    PinBlocked = 0x32,
    PinAuthInvalid = 0x33,
    PinAuthBlocked = 0x34,
    PinNotSet = 0x35,
    PinRequired = 0x36,
    Other = 0x7f,
}

/// What a command comes to.
pub type Answer = Result<Value, Status>;

impl From<anyhow::Error> for Status {
    fn from(_: anyhow::Error) -> Self {
        Self::Other
    }
}

pub fn number(number: i64) -> Value {
    Value::Integer(number.into())
}

pub fn bytes(bytes: &[u8]) -> Value {
    Value::Bytes(bytes.to_vec())
}

pub fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

/// A map with numbers as keys, in the order given.
pub fn map(members: impl IntoIterator<Item = (i64, Value)>) -> Value {
    Value::Map(members.into_iter().map(|(key, value)| (number(key), value)).collect())
}

/// A map with texts as keys, in the order given.
pub fn named<'a>(members: impl IntoIterator<Item = (&'a str, Value)>) -> Value {
    Value::Map(members.into_iter().map(|(key, value)| (text(key), value)).collect())
}

pub fn encode(value: &Value) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    ciborium::into_writer(value, &mut out).context("encoding")?;
    Ok(out)
}

/// A member of a map.
pub fn member<'a>(value: &'a Value, key: &Value) -> Option<&'a Value> {
    value.as_map()?.iter().find(|(own, _)| own == key).map(|(_, value)| value)
}

pub fn at(value: &Value, key: i64) -> Option<&Value> {
    member(value, &number(key))
}

pub fn bytes_at(value: &Value, key: i64) -> Result<&[u8], Status> {
    at(value, key).and_then(Value::as_bytes).map(Vec::as_slice).ok_or(Status::InvalidCbor)
}

/// A COSE key on Ed25519, for signatures (-8).
pub fn cose_edwards(public: &[u8]) -> Value {
    map([(1, number(1)), (3, number(-8)), (-1, number(6)), (-2, bytes(public))])
}

/// A COSE key on P-256 for key agreement (`algorithm` -25) or signatures (-7).
pub fn cose(algorithm: i64, [x, y]: &[Vec<u8>; 2]) -> Value {
    map([(1, number(2)), (3, number(algorithm)), (-1, number(1)), (-2, bytes(x)), (-3, bytes(y))])
}
