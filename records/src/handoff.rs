//! How PAM and `homectl` hand a secret to the daemon without the bus daemon seeing it.
//!
//! ```text
//! client                                    daemon (/run/homed/handoff, stream socket, mode 0666)
//!   | {"version":1,"length":N}\n + one fd  →  |   fd: memfd_secret (or memfd) with the JSON text of a
//!   |                                         |   `secret` section; read once, wiped, closed
//!   |  ←  {"ticket":"32 hex digits"}\n        |   or {"refused":"why"}\n
//!   | … then the ordinary D-Bus call with the secret argument {"ticket":"…"}
//!   |  ←  {"progress":{…}}\n                  |   while a job with one of the connection's tickets runs
//! ```
//!
//! A ticket is good once, for bus callers with the UID of the socket's peer, and only while the
//! connection that got it is open. Several tickets may be asked for on one connection.

use serde::{Deserialize, Serialize};

/// Where the daemon listens.
pub const SOCKET: &str = "/run/homed/handoff";
/// The protocol's version.
pub const VERSION: u32 = 1;
/// Largest secret accepted, in bytes.
pub const MAX_SECRET: usize = 64 * 1024;
/// The member of a secret argument that holds a ticket.
pub const TICKET: &str = "ticket";

/// What a client sends, with the file descriptor attached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deposit {
    /// [`VERSION`].
    pub version: u32,
    /// Bytes of the secret in the file descriptor.
    pub length: usize,
}

/// What the daemon sends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Reply {
    /// The secret is kept under this name.
    Ticket(String),
    /// It is not, and why.
    Refused(String),
    /// How far a job is.
    Progress(Progress),
}

/// How far a job is: shown as a progress bar.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// What is being done, in words for the user: "Formatting encrypted storage".
    pub step: String,
    /// Units done.
    pub done: u64,
    /// Units in all.
    pub of: u64,
}
