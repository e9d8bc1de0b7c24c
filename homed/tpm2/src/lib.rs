//! The TPM of this computer: a random secret is sealed in it with a PIN, and a passphrase of a home is made of both.
//!
//! ```text
//! seal.rs     a new secret, and that of one which exists     the worker, for a record
//! derive.rs   PIN and secret → passphrase
//! session/    a session that hides what crosses the bus, and its cryptography
//! command.rs  the dozen commands that are needed
//! wire.rs     numbers and buffers as the TPM has them
//! device.rs   `/dev/tpmrmN`
//! ```
//!
//! The PIN is split as systemd-cryptenroll 262 does it: Argon2id makes two halves of it. One is the authorization of the
//! sealed secret, and goes to the TPM; the other one never does, and the passphrase needs it and the secret. Who has broken the TPM has
//! no passphrase, and who has the image has none either.
//!
//! Numbers and formats: TCG, "Trusted Platform Module Library", parts 1 to 3 (version 1.59).

mod command;
mod derive;
mod device;
mod failure;
mod seal;
mod session;
mod wire;

pub use derive::Cost;
pub use device::{Device, Line, list};
pub use failure::Failure;
pub use seal::{Sealed, seal, unseal};
