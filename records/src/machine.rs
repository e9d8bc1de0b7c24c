//! Which machine this is: what per-machine settings, bindings and status are matched against.

use crate::names::InvalidName;

/// A machine id: 32 lower-case hex digits (`/etc/machine-id`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MachineId(String);

impl MachineId {
    /// Reads a machine id; upper case and dashes are accepted and normalized.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        let id: String = text.trim().chars().filter(|c| *c != '-').map(|c| c.to_ascii_lowercase()).collect();
        if id.len() != 32 || !id.bytes().all(|b| b.is_ascii_hexdigit()) || id.bytes().all(|b| b == b'0') {
            return Err(InvalidName {
                what: "machine id",
                text: text.chars().take(64).collect(),
                why: "it must be 32 hexadecimal digits and not all zero",
            });
        }
        Ok(Self(id))
    }

    /// The id as 32 lower-case hex digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The machine's host name, as `matchHostname` compares it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostName(pub String);

/// The machine a record is looked at from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// Its machine id.
    pub id: MachineId,
    /// Its host name.
    pub host: HostName,
}
