//! Smart cards and other tokens with PKCS#11: a key is made that only the private key on the token can give back, and
//! the token gives it back later. It is a passphrase of a home.
//!
//! ```text
//! enrol.rs   a public key of the token, and a new key for it   homectl, for its user
//! answer.rs  the keys of entries that exist                    a process of the worker's, for a record
//! uri.rs     which token and which key (RFC 7512)
//! public.rs  what is done with public keys, by libcrypto
//!      │ tokens behind a trait: tests fake them
//! sys/       p11-kit, loaded when it is needed                 all of the `unsafe`
//! ```
//!
//! Formats are those of systemd-homed (its `homectl-pkcs11.c` and `pkcs11-util.c`), so that a token enrolled by one opens
//! with the other: for an RSA key half as many random bytes as it is long, encrypted; for a key of an elliptic curve what
//! ECDH gives with a new key, whose public point is kept. The base64 text of these bytes is the passphrase.

mod answer;
mod enrol;
mod failure;
mod public;
mod sys;
pub mod token;
pub mod uri;

pub use answer::{Asked, Entry, Given, answer};
pub use enrol::{Enrolled, choose, enrol, enter, is_listed};
pub use failure::{Failure, Tries};
pub use sys::Library;
pub use token::Token;
pub use uri::Uri;
