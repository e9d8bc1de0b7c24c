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
//!
//! PAM modules have no bus connection: they call over this socket as well, with the secrets of the call in
//! descriptors of the same kind, and get one answer.
//!
//! ```text
//!   | {"version":1,"call":{"acquire":{…}},"lengths":[N]}\n + one fd per length  →
//!   |  ←  "done"\n, "reference"\n + one fd, or {"failed":{…}}\n
//! ```
//!
//! While the daemon is at it, it says `"working"` every second. Closing the connection takes the question back.

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

/// A call of a PAM module. Who calls is known from the socket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// [`VERSION`].
    pub version: u32,
    /// What is wanted.
    pub call: Call,
    /// Bytes of the secrets in the file descriptors, in their order.
    #[serde(default)]
    pub lengths: Vec<usize>,
}

/// What a PAM module asks for; in D-Bus' words, the method of the same name of `org.freedesktop.home1.Manager`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Call {
    /// `AcquireHome`; with one secret or none.
    Acquire(Hold),
    /// `RefHome`.
    Reference(Hold),
    /// `ReleaseHome`.
    Release {
        /// Whose home.
        user: String,
    },
    /// `ChangePasswordHome`; with two secrets, the new one first.
    ChangePassword {
        /// Whose.
        user: String,
    },
}

/// A line of a client.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Line {
    /// A call.
    Call(Request),
    /// A secret that is wanted a ticket for.
    Deposit(Deposit),
}

/// A reference that is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hold {
    /// On whose home.
    pub user: String,
    /// Whether the home may be locked at suspend (`pleaseSuspend`).
    pub suspend: bool,
}

/// Why a call was not done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Failed {
    /// The refusal's name on the bus; `None`: it is a fault, and the log has the causes.
    pub name: Option<String>,
    /// What happened, in words for the user.
    pub sentence: String,
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
    /// The call is being worked on; said every second, so that nobody waits for a daemon that hangs.
    Working,
    /// The call is done.
    Done,
    /// The call is done; the reference is in the file descriptor that comes with it.
    Reference,
    /// The call is not done, and why.
    Failed(Failed),
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
