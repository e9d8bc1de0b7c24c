//! Security keys with FIDO2: a credential is made on one, and later the key answers a salt with a secret of its own
//! (the extension hmac-secret of CTAP 2), which is a passphrase of a home.
//!
//! ```text
//! enrol.rs   a new credential and its secret        homectl, for its user
//! answer.rs  the secret of credentials that exist   the worker, for a record
//! closed.rs  keys that are there, and that nobody here may open
//!      │ devices behind a trait: tests fake them
//! sys/       libfido2, loaded when it is needed     nearly all of the `unsafe`
//! ```
//!
//! Names and values are those of systemd-homed (its `homectl-fido2.c` and `libfido2-util.c`), so that a key enrolled by
//! one opens with the other: relying party `io.systemd.home`, 32 zero bytes in the place of the client data's hash, and
//! the base64 text of the 32 bytes answered as the passphrase.

mod answer;
mod closed;
mod enrol;
mod failure;
pub mod key;
mod sys;

pub use answer::{Asked, Credential, Given, answer, is_on};
pub use closed::closed;
pub use enrol::{Enrolled, NewCredential, enrol};
pub use failure::Failure;
pub use key::{Algorithm, Demands, Key, Option3};
pub use sys::{Found, Library};
