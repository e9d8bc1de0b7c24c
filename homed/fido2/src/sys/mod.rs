//! libfido2: loaded when somebody asks for a security key, and never by whoever does not.
#![allow(unsafe_code)]

mod device;
mod exchange;
#[cfg(feature = "test-keys")]
mod socket;
mod symbols;

pub use device::{Found, Library};
