//! `homectl`: makes, changes and shows homes by asking homed over D-Bus.
//!
//! ```text
//! words → options::parse → Settings + Draft → verb → Daemon (bus), Vault (secrets), Asker (terminal)
//! ```
//!
//! Not here: any decision about homes, which is homed's; any secret on the bus (`vault`).

// They panic where nobody reads any more, in the middle of a verb.
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]

pub mod backup;
pub mod blobs;
pub mod bus;
pub mod carried;
pub mod classic;
pub mod complete;
pub mod context;
mod exposed;
pub mod hashing;
pub mod hint;
pub mod identity;
pub mod insist;
pub mod key_list;
pub mod machine_pin;
pub mod new_keys;
pub mod options;
pub mod prompt;
pub mod qr_code;
pub mod record_text;
pub mod recovery_key;
pub mod remote;
pub mod security_key;
pub mod smart_card;
pub mod start;
pub mod vault;
pub mod verb;

pub use start::main;
