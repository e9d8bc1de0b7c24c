//! Both ends of handing a secret to the daemon (`records::handoff` has the words).
//!
//! The client end runs inside `login`, `sshd` and `sudo`, through PAM: it reads no environment,
//! keeps nothing global, starts no thread, and every descriptor is closed on exec. What PAM modules call makes no
//! system call outside of systemd's `@system-service`.
//!
//! Not here: the daemon's socket and its tickets (`homed/src/front/handoff.rs`).

mod call;
mod client;
mod memory;
mod stream;
mod sys;

pub use call::{Answer, call};
pub use client::{Client, HandoffError};
pub use memory::{Memory, is_memory, offer, offer_plain};
pub use stream::Stream;
pub use sys::keep_descriptors;
